"""Early fusion: T frames stacked into the channels of one image, and a 2D network over it.

Karpathy et al. 2014, "Large-scale video classification with convolutional neural networks" (CVPR),
section 3.1: the first convolution spans all T frames, and from there on time is gone.

    clip (B, 3, T, H, W) --stack--> (B, 3 * T, H, W) --trunk--> features (B, 1, D) --linear--> logits (B, C)
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from encoders.blocks.trunks import SMALLEST, make_trunk
from encoders.models.base import ModelInfo, VideoModel, check_clip

RULE = f"the T that it was built for, at least 1, and sizes of at least {SMALLEST} pixels"
PAPER = "Karpathy et al. 2014, Large-scale video classification with convolutional neural networks"


class EarlyFusion(VideoModel):
    """See the module.

    Args:
        num_classes: C.
        frames: T; the first convolution has 3 * T channels.
        size: Pixels that it is built for; it takes any other.
        trunk: A 2D network of `encoders.blocks.trunks`.
        pretrained: ImageNet weights for it, repeated over the frames; see `make_trunk`.
        dropout: Share of features dropped before the classifier, in training.
        width, depth: Of the trunk "small".

    Raises:
        ValueError: An option, T or size is not as stated.
    """

    def __init__(
        self,
        num_classes: int,
        frames: int,
        size: int,
        *,
        trunk: str = "resnet50",
        pretrained: str | None = None,
        dropout: float = 0.0,
        width: int = 16,
        depth: int = 3,
    ) -> None:
        super().__init__()
        self.frames = frames
        self._check(frames, size, size)
        self.trunk = make_trunk(
            trunk, in_channels=3 * frames, pretrained=pretrained, width=width, depth=depth
        )
        self.feature_dim = self.trunk.dim
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(self.feature_dim, num_classes)

    def forward_features(self, clip: Tensor, flow: Tensor | None = None) -> Tensor:
        """Clip (B, 3, T, H, W) -> (B, 1, D)."""
        self._check(*clip.shape[2:])
        return self.trunk(clip.transpose(1, 2).flatten(1, 2)).unsqueeze(1)

    def forward_head(self, features: Tensor) -> Tensor:
        """(B, 1, D) -> (B, C)."""
        return self.classifier(self.dropout(features.mean(dim=1)))

    def _check(self, frames: int, height: int, width: int) -> None:
        fits = frames == self.frames >= 1 and min(height, width) >= SMALLEST
        check_clip(fits, frames, height, width, RULE)


MODELS = (
    ModelInfo("early_fusion_r18", partial(EarlyFusion, trunk="resnet18"), PAPER, 8, 224, 4, RULE),
    ModelInfo("early_fusion_r50", EarlyFusion, PAPER, 8, 224, 4, RULE),
    ModelInfo("early_fusion_tiny", partial(EarlyFusion, trunk="small"), PAPER, 8, 32, 4, RULE),
)

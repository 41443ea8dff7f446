"""Late and early fusion: frames that meet after a 2D network, or before it.

Karpathy et al. 2014, "Large-scale video classification with convolutional neural networks" (CVPR),
section 3.1. Late: two towers of shared weights meet in the first fully connected layer; here T of them.

    clip (B, 3, T, H, W) --trunk over each frame--> features (B, T, D)
    --pool-->   mean, max or attention over T: (B, D) --linear--> logits (B, C)
    --concat--> one after another: (B, T * D)         --linear--> logits (B, C)
    --mlp-->    one after another: (B, T * D) --linear, ReLU--> (B, hidden) --linear--> logits (B, C)

Pooling forgets the order of the frames; the other two keep it, but know motion only from features in
which much of it is lost. Early: the first convolution spans all T frames, and from there on time is gone.

    clip (B, 3, T, H, W) --stack--> (B, 3 * T, H, W) --trunk--> features (B, 1, D) --linear--> logits (B, C)
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from encoders.blocks.trunks import SMALLEST, make_trunk, over_frames
from encoders.models.base import ModelInfo, VideoModel, check_clip, make_pool

FUSIONS = ("pool", "concat", "mlp")
LATE_RULE = (
    "the T that it was built for, at least 1 (any T with fusion=pool), and sizes of at least "
    f"{SMALLEST} pixels"
)
EARLY_RULE = f"the T that it was built for, at least 1, and sizes of at least {SMALLEST} pixels"
PAPER = "Karpathy et al. 2014, Large-scale video classification with convolutional neural networks"


class LateFusion(VideoModel):
    """A 2D network over each frame; the frames meet at the end: pooled, concatenated, or in an MLP.

    Args:
        num_classes: C.
        frames: T; what is concatenated fixes it.
        size: Pixels that it is built for; it takes any other.
        fusion: "pool", "concat" or "mlp".
        pooling: For "pool": "mean", "max" or "attention".
        hidden: Width of the MLP's inner layer.
        trunk: A 2D network of `encoders.blocks.trunks`.
        pretrained: ImageNet weights for it; see `make_trunk`.
        dropout: Share dropped before the last layer, in training.
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
        fusion: str = "mlp",
        pooling: str = "mean",
        hidden: int = 512,
        trunk: str = "resnet50",
        pretrained: str | None = None,
        dropout: float = 0.0,
        width: int = 16,
        depth: int = 3,
    ) -> None:
        super().__init__()
        if fusion not in FUSIONS:
            raise ValueError(f"frames are fused by {', '.join(FUSIONS)}; got {fusion!r}")
        self.frames = None if fusion == "pool" else frames
        self._check(frames, size, size)
        self.trunk = make_trunk(trunk, pretrained=pretrained, width=width, depth=depth)
        self.feature_dim = self.trunk.dim
        together = self.feature_dim * frames
        self.fuse: nn.Module
        if fusion == "pool":
            self.fuse = make_pool(pooling, self.feature_dim)
            together = self.feature_dim
        elif fusion == "concat":
            self.fuse = nn.Flatten()
        else:
            self.fuse = nn.Sequential(nn.Flatten(), nn.Linear(together, hidden), nn.ReLU(inplace=True))
            together = hidden
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(together, num_classes)

    def forward_features(self, clip: Tensor, flow: Tensor | None = None) -> Tensor:
        """Clip (B, 3, T, H, W) -> (B, T, D), a frame at a time."""
        self._check(*clip.shape[2:])
        return over_frames(self.trunk, clip)

    def forward_head(self, features: Tensor) -> Tensor:
        """(B, T, D) -> (B, C)."""
        return self.classifier(self.dropout(self.fuse(features)))

    def _check(self, frames: int, height: int, width: int) -> None:
        fits = frames >= 1 and min(height, width) >= SMALLEST
        check_clip(fits and self.frames in (None, frames), frames, height, width, LATE_RULE)


class EarlyFusion(VideoModel):
    """A 2D network over one image of 3 * T channels.

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
        check_clip(fits, frames, height, width, EARLY_RULE)


MODELS = (
    ModelInfo("late_fusion_r18", partial(LateFusion, trunk="resnet18"), PAPER, 8, 224, 8, LATE_RULE),
    ModelInfo("late_fusion_r50", LateFusion, PAPER, 8, 224, 8, LATE_RULE),
    ModelInfo("late_fusion_tiny", partial(LateFusion, trunk="small", hidden=128), PAPER, 8, 32, 4, LATE_RULE),
    ModelInfo("early_fusion_r18", partial(EarlyFusion, trunk="resnet18"), PAPER, 8, 224, 4, EARLY_RULE),
    ModelInfo("early_fusion_r50", EarlyFusion, PAPER, 8, 224, 4, EARLY_RULE),
    ModelInfo("early_fusion_tiny", partial(EarlyFusion, trunk="small"), PAPER, 8, 32, 4, EARLY_RULE),
)

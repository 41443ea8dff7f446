"""Single-frame CNN: a 2D network that sees no motion, and the baseline for all that do.

Karpathy et al. 2014, "Large-scale video classification with convolutional neural networks" (CVPR),
section 3.1: a network over one frame. It either looks at the clip's middle frame, or at every frame and
averages what it says of each, as the paper does over the frames of a video. Neither knows the order of
the frames: played backwards, a clip gives the same answer (but for the choice of the middle of an even T).

    clip (B, 3, T, H, W)
    --middle-->  (B, 3, H, W)    --trunk--> features (B, 1, D)
    --average--> (B * T, 3, H, W) --trunk--> features (B, T, D)
    --mean over time, linear--> logits (B, C)
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from encoders.blocks.trunks import SMALLEST, make_trunk, over_frames
from encoders.models.base import ModelInfo, VideoModel, check_clip, make_pool

RULE = f"any T of at least 1, and sizes of at least {SMALLEST} pixels"
PAPER = "Karpathy et al. 2014, Large-scale video classification with convolutional neural networks"
USES = ("middle", "average")


class SingleFrame(VideoModel):
    """See the module.

    Args:
        num_classes: C.
        frames: T that it is built for; it takes any other.
        size: Pixels that it is built for; it takes any other.
        use: "middle" frame alone, or "average" over all frames.
        trunk: A 2D network of `encoders.blocks.trunks`.
        pretrained: ImageNet weights for it; see `make_trunk`.
        pooling: Over the frames where all are used: "mean" (of the class scores, since the classifier
            is linear), "max" or "attention".
        dropout: Share of features dropped before the classifier, in training.
        width, depth: Of the trunk "small".

    Raises:
        ValueError: An option or size is not as stated.
    """

    def __init__(
        self,
        num_classes: int,
        frames: int,
        size: int,
        *,
        use: str = "middle",
        trunk: str = "resnet50",
        pretrained: str | None = None,
        pooling: str = "mean",
        dropout: float = 0.0,
        width: int = 16,
        depth: int = 3,
    ) -> None:
        super().__init__()
        _check(frames, size, size)
        if use not in USES:
            raise ValueError(f"a single-frame network uses the {' or '.join(USES)}, got {use!r}")
        self.use = use
        self.trunk = make_trunk(trunk, pretrained=pretrained, width=width, depth=depth)
        self.feature_dim = self.trunk.dim
        self.pool = make_pool(pooling if use == "average" else "mean", self.feature_dim)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(self.feature_dim, num_classes)

    def forward_features(self, clip: Tensor, flow: Tensor | None = None) -> Tensor:
        """Clip (B, 3, T, H, W) -> (B, 1, D) of the middle frame T // 2, or (B, T, D) of all."""
        _check(*clip.shape[2:])
        if self.use == "middle":
            return self.trunk(clip[:, :, clip.shape[2] // 2]).unsqueeze(1)
        return over_frames(self.trunk, clip)

    def forward_head(self, features: Tensor) -> Tensor:
        """(B, T', D) -> (B, C)."""
        return self.classifier(self.dropout(self.pool(features)))


def _check(frames: int, height: int, width: int) -> None:
    check_clip(frames >= 1 and min(height, width) >= SMALLEST, frames, height, width, RULE)


MODELS = (
    ModelInfo("single_frame_r18", partial(SingleFrame, trunk="resnet18"), PAPER, 1, 224, 1, RULE),
    ModelInfo("single_frame_r50", SingleFrame, PAPER, 1, 224, 1, RULE),
    ModelInfo(
        "frame_average_r18", partial(SingleFrame, use="average", trunk="resnet18"), PAPER, 8, 224, 8, RULE
    ),
    ModelInfo("frame_average_r50", partial(SingleFrame, use="average"), PAPER, 8, 224, 8, RULE),
    ModelInfo("single_frame_tiny", partial(SingleFrame, trunk="small"), PAPER, 8, 32, 4, RULE),
    ModelInfo(
        "frame_average_tiny", partial(SingleFrame, use="average", trunk="small"), PAPER, 8, 32, 4, RULE
    ),
)

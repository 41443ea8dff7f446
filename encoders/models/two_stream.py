"""Two-stream network: one stream sees what there is, the other how it moves.

Simonyan & Zisserman 2014, "Two-stream convolutional networks for action recognition in videos",
arXiv:1406.2199. The appearance stream is a 2D network over the middle frame. The motion stream is a 2D
network over the optical flow of T - 1 consecutive frames stacked into 2(T - 1) channels, x and y of each
in turn (the paper's eq. 1), of which the clip's mean is taken off where the camera moves (section 3.1,
"mean flow subtraction"). Their class scores are fused by a weighted mean of the softmaxes (section 3).

    clip (B, 3, T, H, W) --middle frame--> (B, 3, H, W) --trunk--> (B, D) --linear--> scores (B, C)
    flow (B, 2, T - 1, H, W) --stack--> (B, 2(T - 1), H, W) --trunk--> (B, D) --linear--> scores (B, C)
    features (B, 1, 2D): both, one after the other
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn

from encoders.blocks.trunks import SMALLEST, make_trunk
from encoders.models.base import ModelInfo, VideoModel, check_clip, check_flow

RULE = f"the T that it was built for, at least 2, and sizes of at least {SMALLEST} pixels"
PAPER = "Simonyan & Zisserman 2014, arXiv:1406.2199"


class TwoStream(VideoModel):
    """See the module.

    Its logits are the logarithm of the fused probabilities: their softmax is the weighted mean of the
    streams' softmaxes.

    Args:
        num_classes: C.
        frames: T; the motion stream has 2(T - 1) channels.
        size: Pixels that it is built for; it takes any other.
        flow_weight: Weight of the motion stream in 0..1 (exclusive); the appearance stream has the rest.
        subtract_mean: Takes the mean displacement off each flow field, against camera motion.
        trunk: A 2D network of `encoders.blocks.trunks`, one of its kind for each stream.
        pretrained: ImageNet weights for both, averaged over RGB for the flow; see `make_trunk`.
        dropout: Share of features dropped before each classifier, in training.
        width, depth: Of the trunk "small".

    Raises:
        ValueError: An option, T or size is not as stated.
    """

    needs_flow = True

    def __init__(
        self,
        num_classes: int,
        frames: int,
        size: int,
        *,
        flow_weight: float = 0.5,
        subtract_mean: bool = False,
        trunk: str = "resnet50",
        pretrained: str | None = None,
        dropout: float = 0.0,
        width: int = 16,
        depth: int = 3,
    ) -> None:
        super().__init__()
        if not 0.0 < flow_weight < 1.0:
            raise ValueError(f"the weight of the flow must lie between 0 and 1, got {flow_weight}")
        self.frames = frames
        self._check(frames, size, size)
        self.flow_weight = flow_weight
        self.subtract_mean = subtract_mean
        self.appearance = make_trunk(trunk, pretrained=pretrained, width=width, depth=depth)
        self.motion = make_trunk(
            trunk, in_channels=2 * (frames - 1), pretrained=pretrained, width=width, depth=depth
        )
        self.feature_dim = self.appearance.dim + self.motion.dim
        self.dropout = nn.Dropout(dropout)
        self.appearance_classifier = nn.Linear(self.appearance.dim, num_classes)
        self.motion_classifier = nn.Linear(self.motion.dim, num_classes)

    def forward_features(self, clip: Tensor, flow: Tensor | None = None) -> Tensor:
        """Clip (B, 3, T, H, W), flow (B, 2, T - 1, H, W) -> (B, 1, 2D): appearance, then motion."""
        self._check(*clip.shape[2:])
        flow = check_flow(clip, flow)
        if self.subtract_mean:
            flow = flow - flow.mean(dim=(3, 4), keepdim=True)
        stacked = flow.transpose(1, 2).flatten(1, 2)  # x and y of the first pair, of the second, ...
        seen = self.appearance(clip[:, :, clip.shape[2] // 2])
        return torch.cat([seen, self.motion(stacked)], dim=1).unsqueeze(1)

    def forward_streams(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 1, 2D) -> logits (B, C) of the appearance stream and of the motion stream."""
        seen, moved = features.mean(dim=1).split([self.appearance.dim, self.motion.dim], dim=1)
        return (
            self.appearance_classifier(self.dropout(seen)),
            self.motion_classifier(self.dropout(moved)),
        )

    def forward_head(self, features: Tensor) -> Tensor:
        """(B, 1, 2D) -> log probabilities (B, C), which serve as logits."""
        seen, moved = self.forward_streams(features)
        return torch.logaddexp(
            seen.log_softmax(dim=1) + math.log(1 - self.flow_weight),
            moved.log_softmax(dim=1) + math.log(self.flow_weight),
        )

    def _check(self, frames: int, height: int, width: int) -> None:
        fits = frames == self.frames >= 2 and min(height, width) >= SMALLEST
        check_clip(fits, frames, height, width, RULE)


def _info(
    name: str, build: partial[TwoStream] | type[TwoStream], frames: int, size: int, stride: int
) -> ModelInfo:
    return ModelInfo(name, build, PAPER, frames, size, stride, RULE, needs_flow=True)


MODELS = (
    _info("two_stream_r18", partial(TwoStream, trunk="resnet18"), 11, 224, 1),
    _info("two_stream_r50", TwoStream, 11, 224, 1),
    _info("two_stream_tiny", partial(TwoStream, trunk="small"), 8, 32, 4),
)

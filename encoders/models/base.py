"""The contract of video models: a clip in, features in order of time, logits out.

The methods are named as timm names them: `forward_features`, then `forward_head`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# Of RGB in 0..1, by which every model is given its clips: as the video models of the papers have it.
MEAN, STD = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)
POOLINGS = ("mean", "max", "attention")


class MeanPool(nn.Module):
    """(B, T', D) -> (B, D): the mean over time."""

    def forward(self, features: Tensor) -> Tensor:
        return features.mean(dim=1)


class MaxPool(nn.Module):
    """(B, T', D) -> (B, D): the largest of each feature over time."""

    def forward(self, features: Tensor) -> Tensor:
        return features.amax(dim=1)


class AttentionPool(nn.Module):
    """(B, T', D) -> (B, D): a mean over time whose weights are learned from the features themselves.

    The score of a moment is w^T tanh(V h_t), its weight the softmax over time (attention-based pooling,
    Ilse et al. 2018, arXiv:1802.04712, eq. 8). At the start the weights are equal: it begins as the mean.
    """

    def __init__(self, dim: int, hidden: int | None = None) -> None:
        super().__init__()
        width = hidden or max(dim // 4, 1)
        self.inner = nn.Linear(dim, width)
        self.score = nn.Linear(width, 1, bias=False)  # the softmax would cancel a bias
        nn.init.zeros_(self.score.weight)

    def weights(self, features: Tensor) -> Tensor:
        """(B, T', D) -> (B, T'), each row summing to 1: how much a moment counts."""
        return self.score(torch.tanh(self.inner(features))).squeeze(-1).softmax(dim=1)

    def forward(self, features: Tensor) -> Tensor:
        return torch.einsum("bt,btd->bd", self.weights(features), features)


def make_pool(name: str, dim: int) -> nn.Module:
    """A module that takes features (B, T', D) to (B, D).

    Raises:
        ValueError: No such pooling.
    """
    if name == "mean":
        return MeanPool()
    if name == "max":
        return MaxPool()
    if name == "attention":
        return AttentionPool(dim)
    raise ValueError(f"there is no pooling {name!r}; expected one of {', '.join(POOLINGS)}")


class VideoModel(nn.Module, ABC):
    """A video classifier.

    Attributes:
        feature_dim: D, width of its features.
        needs_flow: Whether it wants optical flow beside the frames.
    """

    feature_dim: int
    needs_flow: bool = False

    @abstractmethod
    def forward_features(self, clip: Tensor, flow: Tensor | None = None) -> Tensor:
        """Features of a clip, before the classifier.

        Args:
            clip: float32 (B, 3, T, H, W), normalised RGB.
            flow: float32 (B, 2, T - 1, H, W), displacement (x, y) in pixels per frame of the resized
                frame, clipped to +-20 and divided by 20: -1..1. None where `needs_flow` is False.

        Returns:
            float32 (B, T', D), in order of time; T' = 1 where time is gone.

        Raises:
            ValueError: The model does not take this T or size.
        """

    @abstractmethod
    def forward_head(self, features: Tensor) -> Tensor:
        """Features (B, T', D) -> logits (B, C); pools over T' first."""

    def forward(self, clip: Tensor, flow: Tensor | None = None) -> Tensor:
        """Clip (B, 3, T, H, W) and perhaps flow (B, 2, T - 1, H, W) -> logits (B, C)."""
        return self.forward_head(self.forward_features(clip, flow))


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One line of the registry.

    Attributes:
        name: What it is called by, such as "slowfast_r50".
        build: `build(num_classes, frames, size, **options)`: the model with random weights, or with
            what its options ask for.
        paper: Authors, year, arXiv id.
        frames: T by default.
        size: Crop in pixels by default: clips are square.
        stride: Source frames (at 30 per second) from one of the T frames to the next, by default.
        frame_rule: Which T and sizes it takes, in words; a ValueError says the same when it is broken.
        needs_flow: Whether it wants optical flow beside the frames.
    """

    name: str
    build: Callable[..., VideoModel]
    paper: str
    frames: int
    size: int
    stride: int
    frame_rule: str
    needs_flow: bool = False


def check_clip(fits: bool, frames: int, height: int, width: int, rule: str) -> None:
    """Refuses a clip that a model cannot take.

    Raises:
        ValueError: It does not fit; the message holds the rule.
    """
    if not fits:
        raise ValueError(
            f"a clip of {frames} frames of {height} x {width} pixels does not fit; expected {rule}"
        )


def check_flow(clip: Tensor, flow: Tensor | None) -> Tensor:
    """The flow, when it is there and belongs to the clip: (B, 2, T - 1, H, W).

    Raises:
        ValueError: There is none, or its shape is another.
    """
    batch, _, frames, height, width = clip.shape
    expected = (batch, 2, frames - 1, height, width)
    if flow is None or tuple(flow.shape) != expected:
        got = "none" if flow is None else f"{tuple(flow.shape)}"
        raise ValueError(f"this model needs optical flow of shape {expected}, got {got}")
    return flow

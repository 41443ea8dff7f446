"""The network of the localisation head, see `encoders/heads/localisation.py`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from encoders.heads.head import FeatureTrack

CHANNELS = 128
COMPONENTS = 64
CHANGES = (1, 4)  # samples to either side over which change is taken
STRIDES = (1, 2, 4, 8)
GAP = 2  # cells to either side that a convolution reaches
REDUCTION_SAMPLES = 20_000  # of all videos together, evenly, that the reduction is fitted on


@dataclass(frozen=True, slots=True)
class Reduction:
    """Features to the directions in which they vary most: (h - mean) @ basis, of mean square 1."""

    mean: Tensor
    basis: Tensor

    def __call__(self, features: NDArray[np.floating]) -> Tensor:
        """float (T, D) -> float32 (T, K * (1 + changes)): the reduced features and their differences.

        Differences are taken between reduced features, which is the same as reducing differences.
        """
        parts = [
            (torch.from_numpy(features[start : start + 4096].astype(np.float32)) - self.mean) @ self.basis
            for start in range(0, len(features), 4096)
        ]
        reduced = torch.cat(parts)
        last = len(reduced) - 1
        places = torch.arange(len(reduced))
        changes = [
            reduced[(places + step).clamp(max=last)] - reduced[(places - step).clamp(min=0)]
            for step in CHANGES
        ]
        return torch.cat([reduced, *changes], dim=1)

    @classmethod
    def fit(cls, tracks: Sequence[FeatureTrack], generator: torch.Generator) -> Reduction:
        """The leading principal components by subspace iteration (Halko et al. 2009, arXiv:0909.4061)."""
        step = max(1, sum(len(track) for track in tracks) // REDUCTION_SAMPLES)
        rows = [track.features[(step - 1) // 2 :: step] for track in tracks]
        features = torch.from_numpy(np.concatenate(rows).astype(np.float32))
        mean = features.mean(dim=0)
        centred = features - mean
        width = min(COMPONENTS, features.shape[1])
        basis = torch.randn(features.shape[1], width, generator=generator)
        for _ in range(4):
            basis = torch.linalg.qr(centred.T @ (centred @ basis) + 1e-12 * basis).Q
        # The more a direction varies the louder it is, or else noise would be as loud together.
        basis = basis * (centred @ basis).square().mean(dim=0).pow(0.25)
        scale = (centred @ basis).square().mean().sqrt().clamp(min=1e-6)
        return cls(mean, (basis / scale).contiguous())


class _Block(nn.Module):
    """Mixes over time (depthwise, 5 cells), then over channels, and adds the input again.

    The depthwise convolution is a sum of shifted copies: torch's own takes four times as long to train.
    """

    def __init__(self) -> None:
        super().__init__()
        self.over_time = nn.Parameter(torch.empty(2 * GAP + 1, CHANNELS).uniform_(-0.45, 0.45))
        self.norm = nn.LayerNorm(CHANNELS)
        self.over_channels = nn.Linear(CHANNELS, CHANNELS)

    def forward(self, cells: Tensor, mask: Tensor) -> Tensor:
        """cells (B, T, C), mask (B, T, 1); what the mask leaves out never reaches what it keeps."""
        padded = functional.pad(cells * mask, (0, 0, GAP, GAP))
        mixed = padded[:, : cells.shape[1]] * self.over_time[0]
        for shift in range(1, 2 * GAP + 1):
            mixed = torch.addcmul(mixed, padded[:, shift : shift + cells.shape[1]], self.over_time[shift])
        return cells + functional.gelu(self.over_channels(self.norm(mixed)))


class _Branch(nn.Module):
    """Two blocks and a linear layer, shared by all levels."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.block = _Block()
        self.b2 = _Block()
        self.norm = nn.LayerNorm(CHANNELS)
        self.last = nn.Linear(CHANNELS, outputs)

    def forward(self, cells: Tensor, mask: Tensor) -> Tensor:
        return self.last(self.norm(self.b2(self.block(cells, mask), mask)))


class Network(nn.Module):
    """Reduced features of videos in; for every cell of every level, logits and distances out."""

    def __init__(self, width: int, actions: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, CHANNELS)
        self.stem = nn.ModuleList(_Block() for _ in range(2))
        self.levels = nn.ModuleList(_Block() for _ in STRIDES)
        self.classes = _Branch(actions)
        self.borders = _Branch(2)
        self.level_scale = nn.Parameter(torch.full((len(STRIDES),), 2.0))
        nn.init.constant_(self.classes.last.bias, -3.0)  # focal loss starts calm if actions start rare

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Runs over videos padded to one length.

        Args:
            features: float32 (B, T, width), T a multiple of the widest stride.
            lengths: int64 (B,), samples of each that are no padding.

        Returns:
            Logits (B, P, A), distances to start and end in samples (B, P, 2), and which of the P points
            are no padding, bool (B, P); points as `cell_points` lists them.
        """
        cells = self.project(features)
        mask = _mask(lengths, features.shape[1], 1)
        for block in self.stem:
            cells = block(cells, mask)
        levels, masks = [], []
        for level, stride in enumerate(STRIDES):
            if stride > 1:
                cells = functional.avg_pool1d((cells * mask).transpose(1, 2), 2).transpose(1, 2)
                mask = _mask(lengths, features.shape[1], stride)
            cells = self.levels[level](cells, mask)
            levels.append(functional.pad(cells, (0, 0, 0, GAP)))
            masks.append(functional.pad(mask, (0, 0, 0, GAP)))
        # The branches run once, over all levels in a row: a gap keeps one from seeing the next.
        row, row_mask = torch.cat(levels, dim=1), torch.cat(masks, dim=1)
        counts = [mask.shape[1] - GAP for mask in masks]
        places = torch.cat([torch.arange(count + GAP) < count for count in counts])
        owner = torch.arange(len(STRIDES)).repeat_interleave(torch.tensor(counts))
        raw = self.borders(row, row_mask)[:, places] * self.level_scale[owner][:, None]
        distances = functional.softplus(raw) * torch.tensor(STRIDES)[owner][:, None]
        return self.classes(row, row_mask)[:, places], distances, row_mask[:, places, 0] > 0


def _mask(lengths: Tensor, samples: int, stride: int) -> Tensor:
    return (torch.arange(0, samples, stride) < lengths[:, None])[..., None].float()


def cell_points(samples: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """The middle of each cell in samples, its stride and its level: three of (P,)."""
    counts = [samples // stride for stride in STRIDES]
    levels = np.repeat(np.arange(len(STRIDES)), counts)
    strides = np.array(STRIDES, dtype=np.float64)[levels]
    return (np.concatenate([np.arange(count) for count in counts]) + 0.5) * strides, strides, levels


def pad_videos(videos: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Videos (T_i, width) as one (B, T, width), T a multiple of the widest stride, and their lengths."""
    lengths = torch.tensor([len(video) for video in videos])
    samples = -(-int(lengths.max()) // STRIDES[-1]) * STRIDES[-1]
    batch = torch.zeros(len(videos), samples, videos[0].shape[1])
    for row, video in zip(batch, videos, strict=True):
        row[: len(video)] = video
    return batch, lengths


@contextmanager
def one_thread() -> Iterator[None]:
    """The layers are too small to share out: two threads gain a quarter on idle cores, and on busy ones
    they wait for each other so long that training takes ten times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

"""From clips to batches: decoded by several programs, the same ones in the same order every time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from encoders.errors import ReelseekError
from encoders.training.augment import Augmentation, prepare_evaluation_clips

Frames = NDArray[np.uint8]
Flow = NDArray[np.float32]


class ClipSource(Protocol):
    """A source of training clips.

    Attributes:
        labels: Names of the classes.
        targets: The label of each clip, as an index into them.
    """

    labels: tuple[str, ...]
    targets: Sequence[int]

    def read(self, index: int, epoch: int) -> tuple[Frames, Flow | None]:
        """One clip: frames uint8 (T, H, W, 3), flow float32 (T-1, H, W, 2) in pixels or None.

        Raises:
            ReelseekError: It is damaged; the message names it.
        """
        ...

    def __len__(self) -> int: ...


@dataclass(slots=True)
class Batch:
    """The clips and labels of one training step.

    Attributes:
        clips: float32 (B, 3, T, H, W); B is 0 where all were damaged.
        flow: float32 (B, 2, T-1, H, W), or None.
        targets: int64 (B,).
        indices: Of the clips in their source, int64 (B,).
        damaged: Index and reason of each clip that could not be read.
    """

    clips: Tensor
    flow: Tensor | None
    targets: Tensor
    indices: Tensor
    damaged: tuple[tuple[int, str], ...]


class ReadClips(Dataset[Batch]):
    """Whole batches of a source, by their number; to be read by other programs."""

    def __init__(
        self,
        source: ClipSource,
        batches: Sequence[Sequence[int]],
        epoch: int,
        size: int,
        augmentation: Augmentation | None,
        seed: int,
        crops: int = 1,
    ) -> None:
        """Takes note of what to read.

        Args:
            source: Of the clips.
            batches: Their indices, batch by batch.
            epoch: Which decides on places and changes.
            size: Of a crop in pixels.
            augmentation: How clips are changed; None for their centres as they are.
            seed: Of the changes.
            crops: 3 for both ends of the longer side beside the centre, without augmentation: so many
                clips, one after the other, for each index.
        """
        self._crops = crops
        self._source, self._batches, self._epoch = source, batches, epoch
        self._size, self._augmentation, self._seed = size, augmentation, seed

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, number: int) -> Batch:
        clips, flows, indices, damaged = [], [], [], []
        for index in self._batches[number]:
            try:
                frames, flow = self._source.read(index, self._epoch)
            except ReelseekError as error:
                damaged.append((index, str(error)))
                continue
            for clip, moved in self._prepared(frames, flow, index):
                clips.append(clip)
                flows.append(moved)
                indices.append(index)
        return Batch(
            torch.stack(clips) if clips else torch.zeros(0),
            torch.stack([flow for flow in flows if flow is not None])
            if clips and flows[0] is not None
            else None,
            torch.tensor([self._source.targets[index] for index in indices], dtype=torch.int64),
            torch.tensor(indices, dtype=torch.int64),
            tuple(damaged),
        )

    def _prepared(self, frames: Frames, flow: Flow | None, index: int) -> list[tuple[Tensor, Tensor | None]]:
        if self._augmentation is None:
            return prepare_evaluation_clips(frames, flow, self._size, self._crops)
        generator = torch.Generator().manual_seed(mixed(self._seed, self._epoch, index))
        return [self._augmentation(frames, flow, generator)]


def training_batches(
    count: int, batch_size: int, epoch: int, seed: int, rank: int, ranks: int
) -> list[list[int]]:
    """One epoch's clips in random order, in batches; each of several devices has its own, and as many."""
    order = np.random.default_rng(mixed(seed, epoch)).permutation(count).tolist()
    whole = batch_size * ranks
    # The last update has as many clips as the others: what is missing is taken from the beginning.
    missing = -len(order) % whole if len(order) > whole else -len(order) % ranks
    order += order[:missing]
    own = order[rank::ranks]
    return [own[start : start + batch_size] for start in range(0, len(own), batch_size)]


def evaluation_batches(count: int, batch_size: int, rank: int = 0, ranks: int = 1) -> list[list[int]]:
    """All clips once, in order."""
    own = list(range(rank, count, ranks))
    return [own[start : start + batch_size] for start in range(0, len(own), batch_size)]


def read_batches(clips: ReadClips, workers: int, first: int = 0) -> Iterator[Batch]:
    """Batches in order, decoded ahead by `workers` programs (by this one where that is 0)."""
    yield from DataLoader(
        clips,
        batch_size=None,
        sampler=range(first, len(clips)),
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
        prefetch_factor=2 if workers else None,
    )


def mixed(*numbers: int) -> int:
    """One seed out of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])

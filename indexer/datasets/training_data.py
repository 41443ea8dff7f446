"""Clips to train and evaluate on, out of the samples of a data set."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from encoders.errors import DecodeError
from indexer.datasets.flow import FlowPreset, cached_flow
from indexer.datasets.types import Sample
from indexer.video.clips.array_cache import ArrayCache
from indexer.video.clips.clip_frames import read_clip
from indexer.video.clips.clip_sampling import ClipSampling
from search.file_names import os_path

__all__ = ["ClipDataset", "ClipSampling"]


class ClipDataset:
    """Clips by number. Picklable, and the same in every program that reads it.

    While training, a clip lies at a random place of its sample, drawn from the seed, the epoch and the number
    alone. Without, each sample has `clips` clips at evenly spaced places, one after the other: number
    `s * clips + c` is the c-th clip of sample s; a single one lies in the middle.

    Attributes:
        labels: Names of the classes.
        targets: The label of each clip, an index into them; -1 for none.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        labels: Sequence[str],
        sampling: ClipSampling,
        *,
        training: bool,
        seed: int = 0,
        clips: int = 1,
        positions: int | None = None,
        flow: FlowPreset | None = None,
        cache: ArrayCache | None = None,
        threads: int | None = 1,
    ) -> None:
        """Takes note of what to read; nothing is opened yet.

        Args:
            samples: Of one split.
            labels: Names of the classes.
            sampling: Which frames make a clip.
            training: Whether clips lie at random places.
            seed: Of those.
            clips: How many of each sample, where not training.
            positions: How many evenly spaced places a training clip may lie at; None for any. Few let the
                cache of optical flow hit.
            flow: How to compute optical flow; None for none.
            cache: Where to keep decoded frames and flow.
            threads: Of each decoder; one is best where several programs decode.

        Raises:
            ValueError: A number is out of range.
        """
        for name, value in (("clips", clips), ("positions", 1 if positions is None else positions)):
            if value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}")
        if seed < 0:
            raise ValueError(f"the seed must be 0 or more, got {seed}")
        if flow is not None and sampling.frames < 2:
            raise ValueError("optical flow needs clips of 2 frames or more")
        self.labels = tuple(labels)
        self.sampling = sampling
        self._samples = tuple(samples)
        self._training, self._seed = training, seed
        self._clips = 1 if training else clips
        self._positions, self._flow, self._cache, self._threads = positions, flow, cache, threads
        own = [-1 if sample.label is None else sample.label for sample in self._samples]
        self.targets: Sequence[int] = [label for label in own for _ in range(self._clips)]

    @property
    def fingerprint(self) -> str:
        """SHA-256 in hexadecimal of which samples these are: paths, labels and spans, in any order.

        Paths count from the folder that holds all of them, so that data may be moved as a whole.
        """
        folders = {os.path.dirname(os.path.abspath(sample.path)) for sample in self._samples}
        base = os.path.commonpath(folders) if folders else ""
        rows = sorted(
            json.dumps(
                [
                    os.path.relpath(os.path.abspath(sample.path), base),
                    None if sample.label is None else self.labels[sample.label],
                    sample.start_seconds,
                    sample.end_seconds,
                ]
            )
            for sample in self._samples
        )
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()

    def __len__(self) -> int:
        return len(self.targets)

    def sample_of(self, index: int) -> Sample:
        """The sample that a clip is of."""
        return self._samples[index // self._clips]

    def read(self, index: int, epoch: int) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
        """One clip.

        Returns:
            Frames uint8 (T, H, W, 3), and flow float32 (T-1, H, W, 2) in pixels or None.

        Raises:
            DecodeError: It cannot be read; the message begins with the path.
            IndexError: There is no such clip.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"there is no clip {index}: there are {len(self)}")
        sample = self.sample_of(index)
        span = None
        if sample.start_seconds is not None and sample.end_seconds is not None:
            span = (sample.start_seconds, sample.end_seconds)
        try:
            frames = read_clip(
                sample.path,
                self.sampling,
                self._fraction(index, epoch),
                span_seconds=span,
                cache=self._cache,
                cache_key="" if self._cache is None else _content_key(sample.path),
                threads=self._threads,
            )
        except Exception as error:
            # Engines have exceptions of many kinds for what they cannot read, and one bad file must not end
            # the training.
            reason = str(error) if isinstance(error, DecodeError) else _plain(error)
            raise DecodeError(f"{sample.path}: {reason}") from error
        flow = None if self._flow is None else cached_flow(frames, self._cache, self._flow)
        return frames, flow

    def _fraction(self, index: int, epoch: int) -> float:
        """Where in its sample a clip lies, 0 to 1."""
        if self._training:
            random = np.random.default_rng((self._seed, epoch, index))
            if self._positions is None:
                return float(random.random())
            return _evenly(int(random.integers(self._positions)), self._positions)
        return _evenly(index % self._clips, self._clips)


def _evenly(number: int, count: int) -> float:
    return 0.5 if count == 1 else number / (count - 1)


def _plain(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return f"{text or type(error).__name__}"


def _content_key(path: str) -> str:
    """The state of a file, which writing it anew changes; empty where there is none."""
    try:
        status = os.stat(os_path(path))
    except (OSError, ValueError):
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"

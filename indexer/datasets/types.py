"""Samples with a label, a span and a split: every layout of a data set is read into them."""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from encoders.errors import InvalidQueryError, NotFoundError
from indexer.ingest.walk import find_files, looks_like_video

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

# How the folders, files and fields of well-known data sets name their parts.
SPLIT_NAMES: dict[str, Split] = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validate": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip

_MISSING_NAMED = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """One piece of video to learn from.

    Attributes:
        path: Of the video file.
        label: Index into the labels of the data set; None for a video that has none.
        start_seconds: Where it begins, a presentation time; None for the whole file.
        end_seconds: Where it ends (half-open).
        split: Which part of the data set it belongs to.
        group: What it shares with samples that look alike (the film it was cut from); samples of one group
            are never drawn into different splits.
    """

    path: str
    label: int | None
    start_seconds: float | None = None
    end_seconds: float | None = None
    split: Split = "train"
    group: str = ""

    def __post_init__(self) -> None:
        start, end = self.start_seconds, self.end_seconds
        if (start is None) != (end is None):
            raise InvalidQueryError(
                f"{self.path}: a span needs both a start and an end, got {start} to {end}"
            )
        if start is None or end is None:
            return
        if not (math.isfinite(start) and math.isfinite(end) and 0 <= start < end):
            raise InvalidQueryError(
                f"{self.path}: a span begins at 0 s or later and ends after that, got {start:g} to {end:g} s"
            )


@dataclass(frozen=True, slots=True)
class Dataset:
    """Samples of one data set.

    Attributes:
        samples: Those whose video file is there.
        labels: Names of the classes, by index.
        layout: Name of the layout that was read.
        missing: Names of videos that the lists name and the folder lacks.
        notes: What a person should know of how it was read.
    """

    samples: tuple[Sample, ...]
    labels: tuple[str, ...]
    layout: str
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def of(self, split: Split, *, labelled: bool = True) -> tuple[Sample, ...]:
        """The samples of one split; those without a label only where `labelled` is False."""
        return tuple(s for s in self.samples if s.split == split and (s.label is not None or not labelled))

    def summary(self) -> dict[str, object]:
        """Counts for a card or a line of text; values fit JSON."""
        counts = Counter(sample.split for sample in self.samples)
        return {
            "layout": self.layout,
            "classes": len(self.labels),
            "samples": {split: counts[split] for split in SPLITS if counts[split]},
            "missing": len(self.missing),
        }


@dataclass(frozen=True, slots=True)
class ImportanceSample:
    """One video with how important people found each part of it.

    Attributes:
        path: Of the video file.
        scores: float32 (users, N), 0..1: N equal parts of the video, in order (the annotators' frames).
        split: Which part of the data set it belongs to.
        category: What kind of video it is, where the data set says so.
    """

    path: str
    scores: NDArray[np.float32]
    split: Split = "train"
    category: str | None = None

    def scores_at(self, times_seconds: NDArray[np.float64], duration_seconds: float) -> NDArray[np.float32]:
        """Each user's scores at times counted from the first frame.

        Args:
            times_seconds: float64 (M,).
            duration_seconds: Of the video; the N parts share it equally.

        Returns:
            float32 (users, M). Times outside the video get the score of its first or last part.
        """
        parts = self.scores.shape[1]
        index = np.floor(np.asarray(times_seconds) / duration_seconds * parts + 1e-9).astype(np.int64)
        return self.scores[:, np.clip(index, 0, parts - 1)]


@dataclass(frozen=True, slots=True)
class ImportanceDataset:
    """Videos with annotated importance; the attributes are those of `Dataset`."""

    samples: tuple[ImportanceSample, ...]
    layout: str
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def of(self, split: Split) -> tuple[ImportanceSample, ...]:
        """The samples of one split."""
        return tuple(sample for sample in self.samples if sample.split == split)


class VideoFiles:
    """The video files below a folder, found by the ways in which lists name them.

    One walk, then look-ups: lists name hundreds of thousands of files.
    """

    def __init__(self, folder: Path) -> None:
        """Raises NotFoundError: There is no such folder."""
        if not folder.is_dir():
            raise NotFoundError(f"there is no folder {folder}: name the folder that holds the videos")
        self.folder = folder
        self.paths = [f.path for f in find_files([folder]) if f.reason is None and looks_like_video(f.path)]
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for path in self.paths:
            self._by_stem[os.path.splitext(os.path.basename(path))[0]].append(path)

    def named(self, *names: str, strict: bool = False) -> str | None:
        """The path of the first name that is there, whatever its suffix.

        Args:
            names: Paths below the folder, or file names, with or without suffix. A file whose own folder fits
                the name's comes first.
            strict: Whether the folder must fit where the name has one: 001.mp4 may be in every folder.
        """
        for name in names:
            whole = self.folder / name
            if os.path.splitext(name)[1] and whole.is_file():
                return str(whole.absolute())
            parent, _, base = name.replace("\\", "/").rpartition("/")
            found = self._by_stem.get(base) or []
            if not found and looks_like_video(base):
                found = self._by_stem.get(os.path.splitext(base)[0]) or []
            parent = parent.rpartition("/")[2]
            fitting = [path for path in found if os.path.basename(os.path.dirname(path)) == parent]
            if strict and parent and not fitting:
                continue
            found = fitting or found
            if found:
                # Kinetics comes with a folder of files that stand in for broken ones of the same name.
                return next((path for path in found if "replacement" in path.lower()), found[0])
        return None


def check_found(found: int, missing: Sequence[str], folder: Path, expected: str) -> None:
    """Raises NotFoundError where not one video of a data set is there."""
    if found:
        return
    if missing:
        raise NotFoundError(
            f"none of the {len(missing)} videos that the lists name is below {folder}; expected {expected}, "
            f"for instance {missing[0]}"
        )
    raise NotFoundError(f"there is no sample in {folder}; expected {expected}")


def missing_note(missing: Sequence[str]) -> list[str]:
    """One line about videos that are not there; none where all are."""
    if not missing:
        return []
    named = ", ".join(missing[:_MISSING_NAMED])
    more = f" and {len(missing) - _MISSING_NAMED} more" if len(missing) > _MISSING_NAMED else ""
    are = "video that the lists name is" if len(missing) == 1 else "videos that the lists name are"
    return [f"{len(missing)} {are} not there and left out: {named}{more}"]


def split_off(samples: Sequence[Sample], target: Split, share: float, seed: int) -> tuple[Sample, ...]:
    """Draws a share of the training samples of every class into another split, by whole groups.

    The draw depends on the names and the seed alone, not on the order or place of the files. A class keeps
    at least one group to train on.

    Args:
        samples: Of all splits; those of others than "train" stay as they are.
        target: The split to fill.
        share: Of each class's training samples, 0..1.
        seed: Of the draw.
    """
    if not 0 <= share < 1:
        raise InvalidQueryError(f"the share of a split must be from 0 to below 1, got {share:g}")
    sizes: Counter[str] = Counter()
    members: dict[int | None, dict[str, None]] = defaultdict(dict)
    counts: Counter[int | None] = Counter()
    home: dict[str, int | None] = {}
    for sample in samples:
        if sample.split == "train":
            group = group_of(sample)
            label = home.setdefault(group, sample.label)  # a group of several classes is drawn once
            sizes[group] += 1
            counts[label] += 1
            members[label][group] = None
    drawn: set[str] = set()
    for label, groups in members.items():
        order = sorted(groups, key=lambda group: _draw(seed, group))
        taken = 0
        for group in order[:-1]:
            # Taking the group must bring the share nearer than leaving it.
            if taken + sizes[group] / 2 <= share * counts[label]:
                drawn.add(group)
                taken += sizes[group]
    return tuple(
        replace(s, split=target) if s.split == "train" and group_of(s) in drawn else s for s in samples
    )


def group_of(sample: Sample) -> str:
    """The samples that must stay in one split: the named group, else the file."""
    return sample.group or os.path.basename(os.path.dirname(sample.path)) + "/" + os.path.basename(
        sample.path
    )


def shared_groups(samples: Iterable[Sample]) -> list[str]:
    """Named groups that are in more than one split, sorted: what is learned there is known in the other."""
    seen: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        if sample.group:
            seen[sample.group].add(sample.split)
    return sorted(group for group, splits in seen.items() if len(splits) > 1)


def _draw(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()

"""Videos to learn importance from, and to judge it on: encoded once, their features kept on disk."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.embedding.encoder import Encoder
from encoders.errors import DecodeError, HeadFileError, InvalidQueryError
from encoders.evaluation.spans import SummaryCase
from encoders.heads.head import FeatureTrack
from encoders.lessons.importance import ImportanceVideo
from indexer.datasets.layouts import IMPORTANCE_LAYOUTS, detect_layout, read_dataset, read_importance
from indexer.datasets.types import ImportanceSample, Split, missing_note
from indexer.examples.lessons import encoded_track
from indexer.ingest.walk import content_digest
from indexer.video.clips.array_cache import ArrayCache
from indexer.video.programs.worker import DecodeWorker
from indexer.video.types import SamplingOptions
from search.catalog.tracks import track_from_bytes, track_to_bytes

PIECE_SECONDS = 4.0  # a summary takes whole shots; longer ones are cut into pieces of about this length


@dataclass(frozen=True, slots=True)
class SummarySample:
    """A whole video, with what is known of it.

    Attributes:
        path: Of the file.
        split: Which part of the data it belongs to.
        people: What people said of its parts; None where nobody did.
        label: Of its class, an index; None where it has none.
    """

    path: str
    split: Split
    people: ImportanceSample | None
    label: int | None


@dataclass(frozen=True, slots=True)
class SummaryData:
    """Whole videos to learn importance from.

    Attributes:
        samples: Of all splits.
        classes: Names of the labels; perhaps none.
        layout: Name of the layout that was read.
        notes: What a person should know of how it was read.
    """

    samples: tuple[SummarySample, ...]
    classes: tuple[str, ...]
    layout: str
    notes: tuple[str, ...] = ()


def read_summary_data(folder: Path, *, layout: str = "auto", seed: int = 0) -> SummaryData:
    """Reads people's scores where the layout has them, and elsewhere the classes of whole videos.

    Raises:
        NotFoundError: There is no such folder, or not one of the videos.
        InvalidQueryError: It cannot be read, or labels pieces of videos.
    """
    name = detect_layout(folder) if layout == "auto" else layout
    if name in IMPORTANCE_LAYOUTS:
        scored = read_importance(folder, layout=name, seed=seed)
        kinds = sorted({sample.category for sample in scored.samples if sample.category})
        samples = tuple(
            SummarySample(one.path, one.split, one, kinds.index(one.category) if one.category else None)
            for one in scored.samples
        )
        return SummaryData(samples, tuple(kinds), name, scored.notes)
    found = read_dataset(folder, layout=layout, seed=seed)
    samples = tuple(
        SummarySample(one.path, one.split, None, one.label)
        for one in found.samples
        if one.label is not None and one.start_seconds is None
    )
    if not samples:
        raise InvalidQueryError(
            f"importance is learned from whole videos, and {folder} labels pieces of them; expected SumMe's "
            "or TVSum's layout, or a folder for each class"
        )
    return SummaryData(samples, found.labels, found.layout, (*missing_note(found.missing), *found.notes))


def encode_samples(
    samples: Sequence[SummarySample],
    encoder: Encoder,
    sampling: SamplingOptions,
    cache: ArrayCache | None,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[tuple[SummarySample, FeatureTrack]], dict[str, str]]:
    """The features of each video that can be read, and why the others cannot: path and reason."""
    tracks, damaged = [], {}
    with DecodeWorker() as worker:
        for number, sample in enumerate(samples):
            on_progress(number, len(samples))
            try:
                tracks.append((sample, _encoded(worker, sample.path, encoder, sampling, cache)))
            except (DecodeError, OSError) as error:
                damaged[sample.path] = str(error)
    on_progress(len(samples), len(samples))
    return tracks, damaged


def _encoded(
    worker: DecodeWorker, path: str, encoder: Encoder, sampling: SamplingOptions, cache: ArrayCache | None
) -> FeatureTrack:
    key = json.dumps(["track", content_digest(path), encoder.encoder_id, sampling.to_json()])
    stored = None if cache is None else cache.get(key)
    if stored is not None:
        try:
            return track_from_bytes(stored.tobytes())
        except HeadFileError:  # damaged on the disk: encoded anew
            pass
    track = encoded_track(worker, path, encoder, sampling)
    if cache is not None:
        cache.put(key, np.frombuffer(track_to_bytes(track), np.uint8))
    return track


def to_learn(sample: SummarySample, track: FeatureTrack) -> ImportanceVideo:
    """One video as `encoders.lessons.importance` learns from it."""
    scores = None
    if sample.people is not None:
        first, last = float(track.borders_seconds[0]), float(track.borders_seconds[-1])
        scores = sample.people.scores_at(track.times_seconds - first, last - first)
    return ImportanceVideo(Path(sample.path).stem, track.features, scores, sample.label)


def to_judge(sample: SummarySample, track: FeatureTrack, scores: NDArray[np.floating]) -> SummaryCase:
    """One video as `encoders.evaluation.spans` judges it: s (T,) spread over the parts that people saw."""
    assert sample.people is not None
    users = sample.people.scores
    parts = users.shape[1]
    edges = track.borders_seconds - track.borders_seconds[0]
    centres = (np.arange(parts) + 0.5) / parts * edges[-1]
    moments = np.clip(np.searchsorted(edges, centres, side="right") - 1, 0, len(track) - 1)
    shares = piece_borders(track) / edges[-1]
    return SummaryCase.of_people(Path(sample.path).stem, scores[moments], shares, users)


def piece_borders(track: FeatureTrack) -> NDArray[np.float64]:
    """Where a video's pieces begin and end, seconds from its first: shots, long ones cut evenly."""
    starts = np.flatnonzero(np.diff(track.shots, prepend=track.shots[0] - 1))
    edges = np.append(track.borders_seconds[starts], track.borders_seconds[-1]) - track.borders_seconds[0]
    borders = [
        np.linspace(start, end, max(1, round((end - start) / PIECE_SECONDS)), endpoint=False)
        for start, end in itertools.pairwise(edges.tolist())
    ]
    return np.append(np.concatenate(borders), edges[-1])

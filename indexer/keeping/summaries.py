"""A catalogued video's summary out of what the catalog holds: features, and the pictures of key frames."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.budget import check_budget
from encoders.errors import EncoderMismatchError, LibraryError, NotFoundError
from encoders.heads.head import FeatureTrack
from search.catalog.catalog import Catalog
from search.catalog.record import open_record
from search.documents.summaries import SummaryDocument, summary_frame_document
from search.summary.budget import Budget, spans_of
from search.summary.choosing import UNTRAINED, ImportanceScorer, choose
from search.summary.looks import Looks, look_at, representativeness
from search.types import KeyFrame, Video

MOST_SAMPLES = 6000  # of a longer video, nearly an hour, that many key frames are looked at
_SHARPNESS_SIDE = 180
_BLANK_DEVIATION = 4.0  # of luma, 0..255: below, a picture shows nothing


@dataclass(frozen=True, slots=True)
class SummaryFrame:
    """A chosen key frame.

    Attributes:
        key_frame: It is shown at `key_frame.time_seconds`.
        importance: 0..1.
        start_seconds, end_seconds: The piece of the video that stands for it in a summary in motion.
    """

    key_frame: KeyFrame
    importance: float
    start_seconds: float
    end_seconds: float


@dataclass(frozen=True, slots=True)
class VideoSummary:
    """A summary of a video, in order of time.

    Attributes:
        by: What decided on importance: "representativeness", or a head's name.
        start_seconds, end_seconds: Presentation times between which the video lies.
        notes: A budget that was not met, and why.
    """

    video: Video
    frames: tuple[SummaryFrame, ...]
    by: str
    start_seconds: float
    end_seconds: float
    notes: tuple[str, ...]

    @property
    def shown_seconds(self) -> float:
        """The length of all chosen pieces."""
        return sum(frame.end_seconds - frame.start_seconds for frame in self.frames)


@dataclass(frozen=True, slots=True)
class _Stored:
    """The stored frames of a video, or of a long one an even selection.

    Attributes:
        key_frames: C of them, in order of time.
        samples: int64 (C,), the sample of each.
        importance: float32 (T,), of the samples.
    """

    track: FeatureTrack
    looks: Looks
    key_frames: list[KeyFrame]
    samples: NDArray[np.int64]
    importance: NDArray[np.float32]


def summarize(
    catalog: Catalog, video_id: int, budget: Budget, scorer: ImportanceScorer | None = None
) -> VideoSummary:
    """Chooses key frames of a video; its file is not needed.

    Args:
        catalog: That holds the video.
        video_id: Of the video.
        budget: How much to show.
        scorer: A trained importance head; None means representativeness.

    Raises:
        NotFoundError: There is no such video, or nothing of it was indexed.
        EncoderMismatchError: The head reads the features of another encoder.
    """
    video = catalog.video(video_id)
    stored = _stored(catalog, video, scorer)
    track, key_frames = stored.track, stored.key_frames
    chosen = choose(
        track,
        stored.importance,
        stored.samples,
        budget,
        lambda number: picture_sharpness(catalog.key_frame_jpeg(key_frames[number].id)),
        stored.looks,
    )
    spans = spans_of(track, [key_frames[number].time_seconds for number in chosen.picks], budget)
    notes = list(chosen.notes)
    first, last = float(track.borders_seconds[0]), float(track.borders_seconds[-1])
    shown = sum(end - start for start, end in spans)
    if budget.share is not None and not notes and shown < 0.9 * budget.share * (last - first):
        notes.append(f"the shots of the {len(spans)} frames last {shown:.1f} s only")
    frames = tuple(
        SummaryFrame(key_frames[number], float(stored.importance[stored.samples[number]]), start, end)
        for number, (start, end) in zip(chosen.picks, spans, strict=True)
    )
    return VideoSummary(video, frames, _name(scorer), first, last, tuple(notes))


def describe_summary(found: VideoSummary, written: Sequence[Path]) -> SummaryDocument:
    """Describes a summary, and the files that were written of it."""
    return {
        "video_id": found.video.id,
        "path": found.video.path,
        "duration_seconds": round(found.end_seconds - found.start_seconds, 6),
        "shown_seconds": round(found.shown_seconds, 6),
        "by": found.by,
        "key_frames": [
            {
                **summary_frame_document(frame.key_frame, frame.importance),
                "start_seconds": round(frame.start_seconds, 6),
                "end_seconds": round(frame.end_seconds, 6),
            }
            for frame in found.frames
        ],
        "notes": list(found.notes),
        "written": [str(path) for path in written],
    }


def all_key_frames(
    catalog: Catalog, video_id: int, scorer: ImportanceScorer | None = None
) -> tuple[list[tuple[KeyFrame, float]], str]:
    """Every stored key frame of a video with its importance, in order of time, and what decided on it.

    Raises:
        NotFoundError: There is no such video.
    """
    video = catalog.video(video_id)
    every = stored_key_frames(catalog, video_id)
    if not every:
        return [], _name(scorer)
    stored = _stored(catalog, video, scorer)
    times = np.array([frame.time_seconds for frame in every])
    importance = stored.importance[_nearest(stored.track.times_seconds, times)]
    return list(zip(every, importance.tolist(), strict=True)), _name(scorer)


def _name(scorer: ImportanceScorer | None) -> str:
    return UNTRAINED if scorer is None else scorer.name


def scores_of(catalog: Catalog, track: FeatureTrack, scorer: ImportanceScorer) -> NDArray[np.float32]:
    """Judges a whole video by a head: float32 (T,), 0..1. Raises EncoderMismatchError."""
    record = open_record(catalog)
    if scorer.encoder_id != record.encoder_id:
        raise EncoderMismatchError(
            f"the importance head {scorer.name} reads features of {scorer.encoder_id}, but this library's "
            f"are of {record.encoder_id}: train one on this library's encoder, or leave --importance out"
        )
    return scorer.importance(np.asarray(track.features, np.float32))


def open_scorer(checkpoint: Path) -> ImportanceScorer:
    """The importance head in a checkpoint. Raises ReelseekError."""
    from encoders.heads.importance import open_importance

    scorer: ImportanceScorer = open_importance(checkpoint)
    return scorer


def stored_key_frames(catalog: Catalog, video_id: int) -> list[KeyFrame]:
    """A video's key frames in order of time; perhaps none."""
    by_clip = catalog.key_frames([clip.id for clip in catalog.clips_of_video(video_id)])
    found = (frame for frames in by_clip.values() for frame in frames)
    return sorted(found, key=lambda frame: (frame.time_seconds, frame.id))


def _stored(catalog: Catalog, video: Video, scorer: ImportanceScorer | None) -> _Stored:
    key_frames = stored_key_frames(catalog, video.id)
    record = catalog.library_record()
    if not key_frames or record is None:
        why = f": {video.error}" if video.error else ""
        raise NotFoundError(f"nothing of {video.path} is indexed, so there is nothing to choose from{why}")
    pieces = []
    for piece in catalog.tracks(video.id, record.dim):
        check_budget()
        pieces.append(piece)
    if not pieces:
        raise LibraryError(f"{video.path} has key frames but no features: `indexer ingest` it again")
    track = _joined(pieces)
    scores = None if scorer is None else scores_of(catalog, track, scorer)
    samples = _nearest(track.times_seconds, np.array([frame.time_seconds for frame in key_frames]))
    if len(track) > MOST_SAMPLES:
        chosen = np.linspace(0, len(key_frames) - 1, min(MOST_SAMPLES, len(key_frames))).round().astype(int)
        key_frames = [key_frames[number] for number in chosen.tolist()]
        rows, samples = np.unique(samples[chosen], return_inverse=True)
        scores = None if scores is None else scores[rows]
        track = _thinned(track, rows)
    looks = look_at(track)
    importance = representativeness(track, looks) if scores is None else scores
    return _Stored(track, looks, key_frames, samples, importance)


def _thinned(track: FeatureTrack, rows: NDArray[np.int64]) -> FeatureTrack:
    """Some of the samples, ascending; cuts stay where they are."""
    times, shots = track.times_seconds[rows], track.shots[rows]
    cuts = track.borders_seconds[np.searchsorted(track.shots, shots[1:])]
    inner = np.where(shots[1:] != shots[:-1], cuts, (times[1:] + times[:-1]) / 2)
    borders = np.concatenate([track.borders_seconds[:1], inner, track.borders_seconds[-1:]])
    return FeatureTrack(track.features[rows], times, borders, shots)


def _joined(pieces: Sequence[FeatureTrack]) -> FeatureTrack:
    """The pieces of a long video as one track; each begins a shot."""
    if len(pieces) == 1:
        return pieces[0]
    shots, following = [], 0
    for piece in pieces:
        shots.append(piece.shots - piece.shots[0] + following)
        following = int(shots[-1][-1]) + 1
    borders = [piece.borders_seconds[:-1] for piece in pieces]
    return FeatureTrack(
        np.concatenate([piece.features for piece in pieces]),
        np.concatenate([piece.times_seconds for piece in pieces]),
        np.concatenate([*borders, pieces[-1].borders_seconds[-1:]]),
        np.concatenate(shots),
    )


def _nearest(times: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.int64]:
    """The place of the nearest of the ascending times (T,) for each wanted one."""
    after = np.clip(np.searchsorted(times, wanted), 1, max(1, len(times) - 1))
    if len(times) == 1:
        return np.zeros(len(wanted), np.int64)
    before = after - 1
    return np.where(wanted - times[before] <= times[after] - wanted, before, after)


def picture_sharpness(jpeg: bytes) -> float:
    """Variance of the Laplacian of the luma (Pech-Pacheco et al. 2000); 0 for black and plain pictures."""
    from PIL import Image

    with Image.open(io.BytesIO(jpeg)) as picture:
        picture.draft("L", (_SHARPNESS_SIDE, _SHARPNESS_SIDE))
        luma = np.asarray(picture.convert("L"), np.float32)
    if luma.std() < _BLANK_DEVIATION or min(luma.shape) < 3:
        return 0.0 if luma.std() < _BLANK_DEVIATION else 1.0
    centre = luma[1:-1, 1:-1]
    edges = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * centre
    return max(float(edges.var()), 1e-6)

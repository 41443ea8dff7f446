"""A catalogued video's summary out of what the catalog holds: features, and the pictures of key frames."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.errors import EncoderMismatchError, LibraryError, NotFoundError
from encoders.heads import FeatureTrack
from search.catalog import Catalog, open_record
from search.summary import UNTRAINED, Budget, ImportanceScorer, choose, representativeness, spans_of
from search.types import KeyFrame, Video

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
    """What a summary shows of a video, in order of time.

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
        """How long the chosen pieces last together."""
        return sum(frame.end_seconds - frame.start_seconds for frame in self.frames)


@dataclass(frozen=True, slots=True)
class _Stored:
    """What the catalog holds of a video: its track, its key frames and the sample of each."""

    track: FeatureTrack
    key_frames: list[KeyFrame]
    samples: NDArray[np.int64]


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
    stored = _stored(catalog, video)
    importance, by = importance_of(catalog, stored.track, scorer)
    chosen = choose(
        stored.track,
        importance,
        stored.samples,
        budget,
        lambda number: picture_sharpness(catalog.key_frame_jpeg(stored.key_frames[number].id)),
    )
    frames = [stored.key_frames[number] for number in chosen.picks]
    spans = spans_of(stored.track, [frame.time_seconds for frame in frames], budget)
    notes = list(chosen.notes)
    borders = stored.track.borders_seconds
    shown = sum(end - start for start, end in spans)
    if budget.share is not None and not notes and shown < 0.9 * budget.share * (borders[-1] - borders[0]):
        notes.append(f"the shots of the {len(frames)} frames last {shown:.1f} s only")
    return VideoSummary(
        video,
        tuple(
            SummaryFrame(frame, float(importance[stored.samples[number]]), start, end)
            for frame, number, (start, end) in zip(frames, chosen.picks, spans, strict=True)
        ),
        by,
        float(borders[0]),
        float(borders[-1]),
        tuple(notes),
    )


def all_key_frames(
    catalog: Catalog, video_id: int, scorer: ImportanceScorer | None = None
) -> tuple[list[tuple[KeyFrame, float]], str]:
    """Every stored key frame of a video with its importance, in order of time, and what decided on it.

    Raises:
        NotFoundError: There is no such video.
    """
    video = catalog.video(video_id)
    try:
        stored = _stored(catalog, video)
    except NotFoundError:
        return [], UNTRAINED if scorer is None else scorer.name
    importance, by = importance_of(catalog, stored.track, scorer)
    pairs = zip(stored.key_frames, importance[stored.samples].tolist(), strict=True)
    return list(pairs), by


def importance_of(
    catalog: Catalog, track: FeatureTrack, scorer: ImportanceScorer | None
) -> tuple[NDArray[np.float32], str]:
    """Importance float32 (T,) of a track's samples, and what decided on it. Raises EncoderMismatchError."""
    if scorer is None:
        return representativeness(track), UNTRAINED
    record = open_record(catalog)
    if scorer.encoder_id != record.encoder_id:
        raise EncoderMismatchError(
            f"the importance head {scorer.name} reads features of {scorer.encoder_id}, but this library's "
            f"are of {record.encoder_id}: train one on this library's encoder, or leave --importance out"
        )
    return scorer.importance(np.asarray(track.features, np.float32)), scorer.name


def open_scorer(checkpoint: Path) -> ImportanceScorer:
    """The importance head in a checkpoint. Raises ReelseekError."""
    from encoders.importance import open_importance

    scorer: ImportanceScorer = open_importance(checkpoint)
    return scorer


def stored_key_frames(catalog: Catalog, video_id: int) -> list[KeyFrame]:
    """A video's key frames in order of time; perhaps none."""
    by_clip = catalog.key_frames([clip.id for clip in catalog.clips_of_video(video_id)])
    found = (frame for frames in by_clip.values() for frame in frames)
    return sorted(found, key=lambda frame: (frame.time_seconds, frame.id))


def _stored(catalog: Catalog, video: Video) -> _Stored:
    key_frames = stored_key_frames(catalog, video.id)
    record = catalog.library_record()
    if not key_frames or record is None:
        why = f": {video.error}" if video.error else ""
        raise NotFoundError(f"nothing of {video.path} is indexed, so there is nothing to choose from{why}")
    pieces = list(catalog.actions.tracks(video.id, record.dim))
    if not pieces:
        raise LibraryError(f"{video.path} has key frames but no features: `indexer ingest` it again")
    track = _joined(pieces)
    times = np.array([frame.time_seconds for frame in key_frames])
    return _Stored(track, key_frames, _nearest(track.times_seconds, times))


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

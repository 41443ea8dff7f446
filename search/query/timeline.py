"""The timeline of a video: its shots, its segments, and how well a query fits each frame."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encoders.heads.head import FeatureTrack
from encoders.types import normalise
from search.catalog.tracks import ends_shot, shot_window_of
from search.documents.segments import segment_document
from search.documents.timelines import MatchesAnswer, TimelineAnswer
from search.file_names import os_path
from search.file_state import FileState
from search.types import Clip, SegmentQuery, Video

if TYPE_CHECKING:
    from search.catalog.catalog import Catalog


@dataclass(frozen=True, slots=True)
class VideoMatches:
    """Scores of a query on one video, frame by frame.

    Attributes:
        times_seconds: float64 (T,), of the stored frames, ascending.
        scores: float32 (T,), of each as if it were a clip, -1..1.
        usual: Below it a hit of such a score is "unlikely"; 1 where every one is.
        sure: From it on a hit of such a score is a "match"; 1 where none is.
    """

    video_id: int
    times_seconds: NDArray[np.float64]
    scores: NDArray[np.float32]
    usual: float
    sure: float


def score_frames(
    tracks: Iterable[FeatureTrack], score: Callable[[NDArray[np.float32]], NDArray[np.float32]]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Scores each frame by how well it fits the query.

    Args:
        tracks: Of one video, in order of time.
        score: Of embeddings, float32 (N, D) -> float32 (N,), as `AskedFor.score`.

    Returns:
        times in seconds float64 (T,), and scores float32 (T,).
    """
    times, scores = [np.zeros(0)], [np.zeros(0, np.float32)]
    for track in tracks:
        times.append(track.times_seconds)
        # The embedding of a clip of this one frame, however the encoder pools.
        frames = normalise(track.features.astype(np.float32))
        scores.append(np.clip(score(frames), -1.0, 1.0))
    return np.concatenate(times), np.concatenate(scores)


def read_timeline(catalog: Catalog, video_id: int) -> TimelineAnswer:
    """Describes a video's shots and segments in order of time.

    Its length goes to the end of its last clip: what files say of late starts differs.

    Raises:
        NotFoundError: There is no such video.
    """
    video = catalog.video(video_id)
    clips = catalog.clips_of_video(video_id)
    segments = catalog.actions.list_segments(SegmentQuery(video_id=video_id))
    return {
        "video_id": video_id,
        "duration_seconds": round(clips[-1].end_seconds - clips[0].start_seconds, 6) if clips else None,
        "start_seconds": round(clips[0].start_seconds, 6) if clips else 0.0,
        "shots": [
            {"start_seconds": round(start, 6), "end_seconds": round(end, 6)}
            for start, end in shots_of(clips, shot_window_of(video.sampling))
        ],
        "segments": [segment_document(segment) for segment in segments],
        "changed": has_changed(video),
    }


def matches_document(matches: VideoMatches) -> MatchesAnswer:
    """Describes how well a query fits each stored frame of a video."""
    return {
        "video_id": matches.video_id,
        "times_seconds": [round(value, 6) for value in matches.times_seconds.tolist()],
        "scores": [round(value, 4) for value in matches.scores.tolist()],
        "usual": round(matches.usual, 4),
        "sure": round(matches.sure, 4),
    }


def has_changed(video: Video) -> bool:
    """Compares size and times of a video's file with the catalog's; False where the file is not there."""
    try:
        stat = os.stat(os_path(video.path))
    except (OSError, ValueError):
        return False
    return not video.file_state.is_same(FileState.of(stat))


def shots_of(clips: Sequence[Clip], shot_window: float | None) -> tuple[tuple[float, float], ...]:
    """The shots that a video's clips are cut from.

    Args:
        clips: All of one video, in order of time; none straddles the border of a shot.
        shot_window: The length in seconds at which shots were cut into clips; None where no shots were
            looked for.
    """
    if shot_window is None:
        return ()
    shots: list[tuple[float, float]] = []
    previous: Clip | None = None
    for clip in clips:
        if previous is None or ends_shot(previous, clip, shot_window):
            shots.append((clip.start_seconds, clip.end_seconds))
        else:
            shots[-1] = (shots[-1][0], clip.end_seconds)
        previous = clip
    return tuple(shots)

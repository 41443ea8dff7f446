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
from search.catalog.actions import SegmentFilters
from search.catalog.tracks import ends_shot, shot_window_of
from search.file_names import os_path
from search.file_state import FileState
from search.types import Clip, Segment, Video

if TYPE_CHECKING:
    from search.catalog.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Timeline:
    """Shots and segments of one video, in order of time.

    Attributes:
        start_seconds: When its first clip begins: what a player shows as 0.
        duration_seconds: From there to the end of its last clip: what files say of late starts differs. None
            for a video that could not be read.
        shots: [start, end) in seconds of each; none where shots were not looked for.
        segments: What heads saw, as surely as their thresholds ask for.
        changed: Whether the file is another now than when it was indexed; False where it is not there.
    """

    video_id: int
    start_seconds: float
    duration_seconds: float | None
    shots: tuple[tuple[float, float], ...]
    segments: tuple[Segment, ...]
    changed: bool = False


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


def read_timeline(catalog: Catalog, video_id: int) -> Timeline:
    """Reads the timeline of a video. Raises NotFoundError where there is no such video."""
    video = catalog.video(video_id)
    clips = catalog.clips_of_video(video_id)
    return Timeline(
        video_id=video_id,
        start_seconds=clips[0].start_seconds if clips else 0.0,
        duration_seconds=clips[-1].end_seconds - clips[0].start_seconds if clips else None,
        shots=shots_of(clips, shot_window_of(video.sampling)),
        segments=tuple(catalog.actions.list_segments(SegmentFilters(video_id=video_id))),
        changed=has_changed(video),
    )


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

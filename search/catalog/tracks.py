"""Stored clips as what heads read: one track of features per video."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.errors import LibraryError
from encoders.heads.head import FeatureTrack
from encoders.weights.tensors import pack, unpack


def shot_window_of(sampling: str | None) -> float | None:
    """Reads the length at which shots were cut into clips; None when shots were not looked for."""
    options = json.loads(sampling) if sampling else {}
    if not options.get("shots", True) or options.get("sampling") == "keyframes":
        return None
    return float(options.get("clip_seconds", 4.0))


def check_stored(row: Any, dim: int, path: str) -> None:
    """Raises LibraryError where a stored clip's features are not what an ingest wrote.

    Args:
        row: With `id`, `times` and `features`.
        dim: D.
        path: Of its video.
    """
    count = len(row.times) // 8
    expected = 2 * dim * count
    if count and len(row.times) == 8 * count and len(row.features) == expected:
        return
    raise LibraryError(
        f"clip {row.id} of {path} is damaged in the catalog: got {len(row.times)} bytes of times and "
        f"{len(row.features)} of features, expected 8 and {2 * dim} for each frame. Take the video in again: "
        f'`indexer remove "{path}"`, then `indexer ingest "{path}"`'
    )


def ends_shot(clip: Any, following: Any, shot_window: float) -> bool:
    """Checks that a shot ends between two clips that follow each other.

    A clip that is as long as the window, or a multiple of it, was cut off there; any other length means
    that a shot ended with it.
    """
    windows = (clip.end_seconds - clip.start_seconds) / shot_window
    is_whole = round(windows) >= 1 and abs(windows - round(windows)) * shot_window < 1e-3
    return not is_whole or following.start_seconds - clip.end_seconds > 1e-3


def track_of_clips(rows: Sequence[Any], dim: int, shot_window: float | None) -> FeatureTrack:
    """Joins clips in order to one track; its shots end where `ends_shot` says so."""
    times = [np.frombuffer(row.times, np.float64) for row in rows]
    features = [np.frombuffer(row.features, np.float16).reshape(-1, dim) for row in rows]
    borders: list[NDArray[np.float64]] = []
    shots, shot = [], 0
    previous = None
    for row, seconds in zip(rows, times, strict=True):
        if previous is not None and shot_window is not None and ends_shot(previous, row, shot_window):
            shot += 1
        borders.append(np.concatenate([[row.start_seconds], (seconds[1:] + seconds[:-1]) / 2]))
        shots.append(np.full(len(seconds), shot, np.int64))
        previous = row
    return FeatureTrack(
        np.concatenate(features),
        np.concatenate(times),
        np.concatenate([*borders, [rows[-1].end_seconds]]),
        np.concatenate(shots),
    )


def track_to_bytes(track: FeatureTrack, digest: str | None = None) -> bytes:
    """Writes a track as safetensors, its features as float16, with the digest of the file that it is from."""
    return pack(
        {
            "features": track.features.astype(np.float16),
            "times_seconds": track.times_seconds,
            "borders_seconds": track.borders_seconds,
            "shots": track.shots,
        },
        kind="track",
        digest=digest,
    )


def track_from_bytes(content: bytes) -> FeatureTrack:
    """Reads what `track_to_bytes` wrote. Raises HeadFileError."""
    return file_track_from_bytes(content)[0]


def file_track_from_bytes(content: bytes) -> tuple[FeatureTrack, str | None]:
    """Reads a track with the digest of its file, None where that was not kept. Raises HeadFileError."""
    expected: dict[str, tuple[type, int]] = {
        "features": (np.float16, 2),
        "times_seconds": (np.float64, 1),
        "borders_seconds": (np.float64, 1),
        "shots": (np.int64, 1),
    }
    tensors, card = unpack(content, "track", expected)
    return FeatureTrack(**tensors), card.get("digest")

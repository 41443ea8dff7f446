"""Captioning the stored key frames: no video is decoded again."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from encoders.captioning.captioner import Captioner
from encoders.errors import NotFoundError
from search.library import Library

FRAMES_PER_COMMIT = 64


@dataclass(frozen=True, slots=True)
class CaptionSummary:
    """The outcome of a run.

    Attributes:
        model: The captioner's id.
        captioned: Key frames that have a caption now and had none of this captioner before.
        videos: How many videos they are of.
        kept: Key frames that had one already.
        broken: Key frames whose picture cannot be read; they stay without.
    """

    model: str
    captioned: int
    videos: int
    kept: int
    broken: int

    def as_json(self) -> dict[str, Any]:
        """The summary as `indexer caption --json` prints it."""
        return asdict(self)


def caption_videos(
    library: Library,
    captioner: Captioner,
    paths: Sequence[str] | None = None,
    *,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> CaptionSummary:
    """Captions the key frames that this captioner has not described yet, a commit every few.

    Stopped midway it has lost nothing: the next run goes on. Searches go on meanwhile.

    Args:
        library: Whose key frames to describe.
        captioner: By which. Captions of another one are replaced.
        paths: Absolute paths of catalogued files and folders; None for all videos.
        on_progress: Told how many of how many key frames are done.

    Raises:
        NotFoundError: Nothing in the library is at one of the paths.
    """
    model = captioner.captioner_id
    with library.read() as catalog:
        ids = None if paths is None else _videos_at(catalog.videos_below, paths)
        waiting = catalog.captions.find_uncaptioned(model, ids)
        kept = catalog.captions.count_kept(model, ids)
    queue = [(video_id, frame_id) for video_id, frames in waiting.items() for frame_id in frames]
    captioned, broken = 0, 0
    videos: set[int] = set()
    for start in range(0, len(queue), FRAMES_PER_COMMIT):
        on_progress(start, len(queue))
        chunk = queue[start : start + FRAMES_PER_COMMIT]
        with library.read() as catalog:
            stored = catalog.captions.pictures([frame_id for _, frame_id in chunk])
        pictures = {one.id: _decoded(one.jpeg) for one in stored}
        good = {frame_id: picture for frame_id, picture in pictures.items() if picture is not None}
        broken += len(pictures) - len(good)
        texts = dict(zip(good, captioner.caption(list(good.values())), strict=True))
        with library.write() as catalog:
            captioned += catalog.captions.add(texts, model)
        videos.update(video_id for video_id, frame_id in chunk if frame_id in texts)
    on_progress(len(queue), len(queue))
    return CaptionSummary(model, captioned, len(videos), kept, broken)


def _videos_at(videos_below: Callable[[str], Sequence[Any]], paths: Sequence[str]) -> list[int]:
    ids: dict[int, None] = {}
    for path in paths:
        below = videos_below(path)
        if not below:
            raise NotFoundError(f"nothing in this library is called {path}; captions are of indexed videos")
        ids.update((video.id, None) for video in below)
    return list(ids)


def _decoded(jpeg: bytes) -> NDArray[np.uint8] | None:
    """A stored picture as uint8 (H, W, 3); None where it is broken."""
    try:
        with Image.open(io.BytesIO(jpeg)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # Pillow's ways to say so
        return None

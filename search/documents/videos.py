"""Contents of the library: clips, videos, counts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from typing_extensions import TypedDict

from search.documents.about import About, answer
from search.documents.hits import KeyFrameAnswer, key_frame_document
from search.documents.moments import spell_moment_if_any
from search.types import Clip, KeyFrame, Video


@answer()
class ClipAnswer(TypedDict):
    """A stored clip."""

    clip_id: int
    video_id: int
    path: str
    start_seconds: float
    end_seconds: float
    key_frames: list[KeyFrameAnswer]


def clip_document(clip: Clip, frames: list[KeyFrame]) -> ClipAnswer:
    """Describes a stored clip with its key frames."""
    return {
        "clip_id": clip.id,
        "video_id": clip.video_id,
        "path": clip.path,
        "start_seconds": round(clip.start_seconds, 6),
        "end_seconds": round(clip.end_seconds, 6),
        "key_frames": [key_frame_document(frame) for frame in frames],
    }


@answer()
class ClipsAnswer(TypedDict):
    """A page of clips, `total` of all pages."""

    clips: list[ClipAnswer]
    total: int
    next_cursor: str | None


@answer()
class VideoAnswer(TypedDict):
    """A catalogued file; `error` says why it failed, or what was lost of it where the rest is indexed."""

    id: int
    path: str
    status: Literal["indexed", "failed", "missing"]
    error: str | None
    duration_seconds: float | None
    width: int | None
    height: int | None
    average_fps: float | None
    codec: str | None
    size_bytes: int
    digest: str | None
    clips: int
    recorded_at: Annotated[
        str | None,
        About(
            "ISO 8601, as the container says, in the zone where it was recorded if it says that too, "
            "else in UTC; of others when the file was last changed."
        ),
    ]
    timecode: Annotated[
        str | None,
        About("Of the first frame, hh:mm:ss:ff, or hh:mm:ss;ff where frames are dropped; null for none."),
    ]


def video_document(video: Video) -> VideoAnswer:
    """Describes a catalogued file."""
    return {
        "id": video.id,
        "path": video.path,
        "status": video.status,
        "error": video.error,
        "duration_seconds": video.duration_seconds,
        "width": video.width,
        "height": video.height,
        "average_fps": video.average_fps,
        "codec": video.codec,
        "size_bytes": video.size_bytes,
        "digest": video.digest,
        "clips": video.clips,
        "recorded_at": spell_moment_if_any(video.recorded_at, video.recorded_offset_seconds),
        "timecode": video.timecode,
    }


@answer()
class VideosAnswer(TypedDict):
    """A page of videos, `total` of all pages."""

    videos: list[VideoAnswer]
    total: int
    next_cursor: str | None


@answer(example={"videos": 1, "clips": 31, "segments": 4, "examples": 2})
class RemovedAnswer(TypedDict):
    """Counts of what was removed."""

    videos: int
    clips: int
    segments: Annotated[int, About("Of actions, as surely as their heads' thresholds ask for.")]
    examples: Annotated[int, About("Spans of it that actions were, or were to be, taught with.")]


class LibraryStatus(TypedDict):
    """Counts and names of a library."""

    library: str
    database: str
    videos: dict[str, int]
    clips: int
    encoder: str | None
    sampling: str | None
    index: dict[str, Any]


@answer()
class StatusAnswer(LibraryStatus):
    """Contents of the library, as `indexer status --json`."""

    confinement: Annotated[str, About("What keeps decoding programs from files and sockets here.")]

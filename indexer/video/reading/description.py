"""The description of a film by what its file says of it."""

from __future__ import annotations

import time

from indexer.video.bounds import MAX_FPS, check_claims, positive
from indexer.video.containers.recorded import first_timecode, recorded_moment
from indexer.video.engine import TICKS_PER_SECOND, EngineError
from indexer.video.pictures.animations import animation_in
from indexer.video.reading.film import Film, declared_seconds, whole_seconds
from indexer.video.reading.picture_stream import PictureStream
from indexer.video.types import VideoInfo

_UNTOLD_AVI_FRAMES = 1 << 30  # of one that was written to a pipe


def describe(path: str, stream: PictureStream, start_seconds: float, fps: float | None) -> VideoInfo:
    """Describes a film of which the first picture was decoded.

    Args:
        path: Of the file.
        stream: Of the film, at its beginning.
        start_seconds: When its first frame is shown.
        fps: Average frame rate; None where unknown.

    Raises:
        DecodeError: It claims to be larger than what this program takes.
    """
    film, first = stream.film, stream.first
    width, height = stream.geometry.display_size(first.width, first.height)
    animation = animation_in(path)
    dated = (film.container.metadata, film.stream.metadata)
    recorded_at, offset_seconds = recorded_moment(dated, time.time())
    info = VideoInfo(
        duration_seconds=_duration_seconds(film),
        width=width,
        height=height,
        average_fps=fps,
        codec=animation or stream.codec.name,
        container=animation or film.format_name,
        start_seconds=start_seconds,
        recorded_at=recorded_at,
        recorded_offset_seconds=offset_seconds,
        base_fps=positive(film.stream.base_rate, MAX_FPS),
        timecode=first_timecode(
            one.metadata for one in (film.stream, *film.container.streams, film.container)
        ),
    )
    check_claims(info, film.stream)
    return info


def _duration_seconds(film: Film) -> float | None:
    """The duration of the video stream, else the file's; None where its writer never came back to say."""
    if film.format_name == "avi" and (film.stream.frames or 0) >= _UNTOLD_AVI_FRAMES:
        return None
    return declared_seconds(film.stream) or whole_seconds(film.container)


def is_outlasted(film: Film, duration_seconds: float) -> bool:
    """Returns whether sound goes on after the picture, up to the end of the whole file; moves in the file.

    Matroska need not declare the length of each stream, and a film may end in sound alone.
    """
    container = film.container
    if declared_seconds(film.stream) or not container.streams.audio:
        return False
    try:
        container.seek(round(max(0.0, duration_seconds - 1.0) * TICKS_PER_SECOND), backward=True)
        return any(
            packet.pts is not None and float(packet.pts * packet.time_base) > duration_seconds - 2.0
            for packet in container.demux(container.streams.audio[0])
        )
    except EngineError:
        return False

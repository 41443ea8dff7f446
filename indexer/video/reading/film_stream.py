"""The choice of the video stream of a file that a viewer would call the film.

FFmpeg's own choice goes by the default flag first, which files with a cover or a short preview often give to
those. Here pictures are told from films by how many frames they have, and a short or small film from the film
by its length and size; the flag decides between equals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from encoders.errors import DecodeError, NotAVideoError

# AV_DISPOSITION_*: attached_pic, timed_thumbnails; still_image, dependent (enhances another), default.
_ART = 0x0400 | 0x0800
_SECONDARY = 0x100000 | 0x80000
_DEFAULT = 0x0001
_PICTURE_CODECS = {
    "bmp", "gif", "jpeg2000", "jpegls", "jpegxl", "ljpeg", "mjpeg", "png", "ppm", "targa", "tiff", "webp",
}  # fmt: skip
_STILL_SECONDS = 0.5
_STILL_SHARE = 0.02  # of the longest stream
_SHORT_SHARE, _SMALL_SHARE, _SPARSE_SHARE = 0.5, 0.5, 0.2  # of the longest, largest, and most frames
_PEEK_PACKETS = 3000


@dataclass(frozen=True, slots=True)
class FilmStream:
    """A video stream that is no cover art.

    Attributes:
        index: Of the stream in the file.
        width, height: As stored, in pixels.
        seconds, frames: How long and how many, where that is known.
        is_picture_codec: It is coded as still pictures are.
        is_secondary, is_default: As the file marks it.
        is_known: FFmpeg has a decoder for it here.
    """

    index: int
    width: int
    height: int
    seconds: float | None
    frames: int | None
    is_picture_codec: bool
    is_secondary: bool
    is_default: bool
    is_known: bool

    def is_still(self, longest_seconds: float) -> bool:
        """Returns whether it is one picture, going by the longest stream of the file."""
        if self.frames is not None and self.frames > 0:
            return self.frames == 1
        if self.seconds is None or not self.is_picture_codec:
            return False
        return self.seconds < max(_STILL_SECONDS, _STILL_SHARE * longest_seconds)

    def describe(self) -> str:
        """For people: "stream 1 (160x90, 6.0 s)"."""
        length = "" if self.seconds is None else f", {self.seconds:.1f} s"
        return f"stream {self.index} ({self.width}x{self.height}{length})"


def find_film(
    container: Any,
    whole_seconds: float,
    declared_seconds: Callable[[Any], float | None],
    peek: Callable[[list[int]], Iterator[tuple[int, float | None]]],
) -> tuple[int, list[str]]:
    """The number of the stream that a viewer would call the film, and a sentence for each other film.

    Args:
        container: The open file.
        whole_seconds: How long it is, 0 where that is not known.
        declared_seconds, peek: As for `film_streams`.

    Raises:
        NotAVideoError: There is none.
        DecodeError: FFmpeg has no decoder for it.
    """
    films = film_streams(container, declared_seconds, peek)
    longest = max([whole_seconds, *(film.seconds or 0.0 for film in films)])
    chosen = choose_film(films, longest)
    if chosen is None and container.streams.audio and all(film.is_picture_codec for film in films):
        films = []
    if not films:
        kinds = sorted({stream.type for stream in container.streams}) or ["nothing"]
        art = " with cover art" if container.streams.video else ""
        held = ", ".join(kind for kind in kinds if kind != "video") or "pictures"
        raise NotAVideoError(f"no video stream: the file holds {held}{art} only")
    chosen = chosen or max(films, key=lambda film: (film.is_known, film.is_default, -film.index))
    if not chosen.is_known:
        raise DecodeError("the video's codec is not known to FFmpeg here")
    return chosen.index, name_others(films, chosen, longest)


def film_streams(
    container: Any,
    declared_seconds: Callable[[Any], float | None],
    peek: Callable[[list[int]], Iterator[tuple[int, float | None]]],
) -> list[FilmStream]:
    """The video streams that are no cover art, each with what there is to know of it.

    Args:
        container: The open file.
        declared_seconds: The length that the file declares of a stream, where it does.
        peek: The packets of streams from the beginning of the file on, each with the number of its stream
            and its time in seconds; asked where the file declares too little and it matters.
    """
    streams = [stream for stream in container.streams.video if not int(stream.disposition) & _ART]
    films = [_described(stream, declared_seconds(stream)) for stream in streams]
    has_others = len(container.streams) > len(films)
    is_doubtful = len(films) > 1 or (has_others and any(film.is_picture_codec for film in films))
    # What is over in no time may be one picture, whatever codec it is in.
    if not is_doubtful or all(film.frames or (film.seconds or 0.0) >= _STILL_SECONDS for film in films):
        return films
    return _peeked(films, peek)


def choose_film(films: Sequence[FilmStream], longest_seconds: float) -> FilmStream | None:
    """The one that a viewer would call the film; None where all are single pictures."""
    moving = [film for film in films if not film.is_still(longest_seconds)]
    if not moving:
        return None
    longest = max(film.seconds or 0.0 for film in moving)
    long = [film for film in moving if (film.seconds or longest) >= _SHORT_SHARE * longest]
    largest = max(film.width * film.height for film in long)
    most = max(film.frames or 0 for film in long)

    def rank(film: FilmStream) -> tuple[bool, bool, bool, bool, bool, bool, int]:
        return (
            film.is_known,
            not film.is_secondary,
            film in long,
            film.width * film.height >= _SMALL_SHARE * largest,
            (film.frames or most) >= _SPARSE_SHARE * most,
            film.is_default,
            -film.index,
        )

    return max(moving, key=rank)


def name_others(films: Sequence[FilmStream], chosen: FilmStream, longest_seconds: float) -> list[str]:
    """A sentence for each film that is not the chosen one: a second camera, half or programme."""
    return [
        f"{film.describe()} is another film and is not indexed"
        for film in films
        if film.index != chosen.index and not film.is_secondary and not film.is_still(longest_seconds)
    ]


def _described(stream: Any, seconds: float | None) -> FilmStream:
    codec = stream.codec_context
    try:
        frames = stream.frames or int(stream.metadata.get("NUMBER_OF_FRAMES", 0)) or None
    except ValueError:
        frames = None
    flags = int(stream.disposition)
    return FilmStream(
        index=stream.index,
        width=codec.width if codec is not None else 0,
        height=codec.height if codec is not None else 0,
        seconds=seconds,
        frames=frames,
        is_picture_codec=codec is not None and codec.codec.canonical_name in _PICTURE_CODECS,
        is_secondary=bool(flags & _SECONDARY),
        is_default=bool(flags & _DEFAULT),
        is_known=codec is not None,
    )


def _peeked(
    films: list[FilmStream], peek: Callable[[list[int]], Iterator[tuple[int, float | None]]]
) -> list[FilmStream]:
    """The same, with what the first packets of the file show of those of which nothing is declared."""
    times: dict[int, list[float | None]] = {film.index: [] for film in films}
    is_all = True
    for seen, (index, seconds) in enumerate(peek(list(times))):
        if seen >= _PEEK_PACKETS:
            is_all = False
            break
        times[index].append(seconds)
    found = []
    for film in films:
        known = [seconds for seconds in times[film.index] if seconds is not None]
        seen_seconds = max(known) - min(known) if known else 0.0
        # One packet beside thousands of others is a picture, also if not all of the file was seen.
        count = len(times[film.index])
        frames = film.frames or (count if is_all or count <= 1 else None)
        found.append(replace(film, seconds=film.seconds or seen_seconds or None, frames=frames))
    return found

"""Pieces of a video as files that browsers play: previews, cuts, summaries in motion.

What is to be made, without the means: `indexer.video.making.render` makes it, in the decoding program.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from encoders.errors import InvalidQueryError

Spans = tuple[tuple[float, float], ...]

CLIP_PREVIEW_SECONDS = 4.0
CLIP_PREVIEW_BYTES = 1_000_000
SPAN_PREVIEW_SECONDS = 120.0
CUT_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Rendition:
    """A file to make of a video.

    Attributes:
        kind: "mp4" (H.264, with AAC where `sound`) or "gif" (an endless loop).
        spans: [start, end) in presentation time, ascending; shown one after the other.
        short_side: In pixels, at most; None keeps the size (but no side above 4096).
        max_fps: Frames beyond are left out; None keeps all.
        sound: Whether to keep it.
        crf: Of x264, 0 to 51; less is better and larger.
        preset: Of x264.
        most_bits_per_second: Of the picture.
        most_bytes: Of the file; made smaller and smaller until it fits.

    Raises:
        InvalidQueryError: There is no span, or one is empty.
    """

    spans: Spans
    kind: Literal["mp4", "gif"] = "mp4"
    short_side: int | None = None
    max_fps: float | None = None
    sound: bool = False
    crf: int = 20
    preset: str = "veryfast"
    most_bits_per_second: int | None = None
    most_bytes: int | None = None

    def __post_init__(self) -> None:
        if not self.spans or not all(0 < end - start < math.inf for start, end in self.spans):
            raise InvalidQueryError(f"a span must end after it starts, got {self.spans}")

    @property
    def seconds(self) -> float:
        """The length, where the video shows something all the while."""
        return sum(end - start for start, end in self.spans)


def clip_preview(start_seconds: float, end_seconds: float) -> Rendition:
    """A short silent loop of a clip, at most 4 s and 1 MB."""
    end = min(end_seconds, start_seconds + CLIP_PREVIEW_SECONDS)
    return Rendition(
        ((start_seconds, end),),
        short_side=240,
        max_fps=30,
        crf=27,
        most_bits_per_second=1_500_000,
        most_bytes=CLIP_PREVIEW_BYTES,
    )


def span_preview(start_seconds: float, end_seconds: float) -> Rendition:
    """A piece for browsers that cannot play the file. Raises InvalidQueryError above 120 s."""
    _check_length("preview", start_seconds, end_seconds, SPAN_PREVIEW_SECONDS)
    return Rendition(
        ((start_seconds, end_seconds),), short_side=480, max_fps=30, sound=True, crf=25,
        most_bits_per_second=3_000_000,
    )  # fmt: skip


def cut(start_seconds: float, end_seconds: float) -> Rendition:
    """An exact piece in the size of the source, with its sound. Raises InvalidQueryError above 600 s."""
    _check_length("cut", start_seconds, end_seconds, CUT_SECONDS)
    return Rendition(((start_seconds, end_seconds),), sound=True, crf=18)


def _check_length(what: str, start_seconds: float, end_seconds: float, most_seconds: float) -> None:
    length = end_seconds - start_seconds
    if length <= 0:
        raise InvalidQueryError(
            f"a span must end after it starts, got {start_seconds:g} to {end_seconds:g} s for a {what}: give "
            "the earlier time as start_seconds"
        )
    if length > most_seconds + 1e-6:
        raise InvalidQueryError(
            f"a {what} lasts at most {most_seconds:.0f} s, got {start_seconds:g} to "
            f"{end_seconds:g} s; ask for a shorter one"
        )

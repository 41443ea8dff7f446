"""Key frames as one picture, and as one sheet of small ones to scrub through."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

MAX_FRAMES = 100
MAX_SPRITES = 100
SPRITE_WIDTH = 160
_SPRITE_COLUMNS = 10
_TILE_SIDE = 320  # of the longer side of a tile
_GAP = 6
_BACKGROUND, _INK, _PLATE = "#15171a", "#f4f4f2", (12, 13, 15)
_QUALITY = 85


@dataclass(frozen=True, slots=True)
class StillPicture:
    """A key frame's picture.

    Attributes:
        time_seconds: Presentation time.
        jpeg: The upright frame.
    """

    time_seconds: float
    jpeg: bytes


def storyboard(stills: Sequence[StillPicture], *, columns: int = 4, origin_seconds: float = 0.0) -> Picture:
    """Key frames side by side, row by row, each with its time in a corner.

    Args:
        stills: In the order in which they are to be read, at most 100.
        columns: At most so many beside each other.
        origin_seconds: The time that is shown as 0:00, as players count from a video's beginning.

    Raises:
        ValueError: There is no picture, or there are too many.
    """
    from PIL import Image, ImageDraw, ImageFont

    if not 0 < len(stills) <= MAX_FRAMES:
        raise ValueError(f"a storyboard has 1 to {MAX_FRAMES} pictures, got {len(stills)}")
    rows = math.ceil(len(stills) / max(1, columns))
    columns = math.ceil(len(stills) / rows)  # as even as they can be: six make two rows of three
    width, height = _tile_size(stills[0].jpeg)
    size = columns * (width + _GAP) + _GAP, rows * (height + _GAP) + _GAP
    sheet = Image.new("RGB", size, _BACKGROUND)
    font = ImageFont.load_default(17)
    for number, still in enumerate(stills):
        row, column = divmod(number, columns)
        left, top = _GAP + column * (width + _GAP), _GAP + row * (height + _GAP)
        picture = _fitted(still.jpeg, width, height)
        sheet.paste(picture, (left + (width - picture.width) // 2, top + (height - picture.height) // 2))
        # The time on a plate of its own: legible on snow and at night.
        label = player_time(still.time_seconds - origin_seconds)
        draw = ImageDraw.Draw(sheet, "RGBA")
        wide = math.ceil(draw.textlength(label, font=font))
        box = (left, top + height - 25, left + wide + 13, top + height - 1)
        draw.rectangle(box, fill=(*_PLATE, 190))
        draw.text((left + 7, top + height - 13), label, fill=_INK, font=font, anchor="lm")
    return sheet


def storyboard_jpeg(
    stills: Sequence[StillPicture], *, columns: int = 4, origin_seconds: float = 0.0
) -> bytes:
    """Draws a storyboard as JPEG."""
    return _jpeg(storyboard(stills, columns=columns, origin_seconds=origin_seconds))


def slides(stills: Sequence[StillPicture]) -> list[Picture]:
    """The pictures in one size, with few colours, for a GIF of a video whose file is gone."""
    from PIL import Image

    width, height = _tile_size(stills[0].jpeg)
    found = []
    for still in stills:
        slide = Image.new("RGB", (width, height), _BACKGROUND)
        picture = _fitted(still.jpeg, width, height)
        slide.paste(picture, ((width - picture.width) // 2, (height - picture.height) // 2))
        found.append(slide.quantize(128, Image.Quantize.MEDIANCUT))
    return found


def write_gif(target: str, pictures: Sequence[Picture], seconds: Sequence[float]) -> None:
    """Pictures of one size as an endless loop, each on screen for its time."""
    pictures[0].save(
        target,
        "GIF",
        save_all=True,
        append_images=pictures[1:],
        duration=[max(20, round(one * 100) * 10) for one in seconds],  # in ms, on GIF's clock of 10 ms
        loop=0,
    )


@dataclass(frozen=True, slots=True)
class SpriteCell:
    """One cell of a sprite sheet: what is shown there, and while which part [start, end) of the video.

    Attributes:
        number: Of the key frame that is shown.
        start_seconds, end_seconds: As a player counts, from 0.
    """

    number: int
    start_seconds: float
    end_seconds: float


def sprite_cells(
    times_seconds: Sequence[float],
    spans: Sequence[tuple[float, float]],
    duration_seconds: float,
    origin_seconds: float,
) -> list[SpriteCell]:
    """Cells that share the video evenly, each with the key frame nearest to its middle.

    One of the clip that is on screen in the middle comes before a nearer one beyond a cut.

    Args:
        times_seconds: Of all key frames, ascending.
        spans: [start, end) of the clip of each.
        duration_seconds: Of the video.
        origin_seconds: What a player shows as 0.

    Returns:
        As many cells as there are key frames, at most 100; they cover [0, duration).
    """
    import numpy as np

    count = min(MAX_SPRITES, len(times_seconds))
    length = duration_seconds / count
    times, edges = np.asarray(times_seconds), np.asarray(spans)
    cells = []
    for cell in range(count):
        middle = origin_seconds + (cell + 0.5) * length
        is_elsewhere = (middle < edges[:, 0]) | (middle >= edges[:, 1])
        nearest = int(np.lexsort((np.abs(times - middle), is_elsewhere))[0])
        end = duration_seconds if cell == count - 1 else (cell + 1) * length
        cells.append(SpriteCell(nearest, cell * length, end))
    return cells


def sprite_size(jpeg: bytes) -> tuple[int, int]:
    """Width and height of a cell in pixels, by the shape of a key frame."""
    from PIL import Image

    with Image.open(io.BytesIO(jpeg)) as picture:
        return SPRITE_WIDTH, min(
            2 * SPRITE_WIDTH, max(16, round(SPRITE_WIDTH * picture.height / picture.width))
        )


def sprite_sheet(jpegs: Sequence[bytes], size: tuple[int, int]) -> bytes:
    """The cells' pictures, ten in a row, as JPEG."""
    from PIL import Image

    width, height = size
    columns, rows = min(_SPRITE_COLUMNS, len(jpegs)), math.ceil(len(jpegs) / _SPRITE_COLUMNS)
    sheet = Image.new("RGB", (columns * width, rows * height), _BACKGROUND)
    for number, jpeg in enumerate(jpegs):
        row, column = divmod(number, _SPRITE_COLUMNS)
        picture = _fitted(jpeg, width, height)
        left, top = (
            column * width + (width - picture.width) // 2,
            row * height + (height - picture.height) // 2,
        )
        sheet.paste(picture, (left, top))
    return _jpeg(sheet, 75)


def sprite_cues(cells: Sequence[SpriteCell], size: tuple[int, int], picture: str) -> str:
    """WebVTT that says which part of a sprite sheet belongs to which part of the video."""
    width, height = size
    lines = ["WEBVTT", ""]
    for number, cell in enumerate(cells):
        row, column = divmod(number, _SPRITE_COLUMNS)
        if round(cell.start_seconds * 1000) >= round(cell.end_seconds * 1000):
            continue  # WebVTT knows no shorter time than a millisecond
        lines += [
            f"{_cue_time(cell.start_seconds)} --> {_cue_time(cell.end_seconds)}",
            f"{picture}#xywh={column * width},{row * height},{width},{height}",
            "",
        ]
    return "\n".join(lines)


def player_time(seconds: float) -> str:
    """A time as players show it, to the second: 0:07, 12:34, 1:02:03."""
    whole = max(0, math.floor(seconds + 1e-6))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _cue_time(seconds: float) -> str:
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}.{thousandths:03d}"


def _tile_size(jpeg: bytes) -> tuple[int, int]:
    """The size of a tile for pictures of this shape; very long ones are given one that is not."""
    from PIL import Image

    with Image.open(io.BytesIO(jpeg)) as picture:
        aspect = min(max(picture.width / picture.height, 0.5), 2.4)
    wide = (_TILE_SIDE, round(_TILE_SIDE / aspect))
    return wide if aspect >= 1 else (round(_TILE_SIDE * aspect), _TILE_SIDE)


def _fitted(jpeg: bytes, width: int, height: int) -> Picture:
    """The whole picture, as large as fits."""
    from PIL import Image

    with Image.open(io.BytesIO(jpeg)) as opened:
        opened.draft("RGB", (width, height))
        picture = opened.convert("RGB")
    scale = min(width / picture.width, height / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture if size == picture.size else picture.resize(size, Image.Resampling.LANCZOS)


def _jpeg(picture: Picture, quality: int = _QUALITY) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()

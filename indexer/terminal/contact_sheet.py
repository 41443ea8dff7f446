"""One picture of many hits: a row a hit, the key frames that fit best under its place and time."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from indexer.terminal.show import clock_span, printable
from search.hits import Hit

TILE_WIDTH, TILE_HEIGHT, LABEL_HEIGHT, GAP = 320, 180, 28, 8
FRAMES_PER_HIT = 3
MAX_HITS = 100


def write_contact_sheet(path: Path, hits: Sequence[Hit], jpeg_of: Callable[[int], bytes]) -> None:
    """Writes the key frames of the first hits as a JPEG or PNG, by the file's extension.

    Args:
        path: The picture to write.
        hits: Best first; at most 100 are shown.
        jpeg_of: Reads a key frame's JPEG by its id.
    """
    shown = hits[:MAX_HITS]
    columns = max((min(len(hit.key_frames), FRAMES_PER_HIT) for hit in shown), default=1) or 1
    width = GAP + columns * (TILE_WIDTH + GAP)
    row_height = LABEL_HEIGHT + TILE_HEIGHT + GAP
    sheet = Image.new("RGB", (width, GAP + max(len(shown), 1) * row_height), "#14161a")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(16)
    for row, hit in enumerate(shown):
        top = GAP + row * row_height
        name = printable(hit.path.rsplit("/", 1)[-1])
        label = f"{hit.score:.3f}  {hit.band}  {clock_span(hit.start_seconds, hit.end_seconds)}  {name}"
        while label and draw.textlength(label, font=font) > width - 2 * GAP:
            label = label[:-2].rstrip("…") + "…"
        draw.text((GAP, top + 4), label, fill="#e8e8e8", font=font)
        for column, frame in enumerate(hit.key_frames[:FRAMES_PER_HIT]):
            with Image.open(io.BytesIO(jpeg_of(frame.id))) as picture:
                picture.thumbnail((TILE_WIDTH, TILE_HEIGHT))
                left = GAP + column * (TILE_WIDTH + GAP) + (TILE_WIDTH - picture.width) // 2
                sheet.paste(picture, (left, top + LABEL_HEIGHT + (TILE_HEIGHT - picture.height) // 2))
    sheet.save(path)

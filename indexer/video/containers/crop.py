"""Cropping by the container: Matroska's PixelCrop, MP4's and MOV's `clap`.

FFmpeg's command line applies both; its library hands them over beside the pictures, where our binding does
not reach. A few header bytes are read here instead, within bounds, whatever the file claims of itself.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

from search.file_names import os_path

_MOST_ELEMENTS = 20_000  # looked at in one file
_MOST_HEADER_BYTES = 1 << 22  # of one Tracks element or sample description
_MOST_SIDE = 1 << 16

_SEGMENT, _TRACKS, _CLUSTER, _SEEK_HEAD = 0x18538067, 0x1654AE6B, 0x1F43B675, 0x114D9B74
_SEEK, _SEEK_ID, _SEEK_POSITION = 0x4DBB, 0x53AB, 0x53AC
_TRACK, _TRACK_TYPE, _VIDEO = 0xAE, 0x83, 0xE0
_CROP_LEFT, _CROP_TOP, _CROP_RIGHT, _CROP_BOTTOM = 0x54CC, 0x54BB, 0x54DD, 0x54AA
_SAMPLE_ENTRY_BYTES = 86  # of a video's, before its own boxes


@dataclass(frozen=True, slots=True)
class Edges:
    """The edges to cut off a stored picture, in pixels."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def __bool__(self) -> bool:
        return max(self.left, self.top, self.right, self.bottom) > 0


def read_crop(path: str, container: str, index: int, begin: int = 0) -> Edges | None:
    """Reads the edges to cut off the pictures of a video stream; None where the file says nothing.

    Args:
        path: A readable file.
        container: FFmpeg's name of its format.
        index: Of the stream among the file's video streams.
        begin: Where it begins, of several that were joined.
    """
    read = {"matroska": _read_matroska, "mov": _read_mov}.get(container.split(",")[0])
    if read is None:
        return None
    try:
        with open(os_path(path), "rb") as file:
            found = read(file, begin)
    except (OSError, ValueError, struct.error, IndexError, OverflowError, ZeroDivisionError):
        return None
    edges = found[index] if index < len(found) else None
    return edges or None


# Matroska: elements of an id, a size, and content


def _read_matroska(file: BinaryIO, begin: int) -> list[Edges]:
    tracks = _find_tracks(file, begin)
    if tracks is None:
        return []
    begin, size = tracks
    file.seek(begin)
    content = file.read(min(size, _MOST_HEADER_BYTES))
    found = []
    for name, track in _elements(content):
        if name != _TRACK:
            continue
        parts = dict(_elements(track))
        if int.from_bytes(parts.get(_TRACK_TYPE, b""), "big") != 1:
            continue
        video = dict(_elements(parts.get(_VIDEO, b"")))
        sides = (_CROP_LEFT, _CROP_TOP, _CROP_RIGHT, _CROP_BOTTOM)
        found.append(Edges(*(_sane(int.from_bytes(video.get(one, b""), "big")) for one in sides)))
    return found


def _find_tracks(file: BinaryIO, position: int) -> tuple[int, int] | None:
    """Where the content of Tracks begins, and its size."""
    base = position
    elsewhere: int | None = None
    for _ in range(_MOST_ELEMENTS):
        file.seek(position)
        head = _element_head(file.read(12))
        if head is None:
            return None
        name, size, length = head
        body = position + length
        if name == _SEGMENT:
            position = base = body
            continue
        if name == _TRACKS:
            return body, size
        if name == _SEEK_HEAD and elsewhere is None:
            elsewhere = _tracks_in(_read_at(file, body, size))
        if name == _CLUSTER:
            if elsewhere is None or base + elsewhere <= position:
                return None
            position = base + elsewhere
            continue
        position = body + size
    return None


def _read_at(file: BinaryIO, position: int, size: int) -> bytes:
    file.seek(position)
    return file.read(min(size, _MOST_HEADER_BYTES))


def _tracks_in(seek_head: bytes) -> int | None:
    """Where Tracks lies, from the beginning of the segment, as the SeekHead says."""
    for name, content in _elements(seek_head):
        entry = dict(_elements(content)) if name == _SEEK else {}
        if int.from_bytes(entry.get(_SEEK_ID, b""), "big") == _TRACKS:
            return int.from_bytes(entry.get(_SEEK_POSITION, b""), "big")
    return None


def _elements(content: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    for _ in range(_MOST_ELEMENTS):
        head = _element_head(content[position : position + 12])
        if head is None:
            return
        name, size, length = head
        position += length
        yield name, content[position : position + size]
        position += size


def _element_head(head: bytes) -> tuple[int, int, int] | None:
    """Id, size and own length of an element; an unknown size counts as without end."""
    if len(head) < 2 or not head[0]:
        return None
    id_length = 9 - head[0].bit_length()
    if id_length > 4 or len(head) <= id_length or not head[id_length]:
        return None
    size_length = 9 - head[id_length].bit_length()
    name = int.from_bytes(head[:id_length], "big")
    size = int.from_bytes(head[id_length : id_length + size_length], "big")
    size &= (1 << 7 * size_length) - 1
    is_unknown = size == (1 << 7 * size_length) - 1
    return name, 1 << 62 if is_unknown else size, id_length + size_length


# MP4 and MOV: boxes of a size, a type, and content


def _read_mov(file: BinaryIO, first: int) -> list[Edges]:
    found = []
    for kind, begin, end in _boxes(file, first, 1 << 62):
        if kind != b"moov":
            continue
        for inner, track_begin, track_end in _boxes(file, begin, end):
            if inner != b"trak":
                continue
            media = _inside(file, track_begin, track_end, b"mdia")
            subtype = _inside(file, *media, b"hdlr") if media else None
            if media is None or subtype is None or _read_at(file, subtype[0] + 8, 4) != b"vide":
                continue
            found.append(_clean_aperture(file, media))
        break
    return found


def _clean_aperture(file: BinaryIO, media: tuple[int, int]) -> Edges:
    """Reads a video track's first sample description (ISO/IEC 14496-12, 12.1.4)."""
    place: tuple[int, int] | None = media
    for kind in (b"minf", b"stbl", b"stsd"):
        place = _inside(file, *place, kind) if place else None
    if place is None:
        return Edges()
    entry = _read_at(file, place[0] + 8, min(place[1] - place[0] - 8, _MOST_HEADER_BYTES))
    width, height = struct.unpack_from(">HH", entry, 32)
    end = min(len(entry), int.from_bytes(entry[:4], "big"))
    position = _SAMPLE_ENTRY_BYTES
    while position + 8 <= end:
        size, kind = struct.unpack_from(">I4s", entry, position)
        if kind == b"clap":
            return _edges(struct.unpack_from(">8i", entry, position + 8), width, height)
        position += max(8, size)
    return Edges()


def _edges(aperture: tuple[int, ...], width: int, height: int) -> Edges:
    """The edges by sizes and offsets of centres, each a numerator and a denominator."""
    wide, high, right, down = (Fraction(*aperture[place : place + 2]) for place in (0, 2, 4, 6))
    if not (0 < wide <= width and 0 < high <= height):
        return Edges()
    left = math.floor((width - wide) / 2 + right)
    top = math.floor((height - high) / 2 + down)
    sides = (left, top, width - left - math.floor(wide), height - top - math.floor(high))
    return Edges(*(_sane(side) for side in sides)) if min(sides) >= 0 else Edges()


def _inside(file: BinaryIO, begin: int, end: int, wanted: bytes) -> tuple[int, int] | None:
    for kind, body, after in _boxes(file, begin, end):
        if kind == wanted:
            return body, after
    return None


def _boxes(file: BinaryIO, begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Type, and where the content begins and ends."""
    position = begin
    for _ in range(_MOST_ELEMENTS):
        if position + 8 > end:
            return
        file.seek(position)
        head = file.read(16)
        if len(head) < 8:
            return
        size, kind = struct.unpack_from(">I4s", head)
        body = position + 8
        if size == 1 and len(head) == 16:
            size, body = struct.unpack_from(">Q", head, 8)[0], position + 16
        after = end if size == 0 else position + size
        if after < body:
            return
        yield kind, body, min(after, end)
        position = after


def _sane(side: int) -> int:
    return side if 0 <= side < _MOST_SIDE else 0

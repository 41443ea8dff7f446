"""Files that were joined end to end: where each begins, by the structure of its container.

Of Matroska, NUT and MP4 in fragments, files that were written end to end make one in which FFmpeg reads on
into the second as if it were still the first, with the wrong tables: each is read by itself instead.
(Transport and programme streams may be joined anywhere; there the stamps tell. Of the others FFmpeg reads the
first alone.)
"""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from encoders.errors import DecodeError
from search.file_names import os_path

_EBML, _MATROSKA_SEGMENT, _VOID = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\xec"
_MATROSKA_OPENING = re.compile(  # up to the name of the kind; not past another one
    rb"\x1a\x45\xdf\xa3(?:[^\x1a]|\x1a(?!\x45\xdf\xa3)){1,64}?\x42\x82.{1,8}?(?:matroska|webm)", re.DOTALL
)
_NUT_OPENING = re.compile(  # file_id_string, main_startcode
    re.escape(b"nut/multimedia container\0NM\x7a\x56\x1f\x5f\x04\xad")
)
# How files begin of which FFmpeg reads the first alone where several were joined end to end.
_OPENINGS = {
    "mov": re.compile(rb"\0\0[\0-\x0f].ftyp[ -~]{4}", re.DOTALL),
    "flv": re.compile(rb"FLV\x01[\0-\x05]\0\0\0\x09\0\0\0\0"),
    "asf": re.compile(re.escape(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"))),
    "wtv": re.compile(re.escape(bytes.fromhex("b7d800203749da11a64e0007e95ead8d"))),
    "apng": re.compile(re.escape(b"\x89PNG\r\n\x1a\n")),
}
_LONGEST_OPENING = 96
_PIECE_BYTES = 1 << 20
_MOST_PARTS = 10_000
_MOST_BOXES = 2_000_000  # looked at in one file


@dataclass(frozen=True, slots=True)
class Part:
    """A file within a file.

    Attributes:
        begin: Its first byte.
        end: The first that is not its own.
    """

    begin: int
    end: int


def find_parts(path: str, container: str) -> tuple[Part, ...]:
    """The whole files that one consists of; none where it is one, or cannot be told.

    Args:
        path: A readable file.
        container: FFmpeg's name of its format.

    Raises:
        DecodeError: It consists of more than can be read.
    """
    find = {"matroska": _matroska_parts, "mov": _mp4_parts, "nut": _nut_parts}.get(container.split(",")[0])
    if find is None:
        return ()
    with open(os_path(path), "rb") as file:
        begins = sorted({0, *find(file)})
        ends = [*begins[1:], os.fstat(file.fileno()).st_size]
    if len(begins) > _MOST_PARTS:
        raise DecodeError(
            f"the file is {len(begins)} files that were joined, and {_MOST_PARTS} at most are read: join "
            "them with ffmpeg -f concat"
        )
    return tuple(Part(*one) for one in zip(begins, ends, strict=True)) if len(begins) > 1 else ()


def has_open_segment(path: str) -> bool:
    """Returns whether a Matroska file does not say where it ends; those that browsers record do not."""
    with open(os_path(path), "rb") as file:
        if file.read(4) != _EBML:
            return False
        file.seek(_ebml_size(file)[0], os.SEEK_CUR)
        return file.read(4) == _MATROSKA_SEGMENT and not _ebml_size(file)[1]


def find_openings(file: BinaryIO, opening: re.Pattern[bytes], from_byte: int) -> Iterator[int]:
    """Where files of a kind begin within one, by how such begin: up to 96 bytes."""
    kept, found = b"", from_byte - 1
    file.seek(from_byte)
    while piece := file.read(_PIECE_BYTES):
        content, after = kept + piece, file.tell()
        for match in opening.finditer(content):
            if after - len(content) + match.start() > found:
                found = after - len(content) + match.start()
                yield found
        kept = content[-_LONGEST_OPENING:]
        file.seek(after)


def next_opening(path: str, container: str, from_byte: int) -> int | None:
    """Where another file begins that was joined on to one of a format of which FFmpeg reads but the first.

    Args:
        path: Of the file.
        container: FFmpeg's name of the format.
        from_byte: Where to look from on.
    """
    opening = _OPENINGS.get(container.split(",")[0])
    if opening is None:
        return None
    with open(os_path(path), "rb") as file:
        return next(find_openings(file, opening, from_byte), None)


def part_at(parts: Sequence[Part], byte: int) -> int:
    """The number of the part that a place in the file belongs to; the first for one before it."""
    return max(0, bisect_right(parts, byte, key=lambda part: part.begin) - 1)


def _matroska_parts(file: BinaryIO) -> list[int]:
    begins: list[int] = []
    openings: Iterator[int] | None = None
    begin: int | None = 0
    while begin is not None:
        begins.append(begin)
        end = _matroska_end(file, begin)
        if end is not None and file.read(4) == _EBML:
            begin = end
        elif end is not None and end >= os.fstat(file.fileno()).st_size:
            begin = None
        else:  # of unknown size, damaged, or something else follows
            openings = openings or find_openings(file, _MATROSKA_OPENING, begin + 4)
            begin = next((found for found in openings if found > begins[-1]), None)
    return begins


def _matroska_end(file: BinaryIO, begin: int) -> int | None:
    """Goes to where the file at a place ends, and filling behind it; None where it does not say so."""
    file.seek(begin)
    for name in (_EBML, _MATROSKA_SEGMENT):  # the header, and what it is one of
        if file.read(4) != name:
            return None
        size, is_said = _ebml_size(file)
        end = file.tell() + size
        if not is_said or end > os.fstat(file.fileno()).st_size:  # or it was cut off
            return None
        file.seek(end)
    for _ in range(_MOST_BOXES):
        if file.read(1) != _VOID:
            break
        size, _ = _ebml_size(file)
        end = file.seek(size, os.SEEK_CUR)
    file.seek(end)
    return end


def _ebml_size(file: BinaryIO) -> tuple[int, bool]:
    """The size of an element, and whether it is said at all (all ones: it is not)."""
    first = file.read(1)
    if not first or not first[0]:
        return 0, False
    length = 9 - first[0].bit_length()
    ones = (1 << 7 * length) - 1
    value = int.from_bytes(first + file.read(length - 1), "big") & ones
    return value, value != ones


def _mp4_parts(file: BinaryIO) -> list[int]:
    """Each has a file type and an index of its own; fragments have none, and another index has no type."""
    begins: list[int] = []
    is_in_fragments = False
    file_type: int | None = None
    for kind, position in _boxes(file):
        is_in_fragments |= kind == b"moof"
        if kind == b"ftyp":
            file_type = position
        elif kind == b"moov" and file_type is not None:
            begins.append(file_type)
            file_type = None
    return begins if is_in_fragments else []


def _boxes(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """The outermost boxes of an MP4 file: what each is, and where."""
    position, size_bytes = 0, os.fstat(file.fileno()).st_size
    for _ in range(_MOST_BOXES):
        if position >= size_bytes:
            return
        head = os.pread(file.fileno(), 16, position)
        size = int.from_bytes(head[:4], "big")
        if size == 1:
            size = int.from_bytes(head[8:], "big")
        yield head[4:8], position
        if size < 8:  # up to the end of the file
            return
        position += size


def _nut_parts(file: BinaryIO) -> list[int]:
    return list(find_openings(file, _NUT_OPENING, 0))

"""Files that mean harm, built byte by byte: absurd sizes, times and rates, bombs, nests and chimeras."""

from __future__ import annotations

import io
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HUGE = 100_000


# --- pictures --------------------------------------------------------------------------------------


def png(width: int, height: int, compressed: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", compressed) + chunk(b"IEND", b"")


def png_bomb(side: int) -> bytes:
    """A black picture of side x side pixels in a thousandth of their bytes."""
    packer = zlib.compressobj(1)
    row = bytes(1 + 3 * side)
    return png(side, side, b"".join([*(packer.compress(row) for _ in range(side)), packer.flush()]))


def gif(width: int, height: int, frames: int = 1) -> bytes:
    header = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    frame = b"\x21\xf9\x04\x00\x00\x00\x00\x00,"  # shown for no time at all
    frame += struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x44\x01\x00"
    return header + frame * frames + b";"


def bmp(side: int) -> bytes:
    return (
        b"BM"
        + struct.pack("<IHHIIiiHHIIiiII", 1000, 0, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
        + bytes(99)
    )


def webp(side: int) -> bytes:
    canvas = b"VP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + 2 * struct.pack("<I", side - 1)[:3]
    return b"RIFF" + struct.pack("<I", 4 + len(canvas)) + b"WEBP" + canvas


# --- MP4 -------------------------------------------------------------------------------------------


def box(kind: bytes, *contents: bytes) -> bytes:
    content = b"".join(contents)
    return struct.pack(">I", 8 + len(content)) + kind + content


def full(kind: bytes, *contents: bytes) -> bytes:
    return box(kind, bytes(4), *contents)


FTYP = box(b"ftyp", b"isom\0\0\0\0isomavc1")


def movie(
    *,
    width: int = 64,
    height: int = 64,
    timescale: int = 1000,
    duration: int = 1000,
    times: tuple[tuple[int, int], ...] = ((10, 40),),
    sizes: tuple[int, int] = (100, 10),
    codec: bytes = b"raw ",
    edits: bytes = b"",
) -> bytes:
    """An MP4 of one raw track; `times` are (samples, duration of each), `sizes` (bytes of each, samples)."""
    entry = box(
        codec,
        bytes(6) + struct.pack(">H", 1) + bytes(16) + struct.pack(">HH", width, height),
        struct.pack(">IIIH", 0x480000, 0x480000, 0, 1) + bytes(32) + struct.pack(">Hh", 24, -1),
    )
    stbl = box(
        b"stbl",
        full(b"stsd", struct.pack(">I", 1), entry),
        full(b"stts", struct.pack(">I", len(times)), *(struct.pack(">II", *pair) for pair in times)),
        full(b"stsc", struct.pack(">IIII", 1, 1, sizes[1], 1)),
        full(b"stsz", struct.pack(">II", *sizes)),
        full(b"stco", struct.pack(">II", 1, len(FTYP) + 8)),
    )
    dinf = box(b"dinf", full(b"dref", struct.pack(">I", 1), box(b"url ", b"\0\0\0\1")))
    minf = box(b"minf", box(b"vmhd", b"\0\0\0\1", bytes(8)), dinf, stbl)
    mdhd = full(b"mdhd", struct.pack(">IIIIHH", 0, 0, timescale, duration, 0, 0))
    hdlr = full(b"hdlr", bytes(4), b"vide", bytes(13))
    matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    tkhd = box(
        b"tkhd",
        b"\0\0\0\7",
        struct.pack(">IIIII", 0, 0, 1, 0, duration) + bytes(16) + matrix,
        struct.pack(">II", (width & 0xFFFF) << 16, (height & 0xFFFF) << 16),
    )
    mvhd = full(
        b"mvhd",
        struct.pack(">IIIIIH", 0, 0, timescale, duration, 0x10000, 0x100) + bytes(10) + matrix + bytes(24),
        struct.pack(">I", 2),
    )
    trak = box(b"trak", tkhd, edits, box(b"mdia", mdhd, hdlr, minf))
    return FTYP + box(b"mdat", bytes(2000)) + box(b"moov", mvhd, trak)


def compressed_header_bomb() -> bytes:
    """A header that says it unpacks to 2 GB, and does to 64 MB."""
    packed = zlib.compress(bytes(64 * 2**20), 9)
    cmvd = box(b"cmvd", struct.pack(">I", 2**31 - 100), packed)
    return FTYP + box(b"moov", box(b"cmov", box(b"dcom", b"zlib"), cmvd)) + box(b"mdat", bytes(100))


def nested_boxes(depth: int) -> bytes:
    content = b""
    for _ in range(depth):
        content = box(b"moov", content)
        if len(content) > 2**20:
            break
    return FTYP + content


# --- Matroska --------------------------------------------------------------------------------------


def ebml(kind: int, content: bytes) -> bytes:
    name = kind.to_bytes((kind.bit_length() + 7) // 8, "big")
    return name + (0x01 << 56 | len(content)).to_bytes(8, "big") + content


def number(kind: int, value: int) -> bytes:
    return ebml(kind, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def matroska(
    *,
    width: int = 16,
    height: int = 16,
    duration: float = 1000.0,
    frame_nanoseconds: int = 40_000_000,
    scale: int = 1_000_000,
    cluster_times: tuple[int, ...] = (0,),
    frames: int = 10,
    step: int = 40,
    extra: bytes = b"",
) -> bytes:
    """Matroska with one uncompressed track (I420)."""
    head = ebml(0x1A45DFA3, ebml(0x4282, b"matroska") + number(0x4287, 4) + number(0x4285, 2))
    info = number(0x2AD7B1, scale) + ebml(0x4489, struct.pack(">d", duration))
    picture = number(0xB0, width) + number(0xBA, height) + ebml(0x2EB524, b"I420")
    track = number(0xD7, 1) + number(0x73C5, 1) + number(0x83, 1) + ebml(0x86, b"V_UNCOMPRESSED")
    track += number(0x23E383, frame_nanoseconds) + ebml(0xE0, picture)
    clusters = b""
    pixels = bytes(min(width * height * 3 // 2, 384))
    for cluster in cluster_times:
        blocks = b"".join(
            ebml(0xA3, b"\x81" + struct.pack(">h", max(-32768, min(32767, n * step))) + b"\x80" + pixels)
            for n in range(frames)
        )
        clusters += ebml(0x1F43B675, number(0xE7, cluster) + blocks)
    inner = ebml(0x1549A966, info) + ebml(0x1654AE6B, ebml(0xAE, track)) + extra + clusters
    return head + ebml(0x18538067, inner)


def nested_ebml(depth: int) -> bytes:
    content = b""
    for _ in range(depth):
        content = ebml(0x3373, ebml(0x7373, content))  # tags in tags
        if len(content) > 2**20:
            break
    return matroska(extra=ebml(0x1254C367, content))


# --- others ----------------------------------------------------------------------------------------


def y4m(width: int, height: int, rate: str = "25:1", frames: int = 10) -> bytes:
    pixels = bytes(min(width * height * 3 // 2, 384))
    return f"YUV4MPEG2 W{width} H{height} F{rate} Ip C420\n".encode() + (b"FRAME\n" + pixels) * frames


def avi(width: int, height: int, rate: int = 25, scale: int = 1) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)

    main = struct.pack("<14I", 40000, 0, 0, 16, 10, 0, 1, 1000, width, height, 0, 0, 0, 0)
    stream = b"vidsDIB " + struct.pack("<10I", 0, 0, 0, scale, rate, 0, 10, 1000, 0, 0) + bytes(8)
    bitmap = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    headers = chunk(b"avih", main) + chunk(b"LIST", b"strl" + chunk(b"strh", stream) + chunk(b"strf", bitmap))
    frames = chunk(b"LIST", b"movi" + chunk(b"00db", bytes(768)) * 10)
    content = b"AVI " + chunk(b"LIST", b"hdrl" + headers) + frames
    return b"RIFF" + struct.pack("<I", len(content)) + content


class Bits:
    """Writes numbers as H.264 does."""

    def __init__(self) -> None:
        self._bits = ""

    def fixed(self, value: int, count: int) -> Bits:
        self._bits += format(value, f"0{count}b")
        return self

    def golomb(self, value: int) -> Bits:
        text = format(value + 1, "b")
        self._bits += "0" * (len(text) - 1) + text
        return self

    def unit(self) -> bytes:
        text = self._bits + "1"
        text += "0" * (-len(text) % 8)
        content = bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))
        return b"\0\0\0\1" + content.replace(b"\0\0\0", b"\0\0\3\0").replace(b"\0\0\1", b"\0\0\3\1")


def h264(side: int) -> bytes:
    """A stream that claims side x side pixels, with some slices of it."""
    blocks = side // 16 - 1
    first = (
        Bits().fixed(0x67, 8).fixed(66, 8).fixed(0, 8).fixed(62, 8).golomb(0).golomb(0).golomb(2).golomb(1)
    )
    first.fixed(0, 1).golomb(blocks).golomb(blocks).fixed(0b1100, 4)
    second = Bits().fixed(0x68, 8).golomb(0).golomb(0).fixed(0, 2).golomb(0).golomb(0).golomb(0).fixed(0, 3)
    second.golomb(0).golomb(0).golomb(0).fixed(0b000, 3)
    slices = Bits().fixed(0x65, 8).golomb(0).golomb(7).golomb(0).fixed(0, 4).golomb(0).fixed(0, 2).golomb(0)
    for _ in range(200):
        slices.golomb(26)
    return (first.unit() + second.unit() + slices.unit()) * 20


def zipped(content: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("film.mp4", content)
    return made.getvalue()


def absurd_sizes() -> Iterator[tuple[str, bytes]]:
    """Frames of 100,000 x 100,000 pixels, or as many as the format can claim."""
    yield "huge.png", png(HUGE, HUGE, zlib.compress(b"x"))
    yield "huge.gif", gif(65535, 65535)
    yield "huge.bmp", bmp(HUGE)
    yield "huge.webp", webp(2**24)
    yield "huge.ppm", f"P6 {HUGE} {HUGE} 255\n".encode() + bytes(1000)
    yield "huge.y4m", y4m(HUGE, HUGE)
    yield "huge.mkv", matroska(width=HUGE, height=HUGE)
    yield "huge.avi", avi(HUGE, HUGE)
    yield "huge.mp4", movie(width=65535, height=65535)
    yield "huge.h264", h264(HUGE)
    yield "large.h264", h264(16 * 1000)


def bombs() -> Iterator[tuple[str, bytes]]:
    """Small files that unpack to very much."""
    yield "bomb.png", png_bomb(10_000)
    yield "header bomb.mp4", compressed_header_bomb()
    yield "samples bomb.mp4", movie(sizes=(1, 2**30), times=((2**30, 1),))
    yield "times bomb.mp4", movie(times=((2**31 - 1, 1),) * 100)
    yield "zipped.zip", zipped(bytes(2**26))


def absurd_times() -> Iterator[tuple[str, bytes]]:
    """Negative, infinite and undefined times, and 10^9 frames a second."""
    yield "rate.y4m", y4m(16, 16, "1000000000:1")
    yield "rate.mkv", matroska(frame_nanoseconds=1, scale=1, step=1)
    yield "rate.avi", avi(16, 16, rate=1_000_000_000)
    yield (
        "rate.mp4",
        movie(width=4, height=4, timescale=1_000_000_000, duration=10, times=((10, 1),), sizes=(48, 10)),
    )
    yield "slow.y4m", y4m(16, 16, "1:1000000000")
    yield "no rate.y4m", y4m(16, 16, "0:0")
    yield "negative rate.y4m", y4m(16, 16, "-25:1")
    yield "nan.mkv", matroska(duration=math.nan)
    yield "infinite.mkv", matroska(duration=math.inf)
    yield "negative.mkv", matroska(duration=-1e300, step=-40)
    yield "late.mkv", matroska(cluster_times=(2**62, 0, 2**63 - 1, 5))
    yield "century.mkv", matroska(duration=1e13, scale=2**40)
    edits = box(b"edts", full(b"elst", struct.pack(">IIiI", 1, 2**32 - 1, -(2**31), 0x10000)))
    yield "edits.mp4", movie(width=4, height=4, sizes=(48, 10), edits=edits)
    yield "no scale.mp4", movie(width=4, height=4, sizes=(48, 10), timescale=0)


def nests() -> Iterator[tuple[str, bytes]]:
    """Containers in containers."""
    yield "nested.mp4", nested_boxes(100_000)
    yield "nested.mkv", nested_ebml(100_000)
    yield (
        "film in a film.mkv",
        matroska(width=HUGE, extra=ebml(0x1941A469, ebml(0x61A7, ebml(0x465C, movie())))),
    )
    yield "film in a zip.mp4", zipped(movie())


def chimeras(film: bytes) -> Iterator[tuple[str, bytes]]:
    """Files that are two things at once; `film` is a good MP4."""
    playlist = b"#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
    yield "playlist and film.mp4", playlist + film
    yield "picture and playlist.png", png(1, 1, zlib.compress(bytes(4)))[:8] + playlist
    yield "document and film.pdf", b"%PDF-1.4\n%\xe2\xe3\n" + film
    yield "page and film.html", b"<!doctype html><script>alert(1)</script>" + film
    yield "script and film.sh", b"#!/bin/sh\nexit 1\n" + film
    yield "concat and film.mp4", b"ffconcat version 1.0\nfile /etc/passwd\n" + film


class Bomb:
    """Unpickled, it makes a folder."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.target),))

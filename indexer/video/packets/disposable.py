"""Pictures that no other picture needs, told by the headers that their codecs write.

Such a picture can be left out of a packet without a trace in any other. Known are H.264 (ITU-T H.264, 7.4.1),
HEVC (H.265, 7.4.2.2) and AV1 (its bitstream specification, 5.9.2); of other codecs nothing is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from indexer.video.packets.av1_headers import Av1Headers

_START_CODE = re.compile(rb"\x00\x00\x01")
_H264_SLICES = range(1, 6)
_HEVC_PICTURES, _HEVC_LAST_SUB_LAYER, _HEVC_SPS = range(32), 14, 33
_HEVC_HEAD_BYTES = 3


def needed_bytes_test(codec: str, extradata: bytes | None) -> Callable[[bytes], int] | None:
    """Tells of packets, in the order of the file, how many bytes from the first on other pictures need.

    That is 0 of a packet that holds nothing but a picture that no other needs, and all of its bytes where it
    holds no such picture, or cannot be read: nothing is raised.

    Args:
        codec: FFmpeg's name of it.
        extradata: What the container says of the stream; with it, whether units come with their lengths.

    Returns:
        None of codecs that are not known here.
    """
    makers: dict[str, type[_H264] | type[_Hevc] | type[Av1Headers]]
    makers = {"h264": _H264, "hevc": _Hevc, "av1": Av1Headers}
    if codec not in makers:
        return None
    headers = makers[codec](extradata or b"")

    def needed_bytes(packet: bytes) -> int:
        try:
            return headers.needed_bytes(packet)
        except (IndexError, ValueError):
            return len(packet)

    return needed_bytes


class _H264:
    """Slices with nal_ref_idc 0 are of no reference picture."""

    def __init__(self, extradata: bytes) -> None:
        is_plain = extradata[:1] != b"\x01" or len(extradata) < 7  # Annex B; else avcC (ISO/IEC 14496-15)
        self._length_bytes = 0 if is_plain else (extradata[4] & 3) + 1

    def needed_bytes(self, packet: bytes) -> int:
        heads = [packet[at] for at in _units(packet, self._length_bytes)]
        slices = [head for head in heads if head & 0x1F in _H264_SLICES]
        return len(packet) if any(head & 0x60 for head in slices) or not slices else 0


class _Hevc:
    """Sub-layer non-reference pictures of the highest sub-layer are of no reference picture."""

    def __init__(self, extradata: bytes) -> None:
        is_plain = extradata[:1] != b"\x01" or len(extradata) < 23  # Annex B; else hvcC
        self._length_bytes = 0 if is_plain else (extradata[21] & 3) + 1
        self._highest = 6  # until a parameter set says that there are fewer sub-layers
        for at in _units(extradata, 0) if is_plain else _hvcc_units(extradata):
            self._note(extradata[at : at + _HEVC_HEAD_BYTES])

    def _note(self, head: bytes) -> None:
        if head[0] >> 1 & 0x3F == _HEVC_SPS and not _hevc_layer(head):
            self._highest = head[2] >> 1 & 7

    def needed_bytes(self, packet: bytes) -> int:
        found = False
        for at in _units(packet, self._length_bytes):
            head = packet[at : at + _HEVC_HEAD_BYTES]
            self._note(head)
            kind = head[0] >> 1 & 0x3F
            if kind not in _HEVC_PICTURES or _hevc_layer(head):
                continue
            if kind > _HEVC_LAST_SUB_LAYER or kind % 2 or (head[1] & 7) - 1 != self._highest:
                return len(packet)
            found = True
        return 0 if found else len(packet)


def _hevc_layer(head: bytes) -> int:
    return (head[0] & 1) << 5 | head[1] >> 3


def _units(content: bytes, length_bytes: int) -> Iterator[int]:
    """Where each unit of a packet begins: behind its length, or a start code where that has 0 bytes."""
    if not length_bytes:
        yield from (found.end() for found in _START_CODE.finditer(content) if found.end() < len(content))
        return
    at = 0
    while at + length_bytes < len(content):
        size = int.from_bytes(content[at : at + length_bytes], "big")
        at += length_bytes
        if size:
            yield at
        at += size


def _hvcc_units(extradata: bytes) -> Iterator[int]:
    """Where each unit of hvcC begins (ISO/IEC 14496-15, 8.3.3.1.2)."""
    at, arrays = 23, extradata[22]
    for _ in range(arrays):
        count = int.from_bytes(extradata[at + 1 : at + 3], "big")
        at += 3
        for _ in range(count):
            size = int.from_bytes(extradata[at : at + 2], "big")
            if at + 2 + _HEVC_HEAD_BYTES > len(extradata):
                return
            yield at + 2
            at += 2 + size

"""AV1's headers, as far as refresh_frame_flags: a picture that refreshes nothing is needed by no other.

Section numbers are of the AV1 bitstream and decoding process specification (2019).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

_SEQUENCE_HEADER, _FRAME_HEADER, _FRAME = 1, 3, 6
_KEY, _INTRA_ONLY, _SWITCH = 0, 2, 3
_SELECT = 2  # of screen content tools: each frame says
_ALL = 0xFF
_AV1C_BYTES = 4
_HEAD_BYTES = 128  # of a unit: what counts comes sooner


@dataclass(frozen=True, slots=True)
class _Sequence:
    """What the sequence header says that those of frames depend on (5.5).

    Attributes:
        frame_id_bits: Of each frame's number, 0 for none.
        order_hint_bits: Of each frame's place in the order of showing.
        screen_tools, integer_motion: 0, 1, or 2 where each frame says.
    """

    frame_id_bits: int
    order_hint_bits: int
    screen_tools: int
    integer_motion: int


class _Bits:
    """Reads bits, the highest first. Raises IndexError behind the end."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def read(self, count: int = 1) -> int:
        value = 0
        for at in range(self._at, self._at + count):
            value = value << 1 | self._content[at >> 3] >> (7 - (at & 7)) & 1
        self._at += count
        return value

    def skip_variable(self) -> None:
        """Skips a number of variable length, uvlc (4.10.3)."""
        zeros = 0
        while not self.read():
            zeros += 1
        self.read(zeros if zeros < 32 else 0)


class Av1Headers:
    """Tells how much of each packet other pictures need: up to the one shown, if that refreshes nothing.

    A packet holds one picture that is shown, and before it perhaps some for later.

    Args:
        extradata: av1C (AV1 in ISO media), or nothing.
    """

    def __init__(self, extradata: bytes) -> None:
        self._sequence: _Sequence | None = None
        if extradata[:1] == b"\x81":  # marker and version
            with suppress(IndexError, ValueError):
                self.needed_bytes(extradata[_AV1C_BYTES:])

    def needed_bytes(self, packet: bytes) -> int:
        """How many bytes other pictures need. Raises IndexError or ValueError where it is broken."""
        is_needed, spare_from = False, -1
        for kind, begin, content in _units(packet):
            if kind == _SEQUENCE_HEADER:
                self._sequence = _read_sequence(content)
                is_needed = True
            elif kind in (_FRAME_HEADER, _FRAME):
                if self._sequence is None or spare_from >= 0:
                    return len(packet)
                if _refreshed_by(content, self._sequence):
                    is_needed = True
                else:
                    spare_from = begin
        if spare_from < 0:
            return len(packet)
        return spare_from if is_needed else 0


def _units(packet: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Each unit's kind, where it begins, and the first of its content (5.3).

    Raises ValueError where there are layers.
    """
    at = 0
    while at < len(packet):
        begin, head = at, packet[at]
        at += 1
        if head & 4:
            raise ValueError("a unit of a layer")
        size = len(packet) - at
        if head & 2:
            size = 0
            for place in range(8):
                byte = packet[at]
                at += 1
                size |= (byte & 0x7F) << 7 * place
                if not byte & 0x80:
                    break
        yield head >> 3 & 15, begin, packet[at : at + min(size, _HEAD_BYTES)]
        at += size


def _read_sequence(content: bytes) -> _Sequence | None:
    """sequence_header_obu (5.5.1); None where frames' headers hold what is not read here."""
    bits = _Bits(content)
    bits.read(4)  # profile, still_picture
    if bits.read():  # reduced_still_picture_header
        return None
    if bits.read():  # timing_info_present_flag
        bits.read(64)
        if bits.read():  # equal_picture_interval
            bits.skip_variable()
        if bits.read():  # decoder_model_info_present_flag
            return None
    has_delays = bits.read()
    for _ in range(bits.read(5) + 1):  # operating points
        bits.read(12)
        if bits.read(5) > 7:
            bits.read()
        if has_delays and bits.read():
            bits.read(4)
    wide, high = bits.read(4) + 1, bits.read(4) + 1
    bits.read(wide + high)
    frame_id_bits = 0
    if bits.read():  # frame_id_numbers_present_flag
        frame_id_bits = bits.read(4) + 2
        frame_id_bits += bits.read(3) + 1
    bits.read(3 + 4)  # superblocks and intra tools; inter tools
    has_order = bits.read()
    if has_order:
        bits.read(2)
    screen_tools = _SELECT if bits.read() else bits.read()
    integer_motion = _SELECT
    if screen_tools:
        integer_motion = _SELECT if bits.read() else bits.read()
    return _Sequence(frame_id_bits, bits.read(3) + 1 if has_order else 0, screen_tools, integer_motion)


def _refreshed_by(content: bytes, sequence: _Sequence) -> int:
    """refresh_frame_flags of uncompressed_header (5.9.2); all of them where a picture is only shown again."""
    bits = _Bits(content)
    if bits.read():  # show_existing_frame
        return _ALL
    kind, is_shown = bits.read(2), bits.read()
    if kind == _SWITCH or (kind == _KEY and is_shown):
        return _ALL
    if not is_shown:
        bits.read()  # showable_frame
    is_resilient = bits.read()
    bits.read()  # disable_cdf_update
    screen_tools = bits.read() if sequence.screen_tools == _SELECT else sequence.screen_tools
    if screen_tools and sequence.integer_motion == _SELECT:
        bits.read()
    bits.read(sequence.frame_id_bits + 1 + sequence.order_hint_bits)  # and frame_size_override_flag
    if not (kind in (_KEY, _INTRA_ONLY) or is_resilient):
        bits.read(3)  # primary_ref_frame
    refreshed = bits.read(8)
    return refreshed if is_shown else _ALL  # one that is not shown may yet be shown again

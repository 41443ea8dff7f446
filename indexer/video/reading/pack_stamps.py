"""Stamps of pictures of which several lie in a pack, as small ones do in MPEG programme streams.

A pack has the stamp of the first picture that begins in it. FFmpeg gives that to the picture before if this
one's start code lies across the border of two packs, and counts on from there; the next pack that is stamped
shows it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

_LOOKED_AHEAD = 64  # packets
_NO_MORE = object()


def with_own_stamps(packets: Iterable[Any], step_ticks: int) -> Iterator[Any]:
    """The same packets, none with the stamps of the one after it; None and empty ones pass as they are.

    Args:
        packets: As they come out of the file, with stamps that FFmpeg has not made up.
        step_ticks: How long a picture is shown that does not say so.
    """
    source = iter(packets)
    ahead: deque[Any] = deque()
    expected: int | None = None  # when the next one is decoded, counted from the last that is stamped
    are_counted = False  # FFmpeg knows of each when it is decoded, but in H.264 and later codecs
    while True:
        packet: Any = ahead.popleft() if ahead else next(source, _NO_MORE)
        if packet is _NO_MORE:
            return
        if packet is None or not packet.size:
            expected = None
            yield packet
            continue
        lasts = packet.duration or step_ticks
        dts = packet.dts
        if packet.pos is None:
            are_counted |= dts is not None
        elif dts is not None:
            if expected is not None and abs(dts - expected) >= lasts // 2:
                _look_ahead(ahead, source)
                if _is_of_the_next(packet, ahead, expected, step_ticks):
                    _count(packet, ahead, expected, are_counted, step_ticks)
                    dts = expected
            expected = dts
        expected = None if expected is None else expected + lasts
        yield packet


def _is_stamped(packet: Any) -> bool:
    return packet is not None and packet.size > 0 and packet.pos is not None and packet.dts is not None


def _look_ahead(ahead: deque[Any], source: Iterator[Any]) -> None:
    """Reads on up to the next packet that is stamped."""
    while len(ahead) < _LOOKED_AHEAD and not any(map(_is_stamped, ahead)):
        packet = next(source, _NO_MORE)
        if packet is _NO_MORE:
            return
        ahead.append(packet)


def _is_of_the_next(packet: Any, ahead: Iterable[Any], expected: int, step_ticks: int) -> bool:
    """Returns whether a stamp that is not the expected one is at odds with the next, too, which is."""
    lasts = packet.duration or step_ticks
    is_alone = True
    for following in ahead:
        expected += lasts
        if _is_stamped(following):
            is_next_pack = is_alone and following.pos != packet.pos
            return not is_next_pack and abs(following.dts - expected) < lasts // 4
        if following is None or not following.size:
            return False
        is_alone, lasts = False, following.duration or step_ticks
    return False


def _count(packet: Any, ahead: Iterable[Any], expected: int, are_counted: bool, step_ticks: int) -> None:
    """Corrects a packet, and those up to the next that is stamped, by how long each is shown."""
    if not are_counted:
        packet.pts = packet.dts = None
        return
    for one in (packet, *ahead):
        if one is not packet and _is_stamped(one):
            return
        one.pts = expected if one.pts == one.dts else None
        one.dts = expected
        expected += one.duration or step_ticks

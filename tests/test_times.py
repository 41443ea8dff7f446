"""The right frame at the right time, whatever the container: against how each file was made and PyAV's list.

A property draws containers, codecs, rates, clocks, beginnings, B-frames, edit lists and joins; every frame
that an ingest sees, that is asked for by its own time, or that is in a cut must be the one put there.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from video_factory import HEIGHT, moving, read_stamp, shift_times, write_video

from indexer.video.making.render import frames_between
from indexer.video.reading.decode import VideoDecoder
from indexer.video.reading.probing import frame_at, probe

NTSC, FILM = Fraction(30000, 1001), Fraction(24000, 1001)
RATES = [Fraction(25), NTSC, FILM, Fraction(24), Fraction(30), Fraction(50), Fraction(60000, 1001)]
FREE_RATES = [*RATES, Fraction(10), Fraction(25, 2), Fraction(15), Fraction(120), Fraction(5)]
CODECS = {
    "mp4": ["libx264", "libx265", "mpeg4"],
    "mov": ["libx264", "mjpeg"],
    "mkv": ["libx264", "mpeg4", "libvpx", "ffv1"],
    "webm": ["libvpx"],
    "ts": ["libx264", "libx265", "mpeg2video"],
    "m2ts": ["libx264"],
    "mpg": ["mpeg2video", "mpeg1video", "libx264"],
    "vob": ["mpeg2video"],
    "avi": ["mpeg4", "mjpeg"],
    "flv": ["libx264"],
    "nut": ["libx264"],
}
STEADY = ["ts", "m2ts", "mpg", "vob", "mkv", "webm"]  # drawn with the rates of films alone
JOINED = [*STEADY, "mp4", "mov", "nut"]
STARTS_AT_ZERO = {
    "ts",
    "m2ts",
    "mpg",
    "vob",
}  # their clocks begin anywhere, so ours counts from the beginning
# Of MP4 files that are not in fragments, FFmpeg reads no second part.
FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
NO_B_FRAMES = {"mjpeg", "ffv1", "libvpx"}


@dataclass(frozen=True)
class Made:
    """What is drawn."""

    container: str
    codec: str
    rate: Fraction
    tick: Fraction | None
    b_frames: int
    key_every: int
    start_seconds: Fraction
    cut_off: int
    gaps: tuple[int, ...]
    grain: int  # of its pictures: small ones lie several in a pack of a programme stream, which has one stamp
    pieces: tuple[tuple[int, Fraction], ...]  # how many frames, and where the clock of each piece begins


@st.composite
def made_files(draw: st.DrawFn, containers: Sequence[str] = tuple(CODECS), joins: bool = False) -> Made:
    container = draw(st.sampled_from(list(containers)))
    codec = draw(st.sampled_from(CODECS[container]))
    rate = draw(
        st.sampled_from(RATES if codec.startswith("mpeg") or container in STEADY or joins else FREE_RATES)
    )
    has_b_frames = codec not in NO_B_FRAMES and container not in ("avi", "flv")
    ticks = [None]
    if container in ("mp4", "mov", "nut") and not codec.startswith("mpeg"):
        ticks = [None, 1 / rate, Fraction(1, 90000), Fraction(1, 12800), Fraction(1, 1_000_000)]
    is_steady = joins or codec.startswith("mpeg") or container in ("avi", "flv", "mpg")
    count = draw(st.integers(2, 40))
    starts = (
        [Fraction(0)] if container in ("avi", "flv") else [Fraction(n, 1000) for n in (0, 0, 40, 1000, 8007)]
    )
    pieces = [(count, Fraction(0))]
    if joins:
        clocks = [Fraction(0), Fraction(0), Fraction(1000), Fraction(95000)]
        pieces += draw(
            st.lists(
                st.tuples(st.integers(12, 90), st.sampled_from(clocks)),
                min_size=1,
                max_size=3,
            )
        )
        pieces[0] = (draw(st.integers(12, 90)), draw(st.sampled_from(clocks)))
    return Made(
        container=container,
        codec=codec,
        rate=rate,
        tick=draw(st.sampled_from(ticks)),
        b_frames=draw(st.integers(0, 3)) if has_b_frames else 0,
        key_every=draw(st.sampled_from([1, 5, 12, 250])),
        start_seconds=draw(st.sampled_from(starts)),
        cut_off=draw(st.integers(0, 3)) if container in ("mp4", "mov") and not joins else 0,
        gaps=() if is_steady else tuple(draw(st.lists(st.integers(1, 9), max_size=6))),
        grain=draw(st.sampled_from([0, 4, 20])) if container in ("mpg", "vob") else 0,
        pieces=tuple(pieces),
    )


def write_made(made: Made, folder: Path) -> tuple[Path, list[int], list[float]]:
    """Writes what was drawn; returns the file, the numbers of its frames and when each is shown."""
    numbers: list[int] = []
    times: list[float] = []
    parts: list[Path] = []
    in_fragments = len(made.pieces) > 1 and made.container in ("mp4", "mov")
    starts_at_zero = in_fragments or made.container in STARTS_AT_ZERO
    for count, clock in made.pieces:
        begin = made.start_seconds + clock
        if made.tick == 1 / made.rate or made.codec.startswith(
            "mpeg"
        ):  # a clock that knows whole frames alone
            begin = round(begin * made.rate) / made.rate
        steps = [made.gaps[n % len(made.gaps)] if made.gaps else 1 for n in range(count)]
        own = [begin + sum(steps[:n]) / made.rate for n in range(count)]
        first = len(numbers)
        path = write_video(
            folder / f"part{len(parts)}.{made.container}",
            grainy(count, first, made.grain),
            fps=made.rate,
            times=[float(one) for one in own],
            tick=made.tick,
            codec=made.codec,
            b_frames=made.b_frames,
            key_every=made.key_every,
            codec_options={"qmin": "2", "qmax": "3"} if made.container in ("mpg", "vob") else None,
            pixel_format="yuvj420p" if made.codec == "mjpeg" else "yuv420p",
            container="mpegts" if made.container == "m2ts" else None,
            container_options=FRAGMENTS
            if len(made.pieces) > 1 and made.container in ("mp4", "mov")
            else None,
        )
        parts.append(path)
        shown = first / made.rate  # a piece follows on the one before
        origin = begin if starts_at_zero or first else Fraction(0)
        numbers += range(first, first + count)
        times += [float(one - origin + (shown if first else 0)) for one in own]
        if first and not starts_at_zero:
            times[first:] = [one + times[0] for one in times[first:]]
    path = folder / f"made.{made.container}"
    if made.cut_off and made.cut_off < len(numbers):
        before = times[made.cut_off]
        shift_times(parts[0], path, -listed_times(parts[0])[made.cut_off])  # the muxer rounds where it begins
        return path, numbers[made.cut_off :], [one - before for one in times[made.cut_off :]]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path, numbers, times


def grainy(count: int, first: int, grain: int) -> list[np.ndarray]:
    """Frames with noise of up to this many levels, and without any in some stretches."""
    random = np.random.default_rng(first)
    frames = moving(count, first=first)
    for number, frame in enumerate(frames):
        if grain and number % 24 < 15:
            noise = random.integers(-grain, grain + 1, (HEIGHT - 16, *frame.shape[1:]))
            frame[: HEIGHT - 16] = np.clip(frame[: HEIGHT - 16] + noise, 0, 255)
    return frames


def lacks_times(made: Made) -> bool:
    """Whether PyAV may not say when frames are shown: H.264 of which several lie in a pack."""
    return made.container == "mpg" and made.codec == "libx264"


def listed_times(path: Path) -> list[float]:
    """When PyAV says that each frame is shown, counted from the beginning where clocks begin anywhere."""
    with av.open(str(path)) as opened:
        start = (opened.start_time or 0) / av.time_base if opened.format.flags & 0x200 else 0.0
        return [float(frame.pts * frame.time_base) - start for frame in opened.decode(video=0)]


def check_made(made: Made, *, every: int) -> None:
    """Compares every frame of ingest, and every `every`-th asked for by its own time and in cuts."""
    folder = Path(tempfile.mkdtemp())
    try:
        path, numbers, times = write_made(made, folder)
        with VideoDecoder(str(path)) as decoder:
            read = [(frame.pts_seconds, read_stamp(frame.rgb(HEIGHT))) for frame in decoder.frames()]
            assert decoder.damage is None
            length = decoder.seconds_read
        got = [time for time, _ in read]
        assert [number for _, number in read] == numbers
        # Muxers round to their clocks, and start B-frames or the pieces of a joined file a little late.
        late = got[0] - times[0]
        assert -0.002 <= late <= 0.002 + (made.b_frames + 1) * max(made.gaps, default=1) / made.rate
        # Matroska counts in milliseconds, and so the end of each part.
        slack = 0.0021 + 0.001 * (len(made.pieces) - 2 if made.container in ("mkv", "webm") else 0)
        assert np.allclose(np.array(got) - got[0], np.array(times) - times[0], atol=max(0.0021, slack)), made
        if len(made.pieces) == 1 and not lacks_times(made):
            assert np.allclose(got, listed_times(path), atol=1e-6)
        step = max(1 / made.rate, 0.001)
        if not made.gaps and len(numbers) >= 10:  # of fewer, no rate can be told where none is said
            assert length == pytest.approx(times[-1] - times[0] + 1 / made.rate, abs=float(step))
        if len(made.pieces) > 1:
            assert probe(str(path)).duration_seconds == pytest.approx(length, abs=0.005)
        for index in range(0, len(read), every):
            frame = frame_at(str(path), round(got[index], 6))
            assert read_stamp(frame.rgb(HEIGHT)) == numbers[index], index
        for index in range(0, len(read) - 1, 3 * every):
            middle = frame_at(str(path), (got[index] + got[index + 1]) / 2)
            assert read_stamp(middle.rgb(HEIGHT)) == numbers[index], index
            last = min(index + 5, len(read) - 1)
            if index < last:
                with VideoDecoder(str(path)) as decoder:
                    cut = frames_between(decoder, round(got[index], 6), round(got[last], 6))
                    assert [read_stamp(frame.rgb(HEIGHT)) for frame, _, _ in cut] == numbers[index:last], (
                        index
                    )
    finally:
        shutil.rmtree(folder)


FEW = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)


@FEW
@given(made_files())
def test_every_frame_is_where_it_was_put(made: Made) -> None:
    check_made(made, every=4)


@settings(FEW, max_examples=15)
@given(made_files(JOINED, joins=True))
def test_every_frame_of_joined_files_is_where_it_was_put(made: Made) -> None:
    check_made(made, every=16)


@pytest.mark.slow
@settings(FEW, max_examples=220)
@given(made_files())
def test_every_frame_of_very_many_files_is_where_it_was_put(made: Made) -> None:
    check_made(made, every=1)


@pytest.mark.slow
@settings(FEW, max_examples=120)
@given(made_files(JOINED, joins=True))
def test_every_frame_of_very_many_joined_files_is_where_it_was_put(made: Made) -> None:
    check_made(made, every=5)

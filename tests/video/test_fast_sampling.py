"""Fast sampling: what is left out is needed by no other frame, is never missed by much, and is no damage."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from video_factory import HEIGHT, moving, read_stamp, shift_times, shots, write_video

from encoders.errors import DamagedVideoError
from indexer.video.clips.sampling import SampledClip, sample_clips
from indexer.video.packets.disposable import needed_bytes_test
from indexer.video.packets.thinning import Thinning
from indexer.video.reading.decode import VideoDecoder
from indexer.video.types import SamplingOptions

FAST = SamplingOptions(sampling="fast", frame_size=HEIGHT, crop_borders=False)
COUNT = 150
FPS = 25
STEP_SECONDS = 1 / FPS


@dataclass(frozen=True)
class Coding:
    """How a film is coded: as for `write_video`."""

    name: str
    suffix: str
    codec: str = "libx264"
    b_frames: int = 3
    options: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path, frames: list[np.ndarray], **more: Any) -> Path:
        path = folder / f"film{self.suffix}"
        options = {"crf": "18", **self.options}
        return write_video(
            path, frames, fps=FPS, codec=self.codec, b_frames=self.b_frames, codec_options=options, **more
        )


QUIET = "log-level=none"
CODINGS = [
    Coding("pyramids", ".mp4"),
    Coding("many between two", ".mkv", b_frames=8, options={"b-pyramid": "none", "b_strategy": "0"}),
    Coding("start codes", ".ts"),
    Coding("open groups", ".mp4", options={"x264-params": "open-gop=1"}),
    Coding("slices", ".mp4", options={"slices": "4"}),
    Coding("hevc", ".mp4", "libx265", options={"preset": "medium", "x265-params": QUIET}),
    Coding("hevc, start codes", ".ts", "libx265", options={"preset": "medium", "x265-params": QUIET}),
    Coding(
        "hevc, sub-layers", ".mkv", "libx265", 4,
        {"preset": "medium", "x265-params": f"{QUIET}:temporal-layers=3:b-adapt=0:bframes=7"},
    ),
    Coding("av1", ".mp4", "libsvtav1", options={"preset": "10"}),
    Coding("av1 in Matroska", ".mkv", "libsvtav1", options={"preset": "10"}),
]  # fmt: skip
every_coding = pytest.mark.parametrize("coding", CODINGS, ids=lambda coding: coding.name)


def kept_frames(path: Path, apart_seconds: float = FAST.apart_seconds) -> list[tuple[float, int]]:
    """The time of each frame that is left, and the number that is written into its picture."""
    with VideoDecoder(str(path)) as decoder:
        frames = decoder.frames("nonref", apart_seconds=apart_seconds)
        return [(frame.pts_seconds, read_stamp(frame.rgb(HEIGHT))) for frame in frames]


def sampled(path: Path, options: SamplingOptions = FAST) -> list[SampledClip]:
    with VideoDecoder(str(path)) as decoder:
        clips = list(sample_clips(decoder, options))
        assert decoder.damage is None
    return clips


def luma(path: Path, skip: Any, apart_seconds: float = 0.0) -> dict[float, bytes]:
    with VideoDecoder(str(path)) as decoder:
        frames = decoder.frames(skip, apart_seconds=apart_seconds)
        return {frame.pts_seconds: frame.picture.to_ndarray().tobytes() for frame in frames}


# What is left out


@every_coding
def test_frames_that_are_left_are_the_same_to_the_bit(tmp_path: Path, coding: Coding) -> None:
    path = coding.write(tmp_path, moving(COUNT))
    whole, thinned = luma(path, "none"), luma(path, "nonref", 1e6)
    assert len(whole) == COUNT
    assert len(thinned) < 0.75 * COUNT
    assert all(whole[time] == picture for time, picture in thinned.items())


@every_coding
def test_frames_that_are_left_are_those_of_their_times_and_near_each_other(
    tmp_path: Path, coding: Coding
) -> None:
    kept = kept_frames(coding.write(tmp_path, moving(COUNT)))
    start = 0.0 if coding.suffix != ".ts" else kept[0][0]
    for time, number in kept:
        assert time - start == pytest.approx(number / FPS, abs=1e-3)
    times = [time for time, _ in kept]
    assert max(after - before for before, after in pairwise(times)) <= 0.125 + 1e-3
    assert len(kept) < 0.75 * COUNT


@every_coding
def test_pictures_are_told_apart_as_ffmpegs_decoders_do(tmp_path: Path, coding: Coding) -> None:
    path = coding.write(tmp_path, moving(COUNT))
    with av.open(str(path)) as source:
        context = source.streams.video[0].codec_context
        needed_bytes = needed_bytes_test(context.codec.canonical_name, context.extradata)
        assert needed_bytes is not None
        packets = [packet for packet in source.demux(video=0) if packet.size]
        needed = {packet.pts for packet in packets if needed_bytes(bytes(packet)) == packet.size}
    with av.open(str(path)) as source:
        source.streams.video[0].codec_context.skip_frame = "NONREF"
        assert {frame.pts for frame in source.decode(video=0)} == needed


def test_of_other_codecs_and_of_files_without_presentation_times_nothing_is_left_out(tmp_path: Path) -> None:
    films = [
        write_video(tmp_path / "a.avi", moving(60), codec="mpeg4", b_frames=2),
        write_video(tmp_path / "b.avi", moving(60), b_frames=2),
        write_video(tmp_path / "c.webm", moving(60), codec="libvpx-vp9"),
        write_video(tmp_path / "d.mpg", moving(60), codec="mpeg2video", b_frames=2),
    ]
    for path in films:
        assert luma(path, "nonref", 1e6) == luma(path, "none")


def test_of_interlaced_film_nothing_is_left_out(tmp_path: Path) -> None:
    options = {"flags": "+ildct+ilme", "x264-params": "tff=1"}
    path = write_video(tmp_path / "a.mp4", moving(60), b_frames=3, codec_options=options)
    assert len(luma(path, "nonref", 1e6)) == 60


def test_thinning_leaves_gaps_of_the_given_length() -> None:
    thinning = Thinning(3)
    thinning.keep(0)
    thinning.keep(8)  # decoded before those between
    assert [thinning.leaves_out(pts, 1) for pts in range(1, 8)] == [
        True, True, False,  # 0 to 3
        True, True, False,  # 3 to 6
        True,  # 6 to 8
    ]  # fmt: skip
    assert not Thinning(3).leaves_out(5, 1)  # nothing is known of what lies before


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_broken_packets_are_needed_as_they_are(codec: str) -> None:
    random = np.random.default_rng(1)
    for extradata in (None, b"", b"\x01", b"\x81\x05", b"\x01" + bytes(22), random.bytes(40)):
        needed_bytes = needed_bytes_test(codec, extradata)
        assert needed_bytes is not None
        assert needed_bytes(b"") == 0
        for size in range(1, 200):
            assert 0 <= needed_bytes(random.bytes(size)) <= size


# Times


@every_coding
def test_samples_and_cuts_are_at_most_a_quarter_of_a_step_off(tmp_path: Path, coding: Coding) -> None:
    frames, starts = shots([40, 61, 30, 75])
    path = coding.write(tmp_path, frames)
    clips = sampled(path)
    first = clips[0].start_seconds
    begins = [clip.start_seconds - first for clip in clips]
    for start in starts:
        late = min((begin - start / FPS for begin in begins), key=abs)
        assert -1e-3 <= late <= 0.125 + 1e-3, start
    for clip in clips:
        numbers = [read_stamp(frame) for frame in clip.frames.frames]
        assert len({sum(number >= start for start in starts) for number in numbers}) == 1
        for number, time in zip(numbers, clip.frames.pts_seconds, strict=True):
            assert time - first == pytest.approx(number / FPS, abs=1e-3)
        targets = np.arange(clip.start_seconds + 0.25, clip.end_seconds - 1e-6, 0.5)
        for target in targets:
            before = target - clip.frames.pts_seconds
            assert before[before > -1e-3].min() <= 0.125 + 1e-3
    assert clips[-1].end_seconds - first == pytest.approx(len(frames) / FPS, abs=2e-3)


def test_times_are_those_of_the_file_where_it_starts_late_or_its_rate_varies(tmp_path: Path) -> None:
    gaps = np.round(np.random.default_rng(4).uniform(0.012, 0.075, COUNT), 3)
    times = np.cumsum(gaps)
    path = write_video(tmp_path / "uneven.mkv", moving(COUNT), times=times.tolist(), b_frames=3)
    kept = kept_frames(path)
    assert len(kept) < 0.8 * COUNT
    for time, number in kept:
        assert time == pytest.approx(times[number], abs=1e-3)
    late = shift_times(write_video(tmp_path / "a.mkv", moving(COUNT), b_frames=3), tmp_path / "b.mkv", 7.0)
    kept = kept_frames(late)
    assert len(kept) < 0.8 * COUNT
    assert [time for time, _ in kept] == pytest.approx([7 + number / FPS for _, number in kept], abs=1e-3)


def test_finer_samples_and_dense_frames_need_more_of_the_film(tmp_path: Path) -> None:
    assert SamplingOptions().apart_seconds == 0.125
    assert SamplingOptions(fps=0.5).apart_seconds == 0.125
    assert SamplingOptions(fps=5).apart_seconds == pytest.approx(0.05)
    assert SamplingOptions(dense_fps=25).apart_seconds == pytest.approx(0.01)
    path = write_video(tmp_path / "a.mp4", moving(100), b_frames=3)
    clips = sampled(path, SamplingOptions(sampling="fast", dense_fps=25, dense_size=HEIGHT))
    assert [read_stamp(frame) for frame in clips[0].dense.frames] == list(range(100))


# Damage


def test_what_is_left_out_is_not_missing(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving(COUNT), b_frames=8, codec_options={"b-pyramid": "none"})
    with VideoDecoder(str(path)) as decoder:
        clips = list(sample_clips(decoder, FAST))
        assert decoder.damage is None
        assert decoder.seconds_read == pytest.approx(COUNT / FPS)
    assert clips[-1].end_seconds == pytest.approx(COUNT / FPS)


def test_losses_are_counted_among_what_was_to_be_decoded(tmp_path: Path) -> None:
    """Three in four of the pictures that others need are broken; those are a minority of all packets."""
    path = write_video(tmp_path / "a.mp4", moving(COUNT), b_frames=3, key_every=COUNT)
    broken = tmp_path / "broken.mp4"
    needed = 0
    with av.open(str(path)) as source, av.open(str(broken), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        needed_bytes = needed_bytes_test("h264", source.streams.video[0].codec_context.extradata)
        assert needed_bytes is not None
        for packet in source.demux(video=0):
            if packet.dts is None:
                continue
            content = bytes(packet)
            if needed_bytes(content):
                needed += 1
                if needed > 6 and needed % 4:
                    content = content[:5] + b"\xff" * (len(content) - 5)
            made = av.Packet(content)
            made.pts, made.dts, made.time_base = packet.pts, packet.dts, packet.time_base
            made.duration, made.is_keyframe, made.stream = packet.duration, packet.is_keyframe, stream
            output.mux(made)
    with VideoDecoder(str(broken)) as decoder, pytest.raises(DamagedVideoError, match="packets are broken"):
        list(sample_clips(decoder, FAST))


def test_a_truncated_file_is_one_in_fast_mode_too(tmp_path: Path) -> None:
    options = {"movflags": "faststart"}
    path = write_video(tmp_path / "a.mp4", moving(COUNT), b_frames=3, container_options=options)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with VideoDecoder(str(path)) as decoder, pytest.raises(DamagedVideoError, match="truncated"):
        list(sample_clips(decoder, FAST))


# Options


def test_options_of_libraries_made_before_are_read() -> None:
    assert SamplingOptions.from_json('{"sampling": "uniform"}') == SamplingOptions(sampling="exact")
    assert SamplingOptions.from_json(FAST.to_json()) == FAST
    with pytest.raises(ValueError, match="fast"):
        SamplingOptions.from_json('{"sampling": "quick"}')

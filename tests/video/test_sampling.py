"""Clips: windows and their targets by arithmetic, cuts on files whose cuts are known."""

from __future__ import annotations

import io
import resource
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from video_factory import (
    HEIGHT,
    letterboxed,
    moving,
    read_stamp,
    scene,
    shots,
    stamp,
    write_video,
)

from indexer.video.clips.sampling import SampledClip, SamplingOptions, sample_clips
from indexer.video.clips.shots import ShotDetector
from indexer.video.reading.decode import VideoDecoder

PLAIN = SamplingOptions(frame_size=HEIGHT, crop_borders=False)


def sampled(path: Path, options: SamplingOptions = PLAIN) -> list[SampledClip]:
    with VideoDecoder(str(path)) as decoder:
        clips = list(sample_clips(decoder, options))
    for before, after in pairwise(clips):
        assert before.end_seconds == after.start_seconds
    for clip in clips:
        assert clip.start_seconds < clip.end_seconds
        assert 1 <= len(clip.key_frames) <= 3
        times = [*clip.frames.pts_seconds, *(key.time_seconds for key in clip.key_frames)]
        assert all(clip.start_seconds <= time < clip.end_seconds for time in times)
    return clips


def spans(clips: list[SampledClip]) -> list[tuple[float, float]]:
    return [(round(c.start_seconds, 3), round(c.end_seconds, 3)) for c in clips]


def numbers(clip: SampledClip) -> list[int]:
    return [read_stamp(frame) for frame in clip.frames.frames]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (10, [(0, 4), (4, 8), (8, 10)]),  # a rest of half a window is a clip
        (9.6, [(0, 4), (4, 9.6)]),  # a shorter one joins the clip before
        (3, [(0, 3)]),
        (0.4, [(0, 0.4)]),
    ],
)
def test_windows(tmp_path: Path, seconds: float, expected: list[tuple[float, float]]) -> None:
    path = write_video(tmp_path / "a.mp4", moving(round(seconds * 25)))
    assert spans(sampled(path)) == expected


def test_sampled_frames_are_those_on_screen_at_the_targets(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving(250), b_frames=2)
    clips = sampled(path)
    # Targets are 0.25, 0.75, ... s after the start of a clip: frame floor(25 * t).
    expected = [[int(25 * (start + 0.25 + 0.5 * i)) for i in range(8)] for start in (0, 4)]
    assert numbers(clips[0]) == expected[0]
    assert numbers(clips[1]) == expected[1]
    assert numbers(clips[2]) == [206, 218, 231, 243]
    assert clips[0].frames.pts_seconds == pytest.approx([n / 25 for n in expected[0]])


def test_other_rates_and_windows(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving(100))
    clips = sampled(path, SamplingOptions(clip_seconds=1, fps=5, frame_size=HEIGHT))
    assert spans(clips) == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert numbers(clips[1]) == [27, 32, 37, 42, 47]
    clips = sampled(path, SamplingOptions(clip_seconds=2, fps=0.1, frame_size=HEIGHT))
    assert [len(clip.frames) for clip in clips] == [1, 1]


def test_a_frame_that_stays_on_screen_counts_in_every_window(tmp_path: Path) -> None:
    path = write_video(tmp_path / "slow.mp4", moving(4), times=[0, 10, 20, 20.5])
    clips = sampled(path)
    assert spans(clips)[:5] == [(0, 4), (4, 8), (8, 12), (12, 16), (16, 20.54)]
    assert [numbers(clip) for clip in clips[:4]] == [[0], [0], [0, 1], [1]]
    assert clips[1].frames.pts_seconds[0] == 4.0  # shown when the clip begins


def test_a_gap_of_hours_is_one_clip(tmp_path: Path) -> None:
    path = write_video(tmp_path / "gap.mkv", moving(4), times=[0, 1, 36_000, 36_001])
    assert len(sampled(path)) <= 4


# Cuts


@pytest.mark.parametrize("rate", ["constant", "variable"])
def test_no_clip_straddles_a_hard_cut(tmp_path: Path, rate: str) -> None:
    frames, starts = shots([40, 130, 9, 61, 30])
    gaps = np.random.default_rng(5).uniform(0.01, 0.08, len(frames))
    gaps = np.round(gaps * 60000) / 60000
    times = np.concatenate([[0], np.cumsum(gaps)[:-1]]) if rate == "variable" else None
    path = write_video(tmp_path / "a.mp4", frames, times=times, b_frames=2)
    clips = sampled(path)
    shown = times if times is not None else np.arange(len(frames)) / 25
    begins = [clip.start_seconds for clip in clips]
    for start in starts:
        assert min(abs(np.array(begins) - shown[start])) < 1e-4, start
    for clip in clips:
        shot = {sum(number >= start for start in starts) for number in numbers(clip)}
        assert len(shot) == 1


def test_without_shots_there_are_only_windows(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", shots([50, 50, 50])[0])
    assert spans(sampled(path, SamplingOptions(shots=False))) == [(0, 4), (4, 6)]


def test_a_short_shot_gives_its_middle(tmp_path: Path) -> None:
    frames, starts = shots([50, 10, 50])
    path = write_video(tmp_path / "a.mp4", frames)
    short = next(c for c in sampled(path) if c.start_seconds == pytest.approx(2.0))
    assert spans([short]) == [(2.0, 2.4)]
    assert numbers(short)[0] - starts[0] in (4, 5)


def found_cuts(path: Path) -> list[float]:
    detector = ShotDetector()
    cuts: list[float] = []
    with VideoDecoder(str(path)) as decoder:
        for frame in decoder.frames():
            cuts += detector.push(frame.thumbnail(), frame.pts_seconds)
    return [round(cut, 3) for cut in cuts + detector.finish()]


def test_a_fade_from_black_is_a_cut(tmp_path: Path) -> None:
    frames = moving(62, seed=1)
    frames, last = frames[:50], frames[50:]
    dark = [(f * (1 - i / 12)).astype(np.uint8) for i, f in enumerate(last)]
    black = [np.zeros_like(frames[0])] * 10
    after = moving(62, seed=2)
    light = [(f * (i / 12)).astype(np.uint8) for i, f in enumerate(after[:12])]
    path = write_video(tmp_path / "a.mp4", frames + dark + black + light + after[12:])
    cuts = found_cuts(path)
    assert len(cuts) == 1
    assert 71 / 25 <= cuts[0] <= 78 / 25  # the picture comes back from frame 72 on


def test_flashes_fast_pans_and_gain_are_no_cuts(tmp_path: Path) -> None:
    flashes = moving(100, seed=3)
    for at in (20, 21, 60):
        flashes[at] = np.clip(flashes[at].astype(int) + 150, 0, 255).astype(np.uint8)
    assert found_cuts(write_video(tmp_path / "flash.mp4", flashes)) == []
    pan = moving(100, seed=4, speed=12)
    assert found_cuts(write_video(tmp_path / "pan.mp4", pan)) == []
    gain = [(f * (0.6 if i > 50 else 1.0)).astype(np.uint8) for i, f in enumerate(moving(100))]
    assert found_cuts(write_video(tmp_path / "gain.mp4", gain)) == []
    still = [stamp(scene(6), 0)] * 60
    assert found_cuts(write_video(tmp_path / "still.mp4", still)) == []


def test_no_more_false_cuts_than_pyscenedetect_and_no_fewer_true_ones(tmp_path: Path) -> None:
    scenedetect = pytest.importorskip("scenedetect")
    frames, starts = shots([30, 45, 60, 25, 80, 33, 20, 70])
    random = np.random.default_rng(2)
    frames = [np.clip(f.astype(int) + random.normal(0, 6, f.shape), 0, 255).astype(np.uint8) for f in frames]
    path = write_video(tmp_path / "a.mp4", frames)
    detector = scenedetect.AdaptiveDetector(min_scene_len=6)
    theirs: set[int] = set()
    with VideoDecoder(str(path)) as decoder:
        for number, frame in enumerate(decoder.frames()):
            code = scenedetect.FrameTimecode(number, 25.0)
            theirs |= {c.frame_num for c in detector.process_frame(code, frame.rgb(144)[..., ::-1])}
    ours = {round(cut * 25) for cut in found_cuts(path)}
    assert ours == set(starts)
    assert len(ours - set(starts)) <= len(theirs - set(starts))


# Pictures


def test_a_letterboxed_copy_gives_the_frames_of_its_source(tmp_path: Path) -> None:
    source = [np.roll(scene(7, 320, 180), i, axis=1) for i in range(60)]
    plain = sampled(write_video(tmp_path / "a.mp4", source), SamplingOptions(frame_size=112))
    boxed = sampled(write_video(tmp_path / "b.mp4", letterboxed(source, 30)), SamplingOptions(frame_size=112))
    assert len(plain) == len(boxed)
    for one, other in zip(plain, boxed, strict=True):
        heights = one.frames.frames.shape[1], other.frames.frames.shape[1]
        widths = one.frames.frames.shape[2], other.frames.frames.shape[2]
        assert abs(heights[0] - heights[1]) <= 1
        assert abs(widths[0] - widths[1]) <= 8  # a line or two of the picture go with the bars
        height, width = min(heights), min(widths)
        first = one.frames.frames[:, :height, :width].astype(int)
        assert np.abs(first - other.frames.frames[:, :height, :width]).mean() < 6
    key = Image.open(io.BytesIO(boxed[0].key_frames[0].jpeg))
    assert key.size == (320, 240)  # key frames keep their bars


def test_bars_are_cut_only_where_they_hold_and_the_clip_is_not_dark(tmp_path: Path) -> None:
    options = SamplingOptions(frame_size=112)
    source = [np.roll(scene(8, 320, 240), i, axis=1) for i in range(60)]
    mixed = [np.pad(f[30:-30], ((30, 30), (0, 0), (0, 0))) if i < 20 else f for i, f in enumerate(source)]
    clips = sampled(write_video(tmp_path / "mixed.mp4", mixed), SamplingOptions(frame_size=112, shots=False))
    assert clips[0].frames.frames.shape[1:3] == (112, 149)
    dark = [np.full((240, 320, 3), 18, np.uint8)] * 50
    clips = sampled(write_video(tmp_path / "dark.mp4", dark), options)
    assert clips[0].frames.frames.shape[1:3] == (112, 149)
    moon = np.zeros((240, 320, 3), np.uint8)
    moon[110:130, 20:40] = 230
    clips = sampled(write_video(tmp_path / "moon.mp4", [moon] * 50), options)
    assert clips[0].frames.frames.shape[1:3] == (112, 149)


def test_key_frames_are_sharp_small_jpegs(tmp_path: Path) -> None:
    import cv2

    frames = moving(200, seed=9)
    # 1 target in 2 is blurred: those at 0.25 s, 1.25 s, ...
    for number in range(200):
        if (number // 12) % 2 == 0:
            frames[number] = cv2.GaussianBlur(frames[number], (15, 15), 0)
    path = write_video(tmp_path / "a.mp4", frames)
    clip = sampled(path, SamplingOptions(clip_seconds=8, frame_size=HEIGHT, key_frame_size=72))[0]
    assert len(clip.key_frames) == 3
    for key in clip.key_frames:
        assert (round(key.time_seconds * 25) // 12) % 2 == 1
        assert Image.open(io.BytesIO(key.jpeg)).size == (96, 72)


# Key frames only


def test_key_frame_sampling_reads_key_frames_only(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving(300), key_every=50, b_frames=2)
    clips = sampled(path, SamplingOptions(sampling="keyframes", frame_size=HEIGHT))
    assert spans(clips) == [(0, 4), (4, 8), (8, 12)]
    assert [numbers(clip) for clip in clips] == [[0, 50], [100, 150], [200, 250]]


def test_windows_without_a_key_frame_join_the_one_before(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving(500), key_every=250)
    clips = sampled(path, SamplingOptions(sampling="keyframes", frame_size=HEIGHT))
    assert [numbers(clip) for clip in clips] == [[0], [250]]
    assert clips[0].start_seconds == 0
    assert clips[-1].end_seconds == pytest.approx(20.0, abs=0.01)


# Memory


def test_memory_stays_flat(tmp_path: Path) -> None:
    small = [scene(seed, 64, 48) for seed in range(8)]
    path = write_video(tmp_path / "long.mp4", (small[i // 40 % 8] for i in range(12_000)), key_every=250)

    def peak_mib() -> float:
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit

    with VideoDecoder(str(path)) as decoder:
        clips = sample_clips(decoder, SamplingOptions())
        for _ in range(100):  # 160 s of 480 s
            next(clips)
        early = peak_mib()
        count = sum(1 for _ in clips)
    assert count > 150
    assert peak_mib() - early < 16


def test_options_are_checked_and_travel_as_text() -> None:
    options = SamplingOptions(clip_seconds=3.5, fps=1, sampling="keyframes")
    assert SamplingOptions.from_json(options.to_json()) == options
    assert options.changed(fps=None, clip_seconds=2.0).clip_seconds == 2.0
    for bad in ({"fps": 0}, {"clip_seconds": float("nan")}, {"sampling": "all"}, {"frame_size": 1}):
        with pytest.raises(ValueError, match="must be"):
            SamplingOptions(**bad)

"""Dense frames: those on screen at a constant rate, in the same pass, by the numbers stamped on them."""

from __future__ import annotations

import json
import math
import resource
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from video_factory import HEIGHT, letterboxed, moving, read_stamp, scene, shots, stamp, write_video

from encoders.heads.kinetics import window_frames
from indexer.video.clips.sampling import SampledClip, SamplingOptions, sample_clips
from indexer.video.programs.worker import DecodeWorker
from indexer.video.reading.decode import VideoDecoder

DENSE = SamplingOptions(frame_size=HEIGHT, crop_borders=False, dense_fps=7.5, dense_size=HEIGHT)


def sampled(path: Path, options: SamplingOptions = DENSE) -> list[SampledClip]:
    with VideoDecoder(str(path)) as decoder:
        clips = list(sample_clips(decoder, options))
    for clip in clips:
        assert clip.dense is not None
        times = clip.dense.pts_seconds
        assert (times >= clip.start_seconds).all() and (times < clip.end_seconds).all()
        assert times[0] - clip.start_seconds < 0.002  # there is always a frame on screen
    return clips


def numbers(clip: SampledClip) -> list[int]:
    assert clip.dense is not None
    return [read_stamp(frame) for frame in clip.dense.frames]


def on_screen(start: int, end: int, fps: float, dense_fps: float, grid_start: int | None = None) -> list[int]:
    """Numbers of the frames on screen at start + k / dense_fps, of a constant rate, each once."""
    first = (start if grid_start is None else grid_start) / fps
    count = math.ceil((end / fps - first) * dense_fps - 1e-6)
    shown = [math.floor((first + k / dense_fps) * fps + 1e-6) for k in range(count)]
    return sorted(set(shown))


@pytest.mark.parametrize(("fps", "dense_fps"), [(25, 7.5), (30, 7.5), (30, 15), (24, 15), (60, 15), (25, 25)])
def test_frames_are_those_on_screen_at_the_grid(tmp_path: Path, fps: int, dense_fps: float) -> None:
    path = write_video(tmp_path / "a.mp4", moving(10 * fps), fps=fps, b_frames=2)
    clips = sampled(path, DENSE.changed(dense_fps=dense_fps))
    assert len(clips) == 3
    for clip, (start, end) in zip(clips, ((0, 4), (4, 8), (8, 10)), strict=True):
        assert numbers(clip) == on_screen(start * fps, end * fps, fps, dense_fps)
        assert len(numbers(clip)) == (end - start) * dense_fps


@pytest.mark.parametrize(
    ("fps", "suffix"), [(25, "mp4"), (28, "mkv"), (30000 / 1001, "mp4"), (60000 / 1001, "mkv")]
)
def test_a_classifier_sees_each_of_them_once(tmp_path: Path, fps: float, suffix: str) -> None:
    path = write_video(tmp_path / f"a.{suffix}", moving(round(7 * fps)), fps=fps)
    for dense_fps in (7.5, 15.0):
        clip = sampled(path, DENSE.changed(dense_fps=dense_fps, shots=False))[0]
        assert clip.dense is not None
        count = round(4 * dense_fps)
        _, windows = window_frames(clip.dense.pts_seconds, count, dense_fps)
        assert windows.tolist() == [list(range(count))]


def test_a_source_slower_than_the_grid_gives_each_frame_once(tmp_path: Path) -> None:
    path = write_video(tmp_path / "slow.mp4", moving(50), fps=5)
    clips = sampled(path, DENSE.changed(dense_fps=15.0))
    assert [numbers(clip) for clip in clips] == [list(range(20)), list(range(20, 40)), list(range(40, 50))]
    assert clips[0].dense is not None
    assert clips[0].dense.pts_seconds == pytest.approx(np.arange(20) / 5)


def test_a_frame_that_stays_is_in_every_clip_it_is_seen_in(tmp_path: Path) -> None:
    path = write_video(tmp_path / "still.mp4", moving(4), times=[0, 10, 20, 20.5])
    clips = sampled(path)
    assert [numbers(clip) for clip in clips[:5]] == [[0], [0], [0, 1], [1], [1, 2, 3]]
    assert clips[1].dense is not None
    assert clips[1].dense.pts_seconds[0] == 4.0  # shown when the clip begins


def test_uneven_times(tmp_path: Path) -> None:
    gaps = np.random.default_rng(4).uniform(0.01, 0.2, 100)
    times = np.round(np.concatenate([[0], np.cumsum(gaps)[:-1]]) * 60000) / 60000
    path = write_video(tmp_path / "vfr.mp4", moving(100), times=times)
    for clip in sampled(path, DENSE.changed(shots=False))[:-1]:
        targets = clip.start_seconds + np.arange(30) / 7.5
        shown = sorted(set(np.searchsorted(times, targets + 0.001, side="right") - 1))
        assert numbers(clip) == shown


def test_a_clock_of_milliseconds_keeps_the_pace(tmp_path: Path) -> None:
    """Matroska says 0.067 where 1/15 is meant: still every other frame of 30 a second."""
    path = write_video(tmp_path / "a.mkv", moving(240), fps=30)
    clips = sampled(path, DENSE.changed(dense_fps=15.0))
    assert [numbers(clip) for clip in clips] == [list(range(0, 120, 2)), list(range(120, 240, 2))]


def test_no_dense_frame_is_of_another_shot(tmp_path: Path) -> None:
    frames, starts = shots([40, 130, 9, 61, 30])
    path = write_video(tmp_path / "a.mp4", frames, b_frames=2)
    clips = sampled(path)
    borders = [0, *starts, len(frames)]
    for clip in clips:
        assert len({sum(number >= start for start in starts) for number in numbers(clip)}) == 1
    firsts = [round(clip.start_seconds * 25) for clip in clips]
    assert set(borders[:-1]) <= set(firsts)
    short = next(clip for clip in clips if round(clip.start_seconds * 25) == starts[1])
    assert numbers(short) == on_screen(starts[1], starts[2], 25, 7.5)


def test_a_short_rest_joins_the_clip_before(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving(240))
    clips = sampled(path)
    assert [round(clip.end_seconds, 3) for clip in clips] == [4, 9.6]
    assert numbers(clips[1]) == on_screen(100, 200, 25, 7.5) + on_screen(200, 240, 25, 7.5)


def test_asking_for_dense_frames_changes_nothing_else(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", shots([70, 9, 120])[0], b_frames=2)
    plain = DENSE.changed(dense_fps=0.0)
    with VideoDecoder(str(path)) as decoder:
        without = list(sample_clips(decoder, plain))
    for one, other in zip(without, sampled(path), strict=True):
        assert one.dense is None
        assert (one.start_seconds, one.end_seconds) == (other.start_seconds, other.end_seconds)
        np.testing.assert_array_equal(one.frames.frames, other.frames.frames)
        np.testing.assert_array_equal(one.frames.pts_seconds, other.frames.pts_seconds)
        assert one.key_frames == other.key_frames


def test_size_and_borders_are_as_asked(tmp_path: Path) -> None:
    source = [np.roll(scene(7, 640, 360), i, axis=1) for i in range(60)]
    path = write_video(tmp_path / "a.mp4", letterboxed(source, 60))
    options = SamplingOptions(frame_size=224, dense_fps=15.0, dense_size=128)
    (clip,) = sampled(path, options)
    assert clip.dense is not None
    height, width = clip.dense.frames.shape[1:3]
    assert height == 128
    assert width / height == pytest.approx(clip.frames.frames.shape[2] / 224, rel=0.02)
    dark_rows = (clip.dense.frames.max(axis=(0, 2, 3)) < 40).sum()
    assert dark_rows == 0
    assert len(clip.dense) == 36


def test_dense_frames_travel_from_the_decoding_program(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [stamp(scene(1), number) for number in range(50)])
    with DecodeWorker() as worker:
        clips = [item for item in worker.decode(str(path), DENSE) if isinstance(item, SampledClip)]
    assert [numbers(clip) for clip in clips] == [on_screen(0, 50, 25, 7.5)]


def test_memory_stays_flat(tmp_path: Path) -> None:
    small = [scene(seed, 64, 48) for seed in range(8)]
    path = write_video(tmp_path / "long.mp4", (small[i // 40 % 8] for i in range(6_000)), key_every=250)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    with VideoDecoder(str(path)) as decoder:
        clips = sample_clips(decoder, SamplingOptions(dense_fps=15.0))
        for _ in range(60):
            next(clips)
        early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
        spans = [(clip.start_seconds, clip.end_seconds) for clip in clips]
    assert len(spans) > 50
    assert all(before[1] == after[0] for before, after in pairwise(spans))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit - early < 16


def test_options_of_before_mean_what_they_did() -> None:
    before = {
        "clip_seconds": 4.0,
        "fps": 2.0,
        "sampling": "uniform",
        "shots": True,
        "frame_size": 256,
        "key_frame_size": 360,
        "crop_borders": True,
    }
    assert SamplingOptions.from_json(json.dumps(before)) == SamplingOptions(sampling="exact")
    options = DENSE.changed(actions="kinetics:mvit_v2_s")
    assert SamplingOptions.from_json(options.to_json()) == options


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"dense_fps": -1.0}, "dense_fps must be 0 or from"),
        ({"dense_fps": float("nan")}, "dense_fps must be 0 or from"),
        ({"dense_size": 8, "dense_fps": 15.0}, "dense_size must be"),
        ({"dense_fps": 30.0, "clip_seconds": 60.0}, "at most 1024 frames"),
        ({"dense_fps": 7.5, "sampling": "keyframes"}, "too far apart to show movement"),
        ({"actions": "kinetics:r3d_18", "sampling": "keyframes"}, "too far apart to show movement"),
    ],
)
def test_options_that_make_no_sense(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SamplingOptions(**wrong)

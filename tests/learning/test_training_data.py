"""Training clips: which frames by arithmetic, read off the numbers stamped into the videos."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from video_factory import HEIGHT, WIDTH, moving, read_stamp, write_video

from encoders.errors import DecodeError
from indexer.datasets.training_data import ClipDataset, ClipSampling
from indexer.datasets.types import Sample
from indexer.video.clips.array_cache import ArrayCache


def numbers(frames: np.ndarray) -> list[int]:
    return [read_stamp(frame) for frame in frames]


def dataset(paths: list[Path], sampling: ClipSampling, **options: object) -> ClipDataset:
    options.setdefault("training", False)
    samples = [Sample(str(path), 0) for path in paths]
    return ClipDataset(samples, ["only"], sampling, **options)  # type: ignore[arg-type]


def reason(clips: ClipDataset, index: int) -> str | None:
    """Why a clip cannot be read, or None where it can."""
    try:
        clips.read(index, 0)
    except DecodeError as error:
        return str(error)
    return None


def one(path: Path, sampling: ClipSampling, **options: object) -> list[int]:
    return numbers(dataset([path], sampling, **options).read(0, 0)[0])


@pytest.fixture(params=["stream", "cache"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> ArrayCache | None:
    return ArrayCache(tmp_path / "cache", 1 << 28) if request.param == "cache" else None


@pytest.fixture(scope="module")
def thirty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90 frames, 30 a second."""
    return write_video(tmp_path_factory.mktemp("videos") / "thirty.mp4", moving(90), fps=30, b_frames=2)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 frames, 30 a second, a key frame each second: long enough to be sought in."""
    folder = tmp_path_factory.mktemp("videos")
    return write_video(folder / "long.mp4", moving(600), fps=30, b_frames=2, key_every=30)


@pytest.mark.parametrize(
    ("frames", "stride", "first"),
    [
        (16, 2, 29),  # 31 of 90 frames are covered: the middle clip begins at frame 29.5, which shows 29
        (8, 1, 41),
        (8, 8, 16),  # 57 are covered: 16.5
        (1, 1, 44),
        (45, 2, 0),  # 89 are covered: 0.5
    ],
)
def test_middle_clip(thirty: Path, cache: ArrayCache | None, frames: int, stride: int, first: int) -> None:
    sampling = ClipSampling(frames, stride, fps=30, size=HEIGHT)
    got = one(thirty, sampling, cache=cache)
    assert got == [first + number * stride for number in range(frames)]


def test_several_clips_are_evenly_spaced_and_reach_both_ends(thirty: Path, cache: ArrayCache | None) -> None:
    clips = dataset([thirty], ClipSampling(16, 2, size=HEIGHT), clips=3, cache=cache)
    assert len(clips) == len(clips.targets) == 3
    got = [numbers(clips.read(index, 0)[0]) for index in range(3)]
    # Room for 90 - 31 = 59 frames: at 0, 29.5 and 59; the last clip ends with the last frame.
    assert [row[0] for row in got] == [0, 29, 59]
    assert got[2][-1] == 89


@pytest.mark.parametrize("container", ["mp4", "mkv", "avi", "ts"])
def test_containers_with_coarse_clocks_come_at_an_even_pace(
    tmp_path: Path, cache: ArrayCache | None, container: str
) -> None:
    codec = "mpeg4" if container == "avi" else "libx264"
    path = write_video(tmp_path / f"a.{container}", moving(240), fps=30000 / 1001, codec=codec)
    clips = dataset([path], ClipSampling(32, 2, fps=30, size=HEIGHT), training=True, cache=cache)
    for epoch in range(4):
        got = numbers(clips.read(0, epoch)[0])
        assert np.diff(got).tolist() == [2] * 31


@pytest.mark.parametrize(
    ("source_fps", "expected"),
    [
        (15, [number // 2 for number in range(8)]),  # each frame twice
        (60, [2 * number for number in range(8)]),  # every other
        (10, [number // 3 for number in range(8)]),
    ],
)
def test_stride_counts_the_models_rate_not_the_files(
    tmp_path: Path, cache: ArrayCache | None, source_fps: int, expected: list[int]
) -> None:
    path = write_video(tmp_path / "a.mp4", moving(4 * source_fps), fps=source_fps)
    clips = dataset([path], ClipSampling(8, 1, fps=30, size=HEIGHT), clips=2, cache=cache)
    assert numbers(clips.read(0, 0)[0]) == expected


def test_variable_rate_shows_what_is_on_screen(tmp_path: Path, cache: ArrayCache | None) -> None:
    # 10 frames in the first second, one that stays for 2 s, then 20 a second.
    times = [n / 10 for n in range(10)] + [1.0] + [3 + n / 20 for n in range(20)]
    path = write_video(tmp_path / "a.mkv", moving(len(times)), times=times, b_frames=2)
    sampling = ClipSampling(16, 1, fps=4, size=HEIGHT)  # 0.25 s apart: all 4 s
    clips = dataset([path], sampling, clips=2, cache=cache)
    expected = [0, 2, 5, 7] + [10] * 8 + [11, 16, 21, 26]
    assert numbers(clips.read(0, 0)[0]) == expected


def test_a_clip_in_a_long_still_does_not_begin_with_it(tmp_path: Path, cache: ArrayCache | None) -> None:
    times = [0.0, 4.0, *[4.0 + n / 10 for n in range(1, 40)]]
    path = write_video(tmp_path / "a.mp4", moving(len(times)), times=times, fps=10)
    # A clip of 1 s in the middle of 8 s: from 3.5 to 4.5 s, half of it still.
    got = one(path, ClipSampling(10, 1, fps=10, size=HEIGHT), cache=cache)
    assert got == [0] * 5 + [1, 2, 3, 4, 5]


def test_a_short_video_holds_its_last_frame(tmp_path: Path, cache: ArrayCache | None) -> None:
    path = write_video(tmp_path / "a.mp4", moving(5), fps=30)
    got = one(path, ClipSampling(8, 1, size=HEIGHT), cache=cache)
    assert got == [0, 1, 2, 3, 4, 4, 4, 4]
    assert one(path, ClipSampling(4, 3, size=HEIGHT), training=True, cache=cache) == [0, 3, 4, 4]


def test_spans_are_kept_to(long: Path, cache: ArrayCache | None) -> None:
    sampling = ClipSampling(8, 2, size=HEIGHT)
    samples = [Sample(str(long), 0, 10.0, 11.0), Sample(str(long), 1, 15.0, 15.2)]
    clips = ClipDataset(samples, ["a", "b"], sampling, training=False, clips=2, cache=cache)
    assert clips.targets == [0, 0, 1, 1]
    # 15 frames of the 30 in [10, 11): the last clip begins at 315 and ends with 329.
    assert numbers(clips.read(0, 0)[0]) == list(range(300, 316, 2))
    assert numbers(clips.read(1, 0)[0]) == list(range(315, 331, 2))
    # A span shorter than the clip holds its last frame: what follows is something else.
    assert numbers(clips.read(2, 0)[0]) == [450, 452, 454, 455, 455, 455, 455, 455]


def test_a_span_outside_the_video_is_named(long: Path, cache: ArrayCache | None) -> None:
    clips = ClipDataset(
        [Sample(str(long), 0, 30.0, 31.0)], ["a"], ClipSampling(size=32), training=True, cache=cache
    )
    told = reason(clips, 0)
    assert told is not None and told.startswith(f"{long}: ")
    assert "30 to 31 s lies outside the video, which runs from 0.000 to 20.000 s" in told


def test_training_places_are_random_in_place_and_fixed_by_seed_epoch_and_index(
    long: Path, tmp_path: Path
) -> None:
    sampling = ClipSampling(8, 2, size=HEIGHT)

    def starts(**options: object) -> list[int]:
        clips = dataset([long, long], sampling, training=True, **options)
        return [read_stamp(clips.read(index, epoch)[0][0]) for epoch in range(6) for index in range(2)]

    first = starts(seed=3)
    assert len(set(first)) >= 10  # of 12 draws out of 586
    assert max(first) - min(first) > 200
    assert starts(seed=3) == first
    assert starts(seed=4) != first
    kept = ArrayCache(tmp_path / "cache", 1 << 30)
    assert starts(seed=3, cache=kept) == first  # the cache changes the cost, not the clip
    assert starts(seed=3, cache=kept) == first
    assert starts(seed=3, cache=ArrayCache(tmp_path / "tiny", 1000)) == first
    assert len(set(starts(seed=3, positions=3))) == 3


def test_the_very_pixels_are_the_same_out_of_the_cache(long: Path, tmp_path: Path) -> None:
    sampling, kept = ClipSampling(8, 3, size=64), ArrayCache(tmp_path / "cache", 1 << 30)
    for epoch in range(4):
        plain = dataset([long], sampling, training=True).read(0, epoch)[0]
        cached = dataset([long], sampling, training=True, cache=kept).read(0, epoch)[0]
        np.testing.assert_array_equal(plain, cached)


def test_cached_frames_need_no_decoding(thirty: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(thirty.read_bytes())
    kept = ArrayCache(tmp_path / "cache", 1 << 30)
    clips = dataset([path], ClipSampling(size=64), training=True, cache=kept)
    before = [clips.read(0, epoch)[0] for epoch in range(3)]
    status = path.stat()
    path.write_bytes(b"\0" * status.st_size)  # no longer a video, but of the same size and time
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    for epoch in range(3):
        np.testing.assert_array_equal(clips.read(0, epoch)[0], before[epoch])
    os.utime(path)  # a changed file is read anew
    assert reason(clips, 0) is not None


@pytest.mark.parametrize("size", [96, HEIGHT, 200])
def test_the_short_side_has_the_size_also_of_smaller_videos(thirty: Path, size: int) -> None:
    frames, flow = dataset([thirty], ClipSampling(4, 1, size=size)).read(0, 0)
    assert frames.shape == (4, size, round(size * WIDTH / HEIGHT), 3)
    assert frames.dtype == np.uint8
    assert flow is None


def test_flow_comes_with_the_clip(thirty: Path, tmp_path: Path) -> None:
    kept = ArrayCache(tmp_path / "cache", 1 << 28)
    clips = dataset([thirty], ClipSampling(5, 2, size=HEIGHT), flow="medium", cache=kept)
    flow = clips.read(0, 0)[1]
    assert flow is not None
    assert flow.shape == (4, HEIGHT, WIDTH, 2)
    assert flow.dtype == np.float32
    # The scene pans by one pixel a frame, so by two a step; below and at the sides it does not.
    inside = flow[:, 20:100, 40:150]
    assert np.median(inside[..., 0]) == pytest.approx(2, abs=0.15)
    assert np.median(inside[..., 1]) == pytest.approx(0, abs=0.15)


def test_damaged_files_are_skipped_and_named(thirty: Path, long: Path, tmp_path: Path) -> None:
    whole = long.read_bytes()
    headless = tmp_path / "headless.mp4"
    headless.write_bytes(thirty.read_bytes()[:2000])
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    gone = tmp_path / "gone.mp4"
    front = write_video(
        tmp_path / "front.mp4", moving(600), fps=30, key_every=30, container_options={"movflags": "faststart"}
    )
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(front.read_bytes()[: front.stat().st_size // 2])
    torn = tmp_path / "torn.mp4"
    torn.write_bytes(whole[:4000] + bytes(len(whole) - 24000) + whole[-20000:])
    paths = [thirty, headless, text, gone, cut, torn, long]
    for kept in (None, ArrayCache(tmp_path / "cache", 1 << 28)):
        clips = dataset(paths, ClipSampling(8, 2, size=48), clips=3, cache=kept)
        reasons = [reason(clips, index) for index in range(len(clips))]
        got = [told is None for told in reasons]
        per_file = dict(zip([p.name for p in paths], np.reshape(got, (-1, 3)).tolist(), strict=True))
        assert per_file["thirty.mp4"] == per_file["long.mp4"] == [True] * 3
        assert per_file["headless.mp4"] == per_file["text.mp4"] == per_file["gone.mp4"] == [False] * 3
        assert per_file["cut.mp4"][0]
        assert not per_file["cut.mp4"][2]
        assert per_file["torn.mp4"][1:] == [False, False]
        assert all(told.startswith(f"{clips.sample_of(n).path}: ") for n, told in enumerate(reasons) if told)
        assert "truncated" in reasons[3 * paths.index(cut) + 2]
        assert "no such file" in reasons[3 * paths.index(gone)]


def test_travels_to_other_programs(thirty: Path, tmp_path: Path) -> None:
    clips = dataset([thirty], ClipSampling(size=32), training=True, cache=ArrayCache(tmp_path / "c", 1 << 28))
    expected = clips.read(0, 5)[0]
    copied = pickle.loads(pickle.dumps(clips))
    np.testing.assert_array_equal(copied.read(0, 5)[0], expected)


def test_values_out_of_range() -> None:
    for values in ({"frames": 0}, {"stride": 0}, {"fps": 0.0}, {"fps": float("nan")}, {"size": 8}):
        with pytest.raises(ValueError, match="must be"):
            ClipSampling(**values)
    with pytest.raises(ValueError, match="clips must be"):
        ClipDataset([], [], ClipSampling(), training=False, clips=0)
    with pytest.raises(ValueError, match="2 frames"):
        ClipDataset([], [], ClipSampling(frames=1), training=False, flow="medium")


def test_cache_is_bounded_and_makes_room_by_what_no_one_uses(tmp_path: Path) -> None:
    array = np.zeros(1000, np.uint8)
    folder = tmp_path / "cache"
    old = ArrayCache(folder, 5000)
    assert [old.put(f"old {n}", array) for n in range(5)] == [True] * 4 + [False]
    assert sum(path.stat().st_size for path in folder.rglob("*.npy")) <= 5000
    new = ArrayCache(folder, 5000)
    assert new.get("old 2") is not None  # in use by this run, so it stays
    assert [new.put(f"new {n}", array) for n in range(5)] == [True] * 3 + [False] * 2
    assert new.get("old 2") is not None
    assert new.get("old 0") is None
    assert not new.put("large", np.zeros(6000, np.uint8))


def test_a_torn_entry_of_the_cache_is_no_entry(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path, 1 << 20)
    cache.put("a", np.arange(1000))
    file = next(tmp_path.rglob("*.npy"))
    file.write_bytes(file.read_bytes()[:500])
    assert cache.get("a") is None
    assert cache.put("a", np.arange(3))
    np.testing.assert_array_equal(cache.get("a"), [0, 1, 2])


def test_a_picture_that_ends_before_its_sound(tmp_path: Path, cache: ArrayCache | None) -> None:
    path = write_video(tmp_path / "a.mkv", moving(75), fps=25, sound_seconds=20)
    clips = dataset([path], ClipSampling(10, 1, fps=25, size=HEIGHT), clips=2, cache=cache)
    assert numbers(clips.read(0, 0)[0]) == list(range(10))
    assert numbers(clips.read(1, 0)[0]) == list(range(65, 75))


def test_a_file_that_does_not_say_how_long_it_is(tmp_path: Path, cache: ArrayCache | None) -> None:
    path = write_video(tmp_path / "a.mkv", moving(75), fps=25, container_options={"live": "1"})
    clips = dataset([path], ClipSampling(10, 1, fps=25, size=HEIGHT), clips=2, cache=cache)
    assert numbers(clips.read(0, 0)[0]) == list(range(10))
    assert numbers(clips.read(1, 0)[0]) == list(range(65, 75))


def test_a_decoder_that_takes_too_long_is_stopped(
    long: Path, cache: ArrayCache | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.video.clips.clip_frames._LIMIT_SECONDS", 0.0)
    clips = dataset([long], ClipSampling(size=32), cache=cache)
    assert "took longer than" in (reason(clips, 0) or "")


@pytest.mark.parametrize("container", ["mp4", "mkv", "avi"])
def test_whatever_is_broken_gives_a_clip_or_none(tmp_path: Path, container: str) -> None:
    codec = "mpeg4" if container == "avi" else "libx264"
    whole = write_video(tmp_path / f"a.{container}", moving(150), codec=codec, b_frames=2).read_bytes()
    random = np.random.default_rng(0)
    paths = []
    for number in range(12):
        torn = bytearray(whole)
        for _ in range(4 ** (number % 4)):
            place = int(random.integers(len(torn) - 200))
            torn[place : place + 200] = random.bytes(200)
        paths.append(tmp_path / f"torn{number}.{container}")
        paths[-1].write_bytes(torn)
    for kept in (None, ArrayCache(tmp_path / "cache", 1 << 28)):
        clips = dataset(paths, ClipSampling(8, 2, size=32), training=True, cache=kept)
        for index in range(len(clips)):
            if reason(clips, index) is None:
                assert clips.read(index, 0)[0].shape[:2] == (8, 32)

"""Previews, cuts, films, GIFs: stamped frame numbers, PyAV, ffprobe and arithmetic say what is right."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence
from video_factory import HEIGHT, WIDTH, moving, read_stamp, scene, shift_times, stamp, write_video

from encoders.errors import DecodeError, InvalidQueryError, LibraryError, NotFoundError
from indexer.ingest.previews import PreviewCache
from indexer.video.making.renditions import Rendition, clip_preview, cut, span_preview
from indexer.video.programs.worker import DecodeWorker

TICK = 1 / 90_000


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 s at 25 fps, B-frames, a key frame every 2 s, frame n stamped n, with sound."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return write_video(path, moving(250), b_frames=2, key_every=50, sound_seconds=10.0)


def read(path: Path) -> SimpleNamespace:
    """What PyAV says of a made file: sizes, stamps and times of its frames, seconds of its sound."""
    with av.open(str(path)) as opened:
        video = opened.streams.video[0]
        found = SimpleNamespace(
            kinds=[stream.codec_context.name for stream in opened.streams],
            size=(video.width, video.height),
            seconds=float(video.duration * video.time_base),
            times=[],
            stamps=[],
            sound_seconds=0.0,
        )
        for frame in opened.decode(video=0):
            found.times.append(float(frame.pts * frame.time_base))
            if found.size == (WIDTH, HEIGHT):
                found.stamps.append(read_stamp(frame.to_ndarray(format="rgb24")))
    with av.open(str(path)) as opened:
        for sound in opened.decode(audio=0) if opened.streams.audio else ():
            found.sound_seconds += sound.samples / sound.sample_rate
    return found


def is_indexed_in_front(path: Path) -> bool:
    content = path.read_bytes()
    return 0 < content.find(b"moov") < content.find(b"mdat")


# --- cuts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "first", "count"),
    [
        (0.0, 2.0, 0, 50),
        (3.0, 5.0, 75, 50),  # between two key frames
        (3.01, 3.99, 75, 25),  # frame 75 is on screen when it begins, 99 when it ends
        (9.0, 10.0, 225, 25),
    ],
)
def test_a_cut_is_exact(
    worker: DecodeWorker, film: Path, tmp_path: Path, start: float, end: float, first: int, count: int
) -> None:
    target = tmp_path / "cut.mp4"
    worker.render(str(film), str(target), cut(start, end))
    made = read(target)
    assert made.stamps == list(range(first, first + count))
    assert made.size == (WIDTH, HEIGHT) and made.kinds == ["h264", "aac"]
    assert made.times[0] == 0 and made.seconds == pytest.approx(end - start, abs=2 * TICK)
    expected = [max(0.0, number / 25 - start) for number in range(first, first + count)]
    assert made.times == pytest.approx(expected, abs=2 * TICK)
    # AAC comes in frames of 1024 samples, one more of them before the beginning.
    assert end - start <= made.sound_seconds <= end - start + 3 * 1024 / 8000
    assert is_indexed_in_front(target)


@pytest.mark.skipif(not shutil.which("ffprobe"), reason="ffprobe is not on PATH")
def test_ffprobe_agrees(worker: DecodeWorker, film: Path, tmp_path: Path) -> None:
    target = tmp_path / "cut.mp4"
    worker.render(str(film), str(target), cut(2.5, 6.1))
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_streams", "-show_format", str(target)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stderr == ""
    document = json.loads(found.stdout)
    video, sound = document["streams"]
    assert (video["codec_name"], video["pix_fmt"], sound["codec_name"]) == ("h264", "yuv420p", "aac")
    assert (video["color_space"], video["color_range"]) == ("bt709", "tv")
    for stream in (video, sound, document["format"]):
        assert float(stream["duration"]) == pytest.approx(3.6, abs=0.03)
        assert float(stream["start_time"]) == 0
    assert int(video["nb_frames"]) == 91  # 62 is on screen at 2.5 s, 152 at 6.08 s


def test_colours_stay(worker: DecodeWorker, tmp_path: Path) -> None:
    picture = np.zeros((96, 192, 3), np.uint8)
    for number, colour in enumerate([(200, 30, 30), (30, 180, 40), (40, 50, 210), (220, 220, 220)]):
        picture[:, number * 48 : (number + 1) * 48] = colour
    source = write_video(tmp_path / "bars.mp4", [picture] * 10)
    target = tmp_path / "cut.mp4"
    worker.render(str(source), str(target), cut(0, 0.4))
    # BT.709 in the file's tag, so read by it: expected within what 8-bit YUV loses.
    with av.open(str(target)) as opened:
        frame = next(opened.decode(video=0))
        shown = frame.to_ndarray(format="rgb24", src_colorspace=1).astype(int)
    for number in range(4):
        middle = shown[48, number * 48 + 24]
        assert np.abs(middle - picture[48, number * 48 + 24].astype(int)).max() <= 8


def test_frames_at_a_variable_rate_keep_their_times(worker: DecodeWorker, tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.15, 1.0, 1.05, 2.4, 2.5, 3.5]
    source = write_video(tmp_path / "vfr.mp4", moving(8), times=times, key_every=3)
    target = tmp_path / "cut.mp4"
    worker.render(str(source), str(target), cut(0.5, 3.0))
    made = read(target)
    assert made.stamps == [2, 3, 4, 5, 6]  # 2 stays on screen from 0.15 to 1.0
    assert made.times == pytest.approx([0.0, 0.5, 0.55, 1.9, 2.0], abs=2 * TICK)
    assert made.seconds == pytest.approx(2.5, abs=2 * TICK)


def test_a_late_start_counts_and_is_not_shown(worker: DecodeWorker, film: Path, tmp_path: Path) -> None:
    late = shift_times(film, tmp_path / "late.mkv", 5.0)
    target = tmp_path / "cut.mp4"
    worker.render(str(late), str(target), cut(6.0, 7.0))
    assert read(target).stamps == list(range(25, 50))
    worker.render(str(late), str(target), cut(0.0, 6.0))  # from its first frame
    made = read(target)
    assert made.stamps == list(range(25)) and made.times[0] == 0
    with pytest.raises(NotFoundError, match=r"shows nothing between 0\.000 and 4\.000 s: it runs from 5\.0"):
        worker.render(str(late), str(target), cut(0.0, 4.0))


@pytest.mark.parametrize("key_every", [25, 500])
def test_transport_streams_are_cut_as_exactly(worker: DecodeWorker, tmp_path: Path, key_every: int) -> None:
    """They have no index, and a seek may lead past what was looked for."""
    source = write_video(
        tmp_path / "film.ts", moving(200), b_frames=2, key_every=key_every, sound_seconds=8.0
    )
    target = tmp_path / "cut.mp4"
    for first in (0, 12, 113):
        start = first / 25
        begin = worker.probe(str(source)).start_seconds  # the sound begins before
        worker.render(str(source), str(target), cut(begin + start + 0.001, begin + start + 1.001))
        made = read(target)
        assert made.kinds == ["h264", "aac"]
        assert made.stamps[:25] == list(range(first, first + 25))


@pytest.mark.parametrize(
    ("rotation", "turns"),
    [
        ((0.0, False, False), 0),
        ((90.0, False, False), 1),
        ((180.0, False, False), 2),
        ((-90.0, False, False), 3),
    ],
)
def test_what_is_stored_turned_comes_out_upright(
    worker: DecodeWorker, tmp_path: Path, rotation: tuple[float, bool, bool], turns: int
) -> None:
    picture = scene(3)
    source = write_video(tmp_path / "turned.mp4", [picture] * 5, rotation=rotation)
    target = tmp_path / "cut.mp4"
    worker.render(str(source), str(target), cut(0, 0.2))
    with av.open(str(target)) as opened:
        frame = next(opened.decode(video=0))
        assert frame.rotation == 0
        shown = frame.to_ndarray(format="rgb24", src_colorspace=1).astype(int)
    expected = np.rot90(picture, turns).astype(int)
    assert shown.shape == expected.shape
    assert np.abs(shown - expected).mean() < 6


@pytest.mark.parametrize(("width", "height"), [(193, 145), (17, 241), (2, 2), (1920, 2)])
def test_odd_sizes_become_even(worker: DecodeWorker, tmp_path: Path, width: int, height: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    source = write_video(tmp_path / "odd.mkv", [pixels] * 3, codec="ffv1", pixel_format="bgr0")
    target = tmp_path / "cut.mp4"
    worker.render(str(source), str(target), cut(0, 0.12))
    assert read(target).size == (width // 2 * 2, height // 2 * 2)


def test_nothing_is_cut_out_of_what_is_not_there(worker: DecodeWorker, film: Path, tmp_path: Path) -> None:
    target = str(tmp_path / "cut.mp4")
    with pytest.raises(NotFoundError, match=r"runs from 0\.000 to 10\.000 s"):
        worker.render(str(film), target, cut(20, 21))
    text = tmp_path / "text.mp4"
    text.write_text("no film")
    with pytest.raises(DecodeError):
        worker.render(str(text), target, cut(0, 1))
    worker.render(str(film), target, cut(9.5, 30))  # ends where the video does
    assert read(Path(target)).seconds == pytest.approx(0.5, abs=2 * TICK)


@pytest.mark.parametrize("make", [span_preview, cut])
@pytest.mark.parametrize(("start", "end"), [(1, 1), (2, 1), (0, 600.5), (0, math.inf), (math.nan, 1)])
def test_spans_that_make_no_sense_are_refused(make: Any, start: float, end: float) -> None:
    with pytest.raises(InvalidQueryError):
        make(start, end)


# --- previews --------------------------------------------------------------------------------------


def test_a_clip_preview_is_short_silent_and_small(worker: DecodeWorker, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    noise = [random.integers(0, 256, (240, 320, 3), dtype=np.uint8) for _ in range(10)]
    frames = [noise[number % 10] for number in range(250)]  # the worst there is to encode
    source = write_video(tmp_path / "noise.mp4", frames, fps=60, key_every=60, sound_seconds=4.2)
    target = tmp_path / "preview.mp4"
    worker.render(str(source), str(target), clip_preview(0.0, 4.1))
    made = read(target)
    assert made.kinds == ["h264"] and min(made.size) == 240
    assert made.seconds == pytest.approx(4.0, abs=2 * TICK)
    assert len(made.times) <= 121  # 60 fps halved at least
    assert os.path.getsize(target) <= 1_000_000
    assert is_indexed_in_front(target)


@pytest.mark.parametrize("make", [clip_preview, span_preview])
@pytest.mark.parametrize("start", [1.228, 1.201, 1.235, 1.24, 1.25])
def test_a_preview_leaves_no_frame_out_where_there_are_fewer_than_it_may_show(
    worker: DecodeWorker, film: Path, tmp_path: Path, start: float, make: Any
) -> None:
    """At 25 fps frame n comes on screen at n / 25: the one there at the start may be about to go."""
    target, end = tmp_path / "preview.mp4", start + 0.8
    worker.render(str(film), str(target), make(start, end))
    with av.open(str(target)) as opened:
        found = [
            (
                float(frame.pts * frame.time_base),
                read_stamp(frame.reformat(WIDTH, HEIGHT, "rgb24").to_ndarray()),
            )
            for frame in opened.decode(video=0)
        ]
    first = math.floor(start * 25 + 1e-6)
    wanted = [(max(0.0, n / 25 - start), n) for n in range(first, math.ceil(end * 25 - 1e-6))]
    assert [number for _, number in found] == [number for _, number in wanted]
    assert [time for time, _ in found] == pytest.approx([time for time, _ in wanted], abs=0.001)


def test_what_cannot_be_made_small_enough_is_said(worker: DecodeWorker, film: Path, tmp_path: Path) -> None:
    rendition = replace(clip_preview(0, 2), most_bytes=500)
    with pytest.raises(DecodeError, match="smaller than 500 bytes"):
        worker.render(str(film), str(tmp_path / "a.mp4"), rendition)


def test_a_span_preview_has_sound_where_the_video_has(
    worker: DecodeWorker, film: Path, tmp_path: Path
) -> None:
    target = tmp_path / "preview.mp4"
    worker.render(str(film), str(target), span_preview(1.0, 3.0))
    made = read(target)
    assert made.kinds == ["h264", "aac"] and made.size == (WIDTH, HEIGHT)
    assert made.stamps == list(range(25, 75))
    silent = write_video(tmp_path / "silent.avi", moving(50), codec="mpeg4")
    worker.render(str(silent), str(target), span_preview(0.0, 2.0))
    made = read(target)
    assert made.kinds == ["h264"] and made.stamps == list(range(50))


def test_sound_stays_where_it_was(worker: DecodeWorker, tmp_path: Path) -> None:
    """A click at 2.0 s of the source is at 0.5 s of a cut from 1.5 s, within a millisecond or two."""
    source, rate = tmp_path / "click.mkv", 48_000
    with av.open(str(source), "w") as output:
        video = output.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sound = output.add_stream("pcm_s16le", rate=rate)
        sound.codec_context.layout = "mono"
        samples = np.zeros((1, 4 * rate), np.int16)
        samples[0, 2 * rate : 2 * rate + 200] = 20_000
        for number in range(100):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number, np.uint8), "rgb24")
            picture.pts = number
            output.mux(video.encode(picture))
            chunk = av.AudioFrame.from_ndarray(samples[:, number * 1920 : (number + 1) * 1920], "s16", "mono")
            chunk.sample_rate, chunk.pts = rate, number * 1920
            output.mux(sound.encode(chunk))
        output.mux(video.encode(None))
        output.mux(sound.encode(None))
    target = tmp_path / "cut.mp4"
    worker.render(str(source), str(target), cut(1.5, 3.0))
    heard, first = [], None
    with av.open(str(target)) as opened:
        for frame in opened.decode(audio=0):
            first = float(frame.pts * frame.time_base) if first is None else first
            heard.append(frame.to_ndarray()[0])
    loud = np.flatnonzero(np.abs(np.concatenate(heard)) > 0.3)
    assert (first or 0.0) + loud[0] / rate == pytest.approx(0.5, abs=0.002)


# --- films and GIFs --------------------------------------------------------------------------------


def test_a_film_shows_its_pieces_one_after_the_other(
    worker: DecodeWorker, film: Path, tmp_path: Path
) -> None:
    target = tmp_path / "film.mp4"
    rendition = Rendition(((1.0, 2.0), (4.0, 4.4), (8.0, 9.0)), sound=True)
    worker.render(str(film), str(target), rendition)
    made = read(target)
    assert made.stamps == [*range(25, 50), *range(100, 110), *range(200, 225)]
    assert made.times == pytest.approx([number / 25 for number in range(60)], abs=2 * TICK)
    assert rendition.seconds == pytest.approx(2.4)
    assert made.sound_seconds == pytest.approx(2.4, abs=3 * 1024 / 8000)


def test_a_gif_loops_in_the_time_of_the_video(worker: DecodeWorker, film: Path, tmp_path: Path) -> None:
    target = tmp_path / "film.gif"
    worker.render(str(film), str(target), Rendition(((1.0, 3.0), (6.0, 7.0)), kind="gif"))
    with Image.open(target) as gif:
        assert gif.format == "GIF" and gif.size == (WIDTH, HEIGHT) and gif.info["loop"] == 0
        frames = [frame.copy() for frame in ImageSequence.Iterator(gif)]
        total = sum(frame.info["duration"] for frame in frames) / 1000
        stamps = [read_stamp(np.asarray(frame.convert("RGB"))) for frame in frames]
    assert total == pytest.approx(3.0, abs=0.2)
    assert stamps == sorted(stamps) and stamps[0] == 25
    assert all(25 <= number < 75 or 150 <= number < 175 for number in stamps)
    assert 20 <= len(stamps) <= 25  # 8 a second


def test_one_frame_makes_a_film_of_one_frame(worker: DecodeWorker, tmp_path: Path) -> None:
    source = write_video(tmp_path / "one.mp4", [stamp(scene(1), 7)])
    target = tmp_path / "film.mp4"
    worker.render(str(source), str(target), cut(0, 5))
    made = read(target)
    assert made.stamps == [7] and made.seconds == pytest.approx(0.04, abs=2 * TICK)


# --- the cache -------------------------------------------------------------------------------------

STAT = SimpleNamespace(st_size=100, st_mtime_ns=5, st_ctime_ns=7)
WANTED = clip_preview(0.0, 2.0)


def filled(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_preview_is_made_once_and_for_one_state_of_the_file(tmp_path: Path) -> None:
    cache = PreviewCache(tmp_path, 1000)
    made: list[Path] = []

    def make(path: Path) -> None:
        made.append(path)
        path.write_bytes(b"x" * 10)

    first = cache.get(3, STAT, WANTED, make)
    again = PreviewCache(tmp_path, 1000).get(3, STAT, WANTED, make)  # another server
    assert again == first and len(made) == 1 and first.path.read_bytes() == b"x" * 10
    assert cache.get(3, STAT, clip_preview(0.0, 2.5), make).etag != first.etag
    changed = cache.get(3, SimpleNamespace(st_size=100, st_mtime_ns=6, st_ctime_ns=7), WANTED, make)
    assert changed.etag != first.etag and len(made) == 3
    assert not first.path.exists()  # nothing of the old state stays
    assert len(filled(tmp_path)) == 1


def test_the_cache_is_bounded_and_drops_what_was_used_least_recently(tmp_path: Path) -> None:
    cache = PreviewCache(tmp_path, 350, grace_seconds=0)
    spans = [clip_preview(0.0, 1.0 + number / 2) for number in range(5)]
    paths = []
    for number in range(3):
        paths.append(cache.get(1, STAT, spans[number], lambda path: path.write_bytes(b"x" * 100)).path)
        time.sleep(0.01)
    cache.get(1, STAT, spans[0], lambda path: pytest.fail("made again"))
    time.sleep(0.01)
    paths.append(cache.get(2, STAT, spans[3], lambda path: path.write_bytes(b"x" * 100)).path)
    assert [path.exists() for path in paths] == [True, False, True, True]
    large = cache.get(2, STAT, spans[4], lambda path: path.write_bytes(b"x" * 900) and None)
    assert large.path.exists() and len(filled(tmp_path)) == 1  # it is wanted now, and goes next
    kept = PreviewCache(tmp_path, 10, grace_seconds=60)
    kept.get(1, STAT, spans[0], lambda path: path.write_bytes(b"x" * 100))
    assert large.path.exists()  # used just now, perhaps about to be opened


def test_a_failure_leaves_nothing_behind(tmp_path: Path) -> None:
    cache = PreviewCache(tmp_path, 1000)

    def break_off(path: Path) -> None:
        path.write_bytes(b"half")
        raise DecodeError("broken")

    def removed() -> None:
        raise NotFoundError("the video was removed meanwhile")

    with pytest.raises(DecodeError):
        cache.get(1, STAT, WANTED, break_off)
    with pytest.raises(NotFoundError):
        cache.get(1, STAT, WANTED, lambda path: path.write_bytes(b"x") and None, removed)
    assert filled(tmp_path) == [] and not (tmp_path / "previews" / "1").exists()
    (tmp_path / "previews" / "2").write_bytes(b"a file where a folder should be")
    with pytest.raises(LibraryError, match="cannot be written"):
        cache.get(2, STAT, WANTED, break_off)


def test_what_goes_while_it_is_made_is_gone_and_not_broken(tmp_path: Path) -> None:
    cache = PreviewCache(tmp_path, 1000)
    is_there = True

    def delete_video(path: Path) -> None:
        nonlocal is_there
        is_there = False
        shutil.rmtree(tmp_path / "previews" / "1")
        raise DecodeError("the decoder failed: there is no such folder")

    def is_wanted() -> None:
        if not is_there:
            raise NotFoundError("the video was removed meanwhile")

    with pytest.raises(NotFoundError, match="meanwhile"):
        cache.get(1, STAT, WANTED, delete_video, is_wanted)
    assert not (tmp_path / "previews" / "1").exists()

    def tidy_up(path: Path) -> None:  # as another thread does whose rendition failed
        with contextlib.suppress(OSError):
            path.parent.rmdir()
        with path.open("r+b") as file:
            file.write(b"whole")

    assert cache.get(2, STAT, WANTED, tidy_up).path.read_bytes() == b"whole"


def test_threads_that_want_the_same_wait_for_one_of_them(tmp_path: Path) -> None:
    cache = PreviewCache(tmp_path, 1000)
    made: list[int] = []

    def make(path: Path) -> None:
        made.append(1)
        time.sleep(0.1)
        path.write_bytes(b"x" * 10)

    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(cache.get(1, STAT, WANTED, make).path.read_bytes()))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [b"x" * 10] * 8 and len(made) == 1

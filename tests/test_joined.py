"""Files whose clock restarts: one timeline for stills, cuts with sound, clips, durations and ingest."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video_factory import HEIGHT, WIDTH, moving, read_stamp, write_programmes, write_video

from indexer.array_cache import ArrayCache
from indexer.clip_frames import read_clip
from indexer.clip_sampling import ClipSampling
from indexer.decode import VideoDecoder, frame_at, probe
from indexer.pipeline import ingest
from indexer.renditions import cut
from indexer.types import SamplingOptions
from indexer.worker import DecodeWorker
from search.library import Library

FPS = 25
LENGTHS = {"short_long": (75, 200), "long_short": (200, 75)}
TONES_HERTZ = (400.0, 1000.0)


@pytest.fixture(scope="module", params=sorted(LENGTHS))
def joined(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, int]:
    """Two transport streams one after the other, each with its own tone; frames are numbered throughout."""
    folder = tmp_path_factory.mktemp(request.param)
    first, second = LENGTHS[request.param]
    parts = []
    for number, (count, begin) in enumerate(((first, 0), (second, first))):
        path = folder / f"{number}.ts"
        frames = moving(count, seed=number, first=begin)
        parts.append(write_programmes(path, [frames], fps=FPS, tones_hertz=[TONES_HERTZ[number]]))
    path = folder / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path, first, first + second


@pytest.fixture(scope="module")
def worker() -> Iterator[DecodeWorker]:
    with DecodeWorker(stall_seconds=30) as made:
        yield made


def test_every_time_has_its_frame(joined: tuple[Path, int, int]) -> None:
    path, _, total = joined
    late = probe(str(path)).start_seconds  # the sound begins a little before the picture
    assert late < 0.1
    for number in range(0, total, 9):
        for inside in (0.0, 0.5, 0.9):
            frame = frame_at(str(path), late + (number + inside) / FPS)
            assert read_stamp(frame.rgb(HEIGHT)) == number, (number, inside)


def test_the_length_is_that_of_both(joined: tuple[Path, int, int]) -> None:
    path, _, total = joined
    assert probe(str(path)).duration_seconds == pytest.approx(total / FPS, abs=0.001)
    with VideoDecoder(str(path)) as decoder:
        assert len(list(decoder.frames())) == total
        assert decoder.seconds_read == pytest.approx(total / FPS, abs=0.001)
        assert decoder.damage is None


def test_a_cut_has_its_pictures_and_their_sound(
    joined: tuple[Path, int, int], worker: DecodeWorker, tmp_path: Path
) -> None:
    path, seam, total = joined
    late = probe(str(path)).start_seconds
    for begin in (10, seam - 25, seam + 10, total - 60):
        target = tmp_path / "cut.mp4"
        start = round(late + begin / FPS, 6)
        worker.render(str(path), str(target), cut(start, round(start + 2.0, 6)))
        with av.open(str(target)) as opened:
            stamps = [read_stamp(frame.to_ndarray(format="rgb24")) for frame in opened.decode(video=0)]
        assert stamps == list(range(begin, begin + 50))
        with av.open(str(target)) as opened:
            heard = np.concatenate([frame.to_ndarray()[0] for frame in opened.decode(audio=0)])
        for offset in (0.3, 0.7, 1.3, 1.7):
            is_second = begin + offset * FPS >= seam
            assert loudest_hertz(heard, offset) == pytest.approx(TONES_HERTZ[is_second], abs=15), (
                begin,
                offset,
            )


def loudest_hertz(heard: np.ndarray, seconds: float, rate: int = 16000) -> float:
    piece = heard[round((seconds - 0.1) * rate) : round((seconds + 0.1) * rate)]
    spectrum = np.abs(np.fft.rfft(piece * np.hanning(len(piece))))
    return float(np.argmax(spectrum) * rate / len(piece))


def test_clips_to_train_on_are_the_same_with_and_without_kept_frames(
    joined: tuple[Path, int, int], tmp_path: Path
) -> None:
    path, seam, total = joined
    late = probe(str(path)).start_seconds
    sampling = ClipSampling(frames=4, stride=2, fps=FPS, size=HEIGHT)
    cache = ArrayCache(tmp_path / "frames", 1 << 30)
    for begin in (5, seam + 30, total - 40):
        span = late + begin / FPS, late + (begin + 30) / FPS
        expected = [begin, begin + 2, begin + 4, begin + 6]
        for kept in (None, cache, cache):
            clip = read_clip(str(path), sampling, 0.0, span_seconds=span, cache=kept)
            assert [read_stamp(picture) for picture in clip] == expected
    whole = read_clip(str(path), sampling, 1.0)  # as late as can be
    assert read_stamp(whole[-1]) >= total - 3


@pytest.mark.parametrize("name", ["a.mpg", "a.mkv", "a.webm", "a.m2ts"])
def test_other_containers_that_can_be_joined(tmp_path: Path, name: str) -> None:
    codec = {"a.mpg": "mpeg2video", "a.webm": "libvpx"}.get(name, "libx264")
    container = "mpegts" if name == "a.m2ts" else None
    count = 2 if name in ("a.mkv", "a.webm") else 3  # FFmpeg reads no third part of Matroska
    parts = [
        write_video(tmp_path / f"{part}{name}", moving(40, first=40 * part), codec=codec, container=container)
        for part in range(count)
    ]
    path = tmp_path / name
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with VideoDecoder(str(path)) as decoder:
        read = [(frame.pts_seconds, read_stamp(frame.rgb(HEIGHT))) for frame in decoder.frames()]
        assert decoder.damage is None
    assert [number for _, number in read] == list(range(40 * count))
    assert np.allclose([time for time, _ in read], read[0][0] + np.arange(40 * count) / FPS, atol=0.0015)
    for number in (0, 39, 40, 41, 79, 40 * count - 20, 40 * count - 1):
        assert read_stamp(frame_at(str(path), round(read[number][0], 6)).rgb(HEIGHT)) == number


def test_headers_between_the_parts_of_an_ogg_file_are_no_frames(tmp_path: Path) -> None:
    parts = [
        write_video(
            tmp_path / f"{part}.ogv", moving(count, seed=part, first=100 * part), codec="libvpx",
            container="ogg", tick=Fraction(1, FPS),
        ).read_bytes()
        for part, count in enumerate((50, 40, 30))
    ]  # fmt: skip
    path = tmp_path / "chain.ogv"
    path.write_bytes(b"".join(parts))
    assert b"".join(parts).count(b"OVP80\x01") == 3  # one set of headers a part
    expected = [*range(50), *range(100, 140), *range(200, 230)]
    with VideoDecoder(str(path)) as decoder:
        read = [(frame.pts_seconds, read_stamp(frame.rgb(HEIGHT))) for frame in decoder.frames()]
        assert decoder.damage is None
    assert [number for _, number in read] == expected
    assert [seconds for seconds, _ in read] == pytest.approx(np.arange(120) / FPS, abs=1e-6)
    assert probe(str(path)).duration_seconds == pytest.approx(120 / FPS, abs=1e-6)
    for seconds, number in read[::7]:
        assert read_stamp(frame_at(str(path), seconds).rgb(HEIGHT)) == number


def test_parts_that_ffmpeg_does_not_read_are_named(tmp_path: Path) -> None:
    part = write_video(tmp_path / "part.mkv", moving(40))
    path = tmp_path / "thrice.mkv"
    path.write_bytes(part.read_bytes() * 3)
    with VideoDecoder(str(path)) as decoder:
        assert len(list(decoder.frames())) == 80
        assert decoder.damage is not None and "3 joined parts" in decoder.damage


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mov", "libx264"),
        ("a.flv", "libx264"),
        ("a.wmv", "wmv2"),
        ("a.wtv", "mpeg2video"),
    ],
)
def test_a_file_joined_on_that_ffmpeg_does_not_read_is_named(tmp_path: Path, name: str, codec: str) -> None:
    parts = [
        write_video(tmp_path / f"{part}{name}", moving(count, first=100 * part), codec=codec).read_bytes()
        for part, count in enumerate((40, 20))
    ]
    path = tmp_path / name
    for content, share in ((parts[0], None), (b"".join(parts), len(parts[1]) / len(b"".join(parts)))):
        path.write_bytes(content)
        with VideoDecoder(str(path)) as decoder:
            assert [read_stamp(frame.rgb(HEIGHT)) for frame in decoder.frames()] == list(range(40))
            note = decoder.damage
        if share is None:
            assert note is None
        else:
            assert note is not None and note.startswith(f"the last {share:.0%} of the file are another file")


@pytest.mark.parametrize(
    ("name", "filler"), [("a.ts", "sound"), ("a.ts", "null packets"), ("a.mpg", "zeros")]
)
def test_what_fills_a_file_up_behind_its_film_is_no_other_film(
    tmp_path: Path, name: str, filler: str
) -> None:
    codec = "mpeg2video" if name == "a.mpg" else "libx264"
    seconds = 30.0 if filler == "sound" else 0.0
    path = write_video(tmp_path / name, moving(25), codec=codec, sound_seconds=seconds)
    filling = {"sound": b"", "null packets": b"\x47\x1f\xff\x10" + b"\xff" * 184, "zeros": bytes(188)}[filler]
    path.write_bytes(path.read_bytes() + filling * 700)
    with VideoDecoder(str(path)) as decoder:
        assert [read_stamp(frame.rgb(HEIGHT)) for frame in decoder.frames()] == list(range(25))
        assert decoder.damage is None


def test_another_programme_that_is_a_small_part_of_the_file_is_named(tmp_path: Path) -> None:
    first = write_video(tmp_path / "first.ts", moving(400))
    pids = {"mpegts_start_pid": "512", "mpegts_pmt_start_pid": "5000"}
    second = write_video(tmp_path / "second.ts", moving(20), container_options=pids)
    path = tmp_path / "joined.ts"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    share = second.stat().st_size / path.stat().st_size
    assert share < 0.1
    with VideoDecoder(str(path)) as decoder:
        assert len(list(decoder.frames())) == 400
        assert decoder.damage is not None and decoder.damage.startswith(f"the last {share:.0%} of the file")


def test_a_part_with_other_stream_numbers_goes_on_or_is_named(tmp_path: Path) -> None:
    first = write_video(tmp_path / "first.ts", moving(60))
    for pids, is_read in (
        ({"mpegts_start_pid": "512"}, True),
        ({"mpegts_start_pid": "512", "mpegts_pmt_start_pid": "5000"}, False),
    ):
        second = write_video(tmp_path / "second.ts", moving(60, first=60), container_options=pids)
        path = tmp_path / "joined.ts"
        path.write_bytes(first.read_bytes() + second.read_bytes())
        with VideoDecoder(str(path)) as decoder:
            numbers = [read_stamp(frame.rgb(HEIGHT)) for frame in decoder.frames()]
            note = decoder.damage
        if is_read:
            # FFmpeg holds the last picture of the first part back until the end of the file.
            assert numbers == [*range(59), *range(60, 120)]
            assert read_stamp(frame_at(str(path), 3.99).rgb(HEIGHT)) == 100
        else:
            assert numbers == list(range(60))
            assert note is not None and "perhaps those of another programme" in note


def test_a_picture_that_repeats_in_another_piece_is_told_apart(tmp_path: Path) -> None:
    """Three times the same file: each stamp is there three times, and each time is another place."""
    part = write_video(tmp_path / "part.ts", moving(50), b_frames=2, key_every=10)
    path = tmp_path / "thrice.ts"
    path.write_bytes(part.read_bytes() * 3)
    for number in range(0, 150, 7):
        assert read_stamp(frame_at(str(path), (number + 0.5) / FPS).rgb(HEIGHT)) == number % 50
    with pytest.raises(Exception, match=r"no frame at 6\.5"):
        frame_at(str(path), 6.5)


def test_the_catalog_has_the_length_that_was_decoded(
    joined: tuple[Path, int, int], tmp_path: Path, offline_encoder
) -> None:
    path, _, total = joined
    library = Library(tmp_path / "library", create=True, device="cpu")
    try:
        sampling = SamplingOptions().with_frame_size(offline_encoder.frame_size)
        library.create(offline_encoder, pooling="mean", sampling=sampling.to_json())
        summary = ingest(library, [str(path)])
        assert summary.indexed == 1 and not summary.damaged
        with library.read() as catalog:
            video = catalog.video_by_path(str(path))
        assert video is not None
        assert video.duration_seconds == pytest.approx(total / FPS, abs=0.001)
        assert (video.width, video.height) == (WIDTH, HEIGHT)
    finally:
        library.close()

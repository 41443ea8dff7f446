"""Files whose clock restarts: one timeline for stills, cuts with sound, clips, durations and ingest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from test_interlaced import add_pixel_crop
from video_factory import HEIGHT, WIDTH, encode_tone, moving, read_stamp, write_programmes, write_video

from encoders.errors import NotAVideoError, ReelseekError
from indexer.ingest.pipeline import ingest
from indexer.video.clips.array_cache import ArrayCache
from indexer.video.clips.clip_frames import read_clip
from indexer.video.clips.clip_sampling import ClipSampling
from indexer.video.making.render import frames_between
from indexer.video.making.renditions import cut
from indexer.video.programs.worker import DecodeWorker
from indexer.video.reading.decode import VideoDecoder
from indexer.video.reading.probing import frame_at, probe
from indexer.video.types import SamplingOptions
from search.library import Library

FPS = 25
LENGTHS = {"short_long": (75, 200), "long_short": (200, 75)}
TONES_HERTZ = (400.0, 1000.0)
IN_FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}


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
        heard = check_cut(target, begin)
        for offset in (0.3, 0.7, 1.3, 1.7):
            is_second = begin + offset * FPS >= seam
            assert loudest_hertz(heard, offset) == pytest.approx(TONES_HERTZ[is_second], abs=15), (
                begin,
                offset,
            )


def check_cut(path: Path, first: int) -> np.ndarray:
    """A cut shows 50 frames from one on; returns what is heard with them, float32 (samples,)."""
    with av.open(str(path)) as opened:
        stamps = [read_stamp(frame.to_ndarray(format="rgb24")) for frame in opened.decode(video=0)]
    assert stamps == list(range(first, first + 50))
    with av.open(str(path)) as opened:
        return np.concatenate([frame.to_ndarray()[0] for frame in opened.decode(audio=0)])


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


def check_every_frame(path: Path, lengths: Sequence[int]) -> None:
    """Frames 0, 1, ... of parts follow evenly: in an ingest, asked for by their times, and in cuts."""
    total = sum(lengths)
    with VideoDecoder(str(path)) as decoder:
        read = [(frame.pts_seconds, read_stamp(frame.rgb(HEIGHT))) for frame in decoder.frames()]
        assert decoder.damage is None
        assert decoder.seconds_read == pytest.approx(total / FPS, abs=0.001)
    assert [number for _, number in read] == list(range(total))
    begin = read[0][0]
    assert np.allclose([time for time, _ in read], begin + np.arange(total) / FPS, atol=0.0015)
    assert probe(str(path)).duration_seconds == pytest.approx(total / FPS, abs=0.001)
    seams = np.cumsum(lengths)
    for number in range(total):
        if number % 7 == 0 or np.abs(seams - number).min() < 12:
            for time in (round(read[number][0], 6), begin + (number + 0.6) / FPS):
                assert read_stamp(frame_at(str(path), time).rgb(HEIGHT)) == number, (number, time)
    for seam in seams[:-1]:
        first, last = int(seam) - 9, int(seam) + 9
        with VideoDecoder(str(path)) as decoder:
            cut_out = frames_between(decoder, round(read[first][0], 6), round(read[last][0], 6))
            numbers = [read_stamp(frame.rgb(HEIGHT)) for frame, _, _ in cut_out]
        assert numbers == list(range(first, last))


def joined_parts(folder: Path, name: str, parts: Sequence[list[np.ndarray]], **options: Any) -> Path:
    """A file made of whole ones, each of some frames, end to end."""
    path = folder / name
    content = b""
    for frames in parts:
        content += write_video(folder / f"part{path.suffix}", frames, **options).read_bytes()
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("codec", "b_frames"), [("mpeg2video", 0), ("mpeg2video", 2), ("libx264", 0), ("libx264", 3)]
)
def test_a_programme_stream_of_small_pictures(tmp_path: Path, codec: str, b_frames: int) -> None:
    """Several of them lie in a pack, and only the first has a time: also around the seams."""
    for lengths in ((61,), (75, 50, 100), (66, 71, 83)):
        random = np.random.default_rng(7)
        parts = []
        for number, count in enumerate(lengths):
            frames = moving(count, first=sum(lengths[:number]))
            for frame in frames[: count - 20]:  # large ones, but for the last
                frame[:100] = np.clip(frame[:100] + random.integers(-30, 31, frame[:100].shape), 0, 255)
            parts.append(frames)
        path = joined_parts(tmp_path, "joined.mpg", parts, codec=codec, b_frames=b_frames, key_every=12)
        check_every_frame(path, lengths)


def test_a_clock_that_goes_round_within_a_part(tmp_path: Path) -> None:
    """That of MPEG begins at 0 again after 2**33 ticks, 26.5 hours, and runs on."""
    lengths = (75, 50, 40)
    path = tmp_path / "joined.ts"
    content = b""
    for number, begins in enumerate((0.0, 2**33 / 90000 - 1.7, 0.0)):
        frames = moving(lengths[number], first=sum(lengths[:number]))
        times = [begins + index / FPS for index in range(len(frames))]
        content += write_video(tmp_path / "part.ts", frames, times=times, b_frames=3).read_bytes()
    path.write_bytes(content)
    check_every_frame(path, lengths)


def test_a_part_that_begins_with_a_picture_that_is_shown_later(tmp_path: Path) -> None:
    """A recording that was cut open: its time counts from the first picture that is shown."""
    first = write_video(tmp_path / "first.ts", moving(60), b_frames=3)
    second = write_video(tmp_path / "second.ts", moving(100, first=60), b_frames=3, key_every=25)
    with av.open(str(second)) as opened:
        packets = [packet for packet in opened.demux(video=0) if packet.pts is not None]
    ahead = next(n for n in range(30, 50) if packets[n].pts - packets[n].dts > 2 * packets[n].duration)
    begin = min(packet.pts for packet in packets[ahead:])
    key = next(packet for packet in packets[ahead:] if packet.is_keyframe)
    content = second.read_bytes()
    path = tmp_path / "joined.ts"
    path.write_bytes(first.read_bytes() + content[packets[ahead].pos :])
    with VideoDecoder(str(path)) as decoder:
        read = {read_stamp(frame.rgb(HEIGHT)): frame.pts_seconds for frame in decoder.frames()}
    seconds = float((key.pts - begin) * key.time_base)
    origin = float(min(packet.pts for packet in packets) * key.time_base)
    shown = 60 + round((float(key.pts * key.time_base) - origin) * FPS)
    for number in range(shown, 160):
        time = 60 / FPS + seconds + (number - shown) / FPS
        assert read[number] == pytest.approx(time, abs=0.001)
        assert read_stamp(frame_at(str(path), round(time, 6) + 0.001).rgb(HEIGHT)) == number


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("a.mp4", "frag_keyframe+empty_moov+default_base_moof"),
        ("a.mp4", "frag_keyframe"),  # with places counted from the beginning of the file
        ("a.mp4", "dash+frag_keyframe"),
        ("a.mov", "frag_keyframe+empty_moov"),
        ("a.nut", ""),
        ("a.mkv", ""),
    ],
)
def test_whole_files_that_were_joined(tmp_path: Path, name: str, flags: str, codec: str) -> None:
    """FFmpeg would read them as one: with the first one's tables and clock, and no third one of Matroska."""
    lengths = (75, 50, 40)
    parts = [moving(count, first=sum(lengths[:number])) for number, count in enumerate(lengths)]
    options = {"movflags": flags} if flags else {}
    path = joined_parts(tmp_path, name, parts, codec=codec, b_frames=2, container_options=options)
    check_every_frame(path, lengths)


def test_parts_of_other_rates_and_sizes_are_each_read_as_they_are(tmp_path: Path) -> None:
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    small = write_video(tmp_path / "small.mp4", moving(50), container_options=options)
    large = [np.kron(frame, np.ones((2, 2, 1), np.uint8)) for frame in moving(60, first=50)]
    fast = write_video(tmp_path / "fast.mp4", large, fps=30, container_options=options)
    path = tmp_path / "joined.mp4"
    path.write_bytes(small.read_bytes() + fast.read_bytes() + small.read_bytes())
    expected = [n / 25 for n in range(50)] + [2 + n / 30 for n in range(60)] + [4 + n / 25 for n in range(50)]
    numbers = [*range(110), *range(50)]
    with VideoDecoder(str(path)) as decoder:
        read = [(frame.pts_seconds, read_stamp(frame.rgb(HEIGHT))) for frame in decoder.frames()]
        assert decoder.damage is None
    assert [number for _, number in read] == numbers
    assert np.allclose([time for time, _ in read], expected, atol=0.001)
    assert probe(str(path)).duration_seconds == pytest.approx(6.0, abs=0.001)
    for (time, number), wanted in zip(read[::4], numbers[::4], strict=True):
        assert number == wanted
        assert read_stamp(frame_at(str(path), round(time, 6)).rgb(HEIGHT)) == wanted


def test_a_slow_part_lasts_as_long_as_its_frames_do(tmp_path: Path) -> None:
    """Its frames are shown for seconds each, also the last one."""
    fast = write_video(tmp_path / "fast.mkv", moving(50)).read_bytes()
    slow = write_video(tmp_path / "slow.mkv", moving(5, first=50), fps=Fraction(1, 3)).read_bytes()
    path = tmp_path / "joined.mkv"
    path.write_bytes(fast + slow + fast)
    with VideoDecoder(str(path)) as decoder:
        read = [(frame.pts_seconds, read_stamp(frame.rgb(HEIGHT))) for frame in decoder.frames()]
    assert [number for _, number in read] == [*range(55), *range(50)]
    begins = [*np.arange(50) / FPS, *2 + 3.0 * np.arange(5), *17 + np.arange(50) / FPS]
    assert [time for time, _ in read] == pytest.approx(begins, abs=0.0015)
    assert probe(str(path)).duration_seconds == pytest.approx(19.0, abs=0.0015)
    assert read_stamp(frame_at(str(path), 16.9).rgb(HEIGHT)) == 54


@pytest.mark.parametrize(
    ("name", "looks"),
    [
        ("joined.mp4", {"rotation": (90.0, False, False)}),
        ("joined.mkv", {"pixel_aspect": Fraction(2, 1)}),
        ("joined.mp4", {"pixel_aspect": Fraction(2, 1)}),
        ("joined.nut", {"pixel_aspect": Fraction(2, 1)}),
    ],
)
def test_each_part_is_turned_and_stretched_as_it_says(
    tmp_path: Path, name: str, looks: dict[str, Any]
) -> None:
    options = IN_FRAGMENTS if name.endswith("mp4") else {}
    target = tmp_path / f"part{Path(name).suffix}"
    plain = write_video(target, moving(30), container_options=options).read_bytes()
    other = write_video(target, moving(30), container_options=options, **looks).read_bytes()
    shapes = {plain: (HEIGHT, WIDTH), other: (WIDTH, HEIGHT) if "rotation" in looks else (HEIGHT, 2 * WIDTH)}
    path = tmp_path / name
    for parts in ((plain, other, plain), (other, plain)):
        path.write_bytes(b"".join(parts))
        expected = [shapes[part] for part in parts for _ in range(30)]
        with VideoDecoder(str(path)) as decoder:
            assert [frame.rgb(HEIGHT).shape[:2] for frame in decoder.frames()] == expected
        for number in range(0, 30 * len(parts), 8):
            frame = frame_at(str(path), (number + 0.5) / FPS)
            assert frame.rgb(HEIGHT).shape[:2] == expected[number], number


def test_the_film_of_each_part_is_chosen_as_that_of_a_file(tmp_path: Path) -> None:
    """A small preview may lie before or behind it, and another camera is named."""
    default = int(av.stream.Disposition.default)
    small = [frame[-96:, :144] for frame in moving(50, first=900)]
    film = [moving(50, first=50 * number) for number in range(3)]
    behind = write_programmes(tmp_path / "0.mkv", [film[0], small], flags=[default, 0])
    before = write_programmes(tmp_path / "1.mkv", [small, film[1]], flags=[0, default])
    twice = write_programmes(tmp_path / "2.mkv", [film[2], moving(50, first=800)], flags=[default, 0])
    path = tmp_path / "joined.mkv"
    path.write_bytes(b"".join(part.read_bytes() for part in (behind, before, twice)))
    with VideoDecoder(str(path)) as decoder:
        read = [(frame.pts_seconds, read_stamp(frame.rgb(HEIGHT))) for frame in decoder.frames()]
        note = decoder.damage
    assert [number for _, number in read] == list(range(150))
    for time, number in read[::8]:
        assert read_stamp(frame_at(str(path), round(time, 6)).rgb(HEIGHT)) == number
    assert note == (
        "stream 1 (144x96, 2.0 s) is another film and is not indexed; "
        "joined parts 2, 3 of 3 hold other films, which are not indexed"
    )


@pytest.mark.parametrize("kinds", ["pf", "ppf", "fp", "pfp"])
def test_mp4_with_and_without_fragments_joined(tmp_path: Path, kinds: str) -> None:
    content, lengths = b"", []
    for kind in kinds:
        frames = moving(40, first=40 * len(lengths))
        options = IN_FRAGMENTS if kind == "f" else {}
        content += write_video(tmp_path / "part.mp4", frames, container_options=options).read_bytes()
        lengths.append(40)
    path = tmp_path / "joined.mp4"
    path.write_bytes(content)
    check_every_frame(path, lengths)


def test_each_part_is_cropped_as_it_says(tmp_path: Path) -> None:
    plain = write_video(tmp_path / "plain.mkv", moving(30))
    other = write_video(tmp_path / "other.mkv", moving(30))
    add_pixel_crop(other, 16, 0, 16, 32)
    path = tmp_path / "joined.mkv"
    shapes = [(HEIGHT, WIDTH)] * 30 + [(HEIGHT - 32, WIDTH - 32)] * 30
    for parts, expected in (((plain, other), shapes), ((other, plain), shapes[::-1])):
        path.write_bytes(b"".join(part.read_bytes() for part in parts))
        with VideoDecoder(str(path)) as decoder:
            assert [frame.rgb(1000).shape[:2] for frame in decoder.frames()] == expected
        for number in (2, 28, 31, 57):
            frame = frame_at(str(path), (number + 0.5) / FPS)
            assert frame.rgb(1000).shape[:2] == expected[number], number


@pytest.mark.parametrize("name", ["joined.mp4", "joined.mkv", "joined.nut"])
def test_a_cut_of_joined_files_has_the_sound_of_each(tmp_path: Path, name: str, worker: DecodeWorker) -> None:
    options = {"movflags": "frag_keyframe+delay_moov"} if name.endswith("mp4") else {}
    content = b""
    for number, hertz in enumerate((400.0, 1000.0, 700.0)):
        frames = moving(75, first=75 * number)
        part = tmp_path / f"part{Path(name).suffix}"
        write_programmes(part, [frames], fps=FPS, tones_hertz=[hertz], container_options=options)
        content += part.read_bytes()
    path = tmp_path / name
    path.write_bytes(content)
    start = probe(str(path)).start_seconds
    for begin in (10, 50, 100, 125, 160):
        target = tmp_path / "cut.mp4"
        worker.render(
            str(path), str(target), cut(round(start + begin / FPS, 6), round(start + begin / FPS + 2.0, 6))
        )
        heard = check_cut(target, begin)
        for offset in (0.3, 0.7, 1.3, 1.7):
            part_number = int((begin + offset * FPS) / 75)
            wanted = (400.0, 1000.0, 700.0)[part_number]
            assert loudest_hertz(heard, offset) == pytest.approx(wanted, abs=15), (begin, offset)


@pytest.mark.parametrize("name", ["joined.mp4", "joined.mkv", "joined.nut"])
def test_a_cut_has_sound_where_only_a_later_part_has_it(
    tmp_path: Path, name: str, worker: DecodeWorker
) -> None:
    options = IN_FRAGMENTS if name.endswith("mp4") else {}
    content = b""
    for number, tones in enumerate(((), (400.0,))):
        part = tmp_path / f"part{Path(name).suffix}"
        frames = moving(50, first=50 * number)
        write_programmes(part, [frames], fps=FPS, tones_hertz=tones, container_options=options)
        content += part.read_bytes()
    path = tmp_path / name
    path.write_bytes(content)
    target = tmp_path / "cut.mp4"
    for start, seam in ((2.5, 0.0), (1.0, 1.0)):
        worker.render(str(path), str(target), cut(start, 3.5))
        with av.open(str(target)) as opened:
            heard = np.concatenate([frame.to_ndarray()[0] for frame in opened.decode(audio=0)])
        for offset in np.arange(seam + 0.2, 3.4 - start, 0.2):
            assert loudest_hertz(heard, offset) == pytest.approx(400.0, abs=15), offset
        assert np.abs(heard[: round(max(0.0, seam - 0.1) * 16000)]).max(initial=0.0) < 0.01
    worker.render(str(path), str(target), cut(0.2, 1.5))  # of the silent part alone
    with av.open(str(target)) as opened:
        assert not opened.streams.audio


def test_another_index_at_the_end_makes_no_part(tmp_path: Path) -> None:
    """Some recorders write it once more when they are done."""
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    content = write_video(tmp_path / "part.mp4", moving(60), container_options=options).read_bytes()
    place = content.index(b"moov") - 4
    index = content[place : place + int.from_bytes(content[place : place + 4], "big")]
    path = tmp_path / "twice.mp4"
    path.write_bytes(content + index)
    check_every_frame(path, (60,))


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.nut"])
def test_what_is_damaged_of_joined_files_is_no_other_error(tmp_path: Path, name: str) -> None:
    """Headers that lie, and parts that were cut off: what can be read comes in order, and is shown again."""
    options = {"movflags": "frag_keyframe+empty_moov"} if name == "a.mp4" else {}
    parts = [moving(20), moving(20, first=20)]
    whole = joined_parts(tmp_path, name, parts, key_every=5, container_options=options).read_bytes()
    path = tmp_path / f"torn{Path(name).suffix}"
    random = np.random.default_rng(5)
    for _ in range(40):
        content = bytearray(whole[: random.integers(1, 2 * len(whole))])
        for place in random.integers(0, len(content), random.integers(0, 40)):
            content[place] = random.integers(0, 256)
        if random.random() < 0.5:  # the size that a header gives
            seam = len(whole) // 2
            content[seam - 200 : seam + 400 : 7] = b"\x01" * len(content[seam - 200 : seam + 400 : 7])
        path.write_bytes(content)
        read: list[float] = []
        with suppress(ReelseekError), VideoDecoder(str(path)) as decoder:
            read += [frame.pts_seconds for frame in decoder.frames()]
        assert read == sorted(read)
        for time in read[::9]:
            with suppress(ReelseekError):
                assert frame_at(str(path), time).pts_seconds <= time + 0.001


@pytest.mark.parametrize("kinds", ["kuk", "ukk", "uuk", "uuu", "k u", "u k", "kku", "kuv", "uvk", "k\0k"])
def test_parts_of_matroska_that_do_not_say_where_they_end(tmp_path: Path, kinds: str) -> None:
    """As browsers record them (u), before and after those that do (k), of another codec (v), with filling."""
    fillings = {" ": b"\xec\x85" + bytes(5), "\0": bytes(700)}
    content, lengths = b"", []
    for kind in kinds:
        if kind in fillings:
            content += fillings[kind]
            continue
        options = {} if kind == "k" else {"live": "1"}
        frames = moving(40, first=40 * len(lengths))
        codec = "libvpx" if kind == "v" else "libx264"
        part = write_video(tmp_path / "part.mkv", frames, codec=codec, container_options=options).read_bytes()
        assert (b"\x18\x53\x80\x67\x01" + b"\xff" * 7 in part) is (kind != "k")
        content += part
        lengths.append(40)
    path = tmp_path / "joined.mkv"
    path.write_bytes(content)
    check_every_frame(path, lengths)


def test_a_part_that_claims_to_be_larger_than_the_file(tmp_path: Path) -> None:
    path = joined_parts(tmp_path, "a.mkv", [moving(20), moving(20, first=20)])
    content = bytearray(path.read_bytes())
    place = content.rindex(b"\x18\x53\x80\x67") + 4  # of the second segment's size
    content[place : place + 8] = b"\x01" + b"\xfe" * 7
    path.write_bytes(content)
    check_every_frame(path, (20, 20))


def test_a_part_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    part = write_video(tmp_path / "part.mp4", moving(40), container_options=options)
    sound = tmp_path / "sound.mp4"
    with av.open(str(sound), "w", options=options) as output:
        output.mux(encode_tone(output.add_stream("aac", rate=16000), 440.0, 1.0))
    path = tmp_path / "joined.mp4"
    path.write_bytes(part.read_bytes() + sound.read_bytes() + part.read_bytes())
    with VideoDecoder(str(path)) as decoder:
        assert [read_stamp(frame.rgb(HEIGHT)) for frame in decoder.frames()] == [*range(40), *range(40)]
        assert decoder.damage == "joined part 2 of 3 cannot be read and is not indexed"
    for number in (0, 39, 40, 79):
        frame = frame_at(str(path), (number + 0.5) / FPS)
        assert read_stamp(frame.rgb(HEIGHT)) == number % 40


def damage_of(path: Path) -> str | None:
    """What is said of a file that was read to its end."""
    with VideoDecoder(str(path)) as decoder:
        assert len(list(decoder.frames())) > 0
        return decoder.damage


def test_what_is_behind_joined_parts_is_named_once_and_with_its_own_share(tmp_path: Path) -> None:
    part = write_video(tmp_path / "part.mp4", moving(40), container_options=IN_FRAGMENTS).read_bytes()
    path = tmp_path / "joined.mp4"
    path.write_bytes(part * 2 + part.replace(b"trak", b"xxxx", 1))
    assert damage_of(path) == "joined part 3 of 3 cannot be read and is not indexed"
    plain = write_video(tmp_path / "plain.mp4", moving(40)).read_bytes()
    torn = plain[: len(plain) // 2]  # without its index, so that it is no part
    path.write_bytes(part * 2 + torn)
    note = damage_of(path)
    share = len(torn) / (2 * len(part) + len(torn))
    assert note is not None and note.startswith(f"the last {share:.0%} of the file are another file")


def test_many_parts_that_cannot_be_read_are_named_in_one_sentence(tmp_path: Path) -> None:
    part = write_video(tmp_path / "part.mp4", moving(10), container_options=IN_FRAGMENTS).read_bytes()
    empty = b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\0\x08moov"
    path = tmp_path / "joined.mp4"
    path.write_bytes(part + empty * 3)
    assert damage_of(path) == "joined parts 2, 3, 4 of 4 cannot be read and are not indexed"
    path.write_bytes(part + empty * 300)
    expected = "joined parts 2, 3, 4, 5, 6 and 295 more of 301 cannot be read and are not indexed"
    assert damage_of(path) == expected


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_first_part_without_a_film_is_named_and_passed_over(tmp_path: Path, name: str) -> None:
    options = IN_FRAGMENTS if name == "a.mp4" else {}
    sound = tmp_path / f"sound{Path(name).suffix}"
    with av.open(str(sound), "w", options=options) as output:
        output.mux(encode_tone(output.add_stream("aac", rate=16000), 440.0, 1.0))
    path = joined_parts(tmp_path, name, [moving(40), moving(40, first=40)], container_options=options)
    for silent, note in (
        (1, "part 1 of 3 cannot be read and is"),
        (2, "parts 1, 2 of 4 cannot be read and are"),
    ):
        made = tmp_path / f"joined{path.suffix}"
        made.write_bytes(sound.read_bytes() * silent + path.read_bytes())
        with VideoDecoder(str(made)) as decoder:
            read = [(frame.pts_seconds, read_stamp(frame.rgb(HEIGHT))) for frame in decoder.frames()]
            assert decoder.damage == f"joined {note} not indexed"
        assert [number for _, number in read] == list(range(80))
        assert [time for time, _ in read] == pytest.approx(read[0][0] + np.arange(80) / FPS, abs=0.0015)
        for time, number in read[::6]:
            assert read_stamp(frame_at(str(made), round(time, 6)).rgb(HEIGHT)) == number
    made.write_bytes(sound.read_bytes() * 2)
    with pytest.raises(NotAVideoError, match="holds audio only"):
        probe(str(made))


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

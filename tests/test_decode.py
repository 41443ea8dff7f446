"""Decoding: times, pictures and damage, against what the files were made of and ffprobe."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from video_factory import (
    HEIGHT,
    WIDTH,
    moving,
    read_stamp,
    scene,
    shift_times,
    stamp,
    write_sound,
    write_video,
)

from encoders.errors import (
    DamagedVideoError,
    DecodeError,
    NotAVideoError,
    NotFoundError,
    StillPictureError,
)
from indexer.video.clips.sampling import sample_clips
from indexer.video.pictures.frame import Crop
from indexer.video.pictures.orientation import Orientation
from indexer.video.pictures.still import decode_picture
from indexer.video.reading.decode import VideoDecoder
from indexer.video.reading.probing import frame_at, probe
from indexer.video.types import SamplingOptions

CLIPS = Path(os.environ.get("REELSEEK_CLIPS", Path(__file__).parent.parent.parent / "shared" / "clips"))


def decoded(path: Path) -> tuple[list[float], list[int]]:
    """Times and stamped numbers of all frames."""
    with VideoDecoder(str(path)) as decoder:
        frames = [(f.pts_seconds, read_stamp(f.rgb(HEIGHT))) for f in decoder.frames()]
    return [time for time, _ in frames], [number for _, number in frames]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.avi", "a.flv", "a.ts"])
@pytest.mark.parametrize("b_frames", [0, 3])
def test_constant_rate_gives_every_frame_its_time(tmp_path: Path, name: str, b_frames: int) -> None:
    path = write_video(tmp_path / name, moving(60), b_frames=b_frames)
    times, numbers = decoded(path)
    assert numbers == list(range(60))
    # AVI stores no presentation times and FLV none below 0: with B-frames both start a little late.
    late = times[0] if b_frames and name in ("a.avi", "a.flv") else 0.0
    assert late <= 0.12
    assert np.allclose(times, late + np.arange(60) / 25, atol=0.0015)  # Matroska counts in ms


def test_variable_rate_keeps_the_times_of_the_file(tmp_path: Path) -> None:
    gaps = np.random.default_rng(3).choice([1 / 60, 1 / 30, 0.1, 0.7], 40)
    times = [0.0, *np.cumsum(gaps)]
    path = write_video(tmp_path / "vfr.mp4", moving(41), times=times, b_frames=2)
    got, numbers = decoded(path)
    assert numbers == list(range(41))
    assert np.allclose(got, times, atol=0.0001)


@pytest.mark.parametrize(("name", "codec"), [("a.mkv", "libx264"), ("a.webm", "libvpx-vp9")])
def test_of_frames_at_one_time_the_last_is_shown(tmp_path: Path, name: str, codec: str) -> None:
    """Matroska's clock ticks in milliseconds: frames that are closer have one stamp."""
    ten_thousandths = [0, 400, 801, 802, 803, 1200, 1600, 1604, 2000, 2001]
    times = [tick / 10_000 for tick in ten_thousandths]
    path = write_video(tmp_path / name, moving(10), times=times, codec=codec)
    last_of = {round(tick / 10): number for number, tick in enumerate(ten_thousandths)}
    with VideoDecoder(str(path)) as decoder:
        shown = {round(frame.pts_seconds * 1000): read_stamp(frame.rgb(HEIGHT)) for frame in decoder.frames()}
        assert decoder.damage is None
    assert shown == last_of == {0: 0, 40: 1, 80: 4, 120: 5, 160: 7, 200: 9}
    for milliseconds, number in last_of.items():
        assert read_stamp(frame_at(str(path), milliseconds / 1000).rgb(HEIGHT)) == number


def test_frames_that_all_have_one_time_are_damage(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", moving(10), times=[number / 60_000 for number in range(10)])
    with (
        VideoDecoder(str(path)) as decoder,
        pytest.raises(DamagedVideoError, match="9 of 10 frames have times that do not ascend"),
    ):
        list(decoder.frames())


@pytest.mark.parametrize("name", ["late.mp4", "late.mkv"])
def test_a_late_start_is_kept(tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / name, moving(20), times=[5 + i / 25 for i in range(20)])
    times, _ = decoded(path)
    assert np.allclose(times, 5 + np.arange(20) / 25, atol=0.001)
    assert probe(str(path)).start_seconds == pytest.approx(5.0, abs=0.001)


def test_the_clock_of_a_transport_stream_starts_at_zero(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "a.ts",
        moving(30),
        times=[50_000 + i / 25 for i in range(30)],
        container_options={"muxdelay": "0"},
    )
    times, numbers = decoded(path)
    assert numbers == list(range(30))
    assert np.allclose(times, np.arange(30) / 25, atol=0.0001)


def test_a_transport_stream_whose_clock_restarts_goes_on(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.ts", moving(30))
    path.write_bytes(path.read_bytes() * 2)
    times, numbers = decoded(path)
    assert numbers == [*range(30), *range(30)]
    assert np.allclose(times, np.arange(60) / 25, atol=0.001)


def test_frames_outside_the_edit_list_are_not_shown(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", moving(50))
    cut = shift_times(whole, tmp_path / "cut.mp4", -0.6)  # frame 15 becomes time 0
    times, numbers = decoded(cut)
    assert numbers == list(range(15, 50))
    assert np.allclose(times, np.arange(35) / 25, atol=0.001)


@pytest.mark.parametrize(
    ("rotation", "corner"),
    [
        ((90.0, False, False), "lower left"),
        ((180.0, False, False), "lower right"),
        ((-90.0, False, False), "upper right"),
        ((0.0, True, False), "upper right"),
        ((0.0, False, True), "lower left"),
    ],
)
def test_rotated_and_mirrored_videos_come_upright(
    tmp_path: Path, rotation: tuple[float, bool, bool], corner: str
) -> None:
    picture = np.full((96, 160, 3), 60, np.uint8)
    picture[:32, :32] = 240  # upper left as stored
    path = write_video(tmp_path / "r.mp4", [picture] * 5, rotation=rotation)
    with VideoDecoder(str(path)) as decoder:
        info = decoder.info
        upright = next(decoder.frames()).rgb(96)
    turned = abs(rotation[0]) == 90
    assert (info.width, info.height) == ((96, 160) if turned else (160, 96))
    assert upright.shape == ((160, 96, 3) if turned else (96, 160, 3))
    bright = {
        "upper left": upright[8, 8],
        "upper right": upright[8, -8],
        "lower left": upright[-8, 8],
        "lower right": upright[-8, -8],
    }
    assert [name for name, pixel in bright.items() if pixel.mean() > 150] == [corner]


def test_orientation_of_plain_matrices() -> None:
    picture = np.arange(6, dtype=np.uint8).reshape(2, 3)
    one = 1 << 16

    def matrix(a: int, b: int, c: int, d: int) -> bytes:
        return np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], np.int32).tobytes()

    clockwise = Orientation.from_display_matrix(matrix(0, one, -one, 0))
    assert (clockwise.apply(picture) == np.rot90(picture, -1)).all()
    identity = Orientation.from_display_matrix(matrix(one, 0, 0, one))
    assert (identity.apply(picture) == picture).all()
    transposed = Orientation.from_display_matrix(matrix(0, one, one, 0))
    assert (transposed.apply(picture) == picture.T).all()


def test_pixel_aspect_is_applied(tmp_path: Path) -> None:
    path = write_video(tmp_path / "sar.mp4", moving(5), pixel_aspect=Fraction(4, 3))
    info = probe(str(path))
    assert (info.width, info.height) == (round(WIDTH * 4 / 3), HEIGHT)
    with VideoDecoder(str(path)) as decoder:
        assert next(decoder.frames()).rgb(72).shape == (72, 128, 3)


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "full_range"),
    [
        ("a.mp4", "libx264", "yuv420p", False),
        ("a.mp4", "libx264", "yuv420p", True),
        ("a.mp4", "libx264", "yuv444p", False),
        ("a.mp4", "libx265", "yuv420p10le", False),
        ("a.webm", "libvpx-vp9", "yuv420p", False),
        ("a.avi", "mjpeg", "yuvj422p", True),
        ("a.mkv", "ffv1", "bgr0", False),
        ("a.mkv", "ffv1", "gray", False),
        ("a.mkv", "ffv1", "yuva420p", False),
        ("a.gif", "gif", "rgb8", False),
    ],
)
def test_colours_survive_every_pixel_format(
    tmp_path: Path, name: str, codec: str, pixel_format: str, full_range: bool
) -> None:
    picture = np.zeros((96, 160, 3), np.uint8)
    picture[:, :80], picture[:, 80:] = (200, 60, 40), (240, 240, 240)
    if pixel_format == "gray":
        picture[:, :80] = 90
    path = write_video(
        tmp_path / name,
        [picture, picture],
        codec=codec,
        pixel_format=pixel_format,
        full_range=full_range,
    )
    with VideoDecoder(str(path)) as decoder:
        for frame in decoder.frames():
            for shown in (frame.rgb(96), frame.compact(96).rgb(96)):
                tolerance = 40 if codec == "gif" else 8
                assert np.abs(shown[48, 40].astype(int) - picture[48, 40]).max() <= tolerance
                assert np.abs(shown[48, 120].astype(int) - picture[48, 120]).max() <= tolerance
            assert frame.thumbnail().luma[:, -4:].mean() > frame.thumbnail().luma[:, :4].mean()


def test_scaling_and_cropping(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", [scene(1, 640, 360)] * 2)
    with VideoDecoder(str(path)) as decoder:
        frame = next(decoder.frames())
    assert frame.rgb(90).shape == (90, 160, 3)
    assert frame.rgb(1000).shape == (360, 640, 3)  # never scaled up
    reference = scene(1, 640, 360).reshape(90, 4, 160, 4, 3).mean(axis=(1, 3))
    assert np.abs(frame.rgb(90) - reference).mean() < 4
    cropped = frame.rgb(90, Crop(left=0.25, top=0.1, right=0.25, bottom=0.4))
    assert cropped.shape == (90, 160, 3)
    part = scene(1, 640, 360)[36:216, 160:480].reshape(90, 2, 160, 2, 3).mean(axis=(1, 3))
    assert np.abs(cropped - part).mean() < 5


def test_key_frames_only(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving(100), key_every=20, b_frames=2)
    with VideoDecoder(str(path)) as decoder:
        frames = list(decoder.frames("nonkey"))
    assert [read_stamp(f.rgb(HEIGHT)) for f in frames] == [0, 20, 40, 60, 80]
    assert all(f.is_key for f in frames)


def test_frame_at_gives_what_is_on_screen(tmp_path: Path) -> None:
    times = [0.0, 0.5, 0.6, 3.0, 3.1, 4.0]
    path = write_video(tmp_path / "a.mp4", moving(6), times=times, b_frames=2, key_every=3)
    for asked, number in [(0.0, 0), (0.49, 0), (0.55, 1), (2.9, 2), (3.0, 3), (3.99, 4), (4.0, 5)]:
        assert read_stamp(frame_at(str(path), asked).rgb(HEIGHT)) == number, asked
    for asked in (-0.1, 60.0, float("nan")):
        with pytest.raises(NotFoundError):
            frame_at(str(path), asked)


# Damage


def test_a_file_without_an_index_is_read_from_its_beginning(tmp_path: Path) -> None:
    """FFmpeg refuses to search SWF at all."""
    path = write_video(tmp_path / "a.swf", moving(40), codec="flv", tick=Fraction(1, 25))
    for number in (0, 1, 26, 39):
        assert read_stamp(frame_at(str(path), (number + 0.5) / 25).rgb(HEIGHT)) == number


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
def test_a_file_that_knows_decoding_times_alone_has_all_its_frames(tmp_path: Path, codec: str) -> None:
    """ASF stores when to decode; with B-frames the first is shown later, and none is lost for it."""
    path = write_video(tmp_path / "a.asf", moving(60), codec=codec, b_frames=2, key_every=12)
    times, numbers = decoded(path)
    assert numbers == list(range(60))
    assert 0 < times[0] <= 0.08
    assert np.allclose(times, times[0] + np.arange(60) / 25, atol=0.0011)
    for number in range(0, 60, 7):
        assert read_stamp(frame_at(str(path), round(times[number], 6)).rgb(HEIGHT)) == number
    assert probe(str(path)).start_seconds == times[0]
    with VideoDecoder(str(path)) as decoder:
        list(decoder.frames())
        assert decoder.damage is None


def copy_packets(source: Path, target: Path, edit: Callable[[int, Any], None]) -> Path:
    """The same pictures with the stamps and flags of each packet edited, given its number."""
    with av.open(str(source)) as given, av.open(str(target), "w") as output:
        stream = given.streams.video[0]
        copied = output.add_stream_from_template(stream)
        for number, packet in enumerate(given.demux(stream)):
            if packet.dts is not None:
                edit(number, packet)
                packet.stream = copied
                output.mux(packet)
    return target


def show_as_decoded(_: int, packet: Any) -> None:
    packet.pts = packet.dts


def flag_every_fifth(number: int, packet: Any) -> None:
    packet.is_keyframe = number % 5 == 0


@pytest.mark.parametrize(("name", "edit"), [("a.mp4", show_as_decoded), ("a.avi", flag_every_fifth)])
def test_after_a_search_frames_are_the_same_ones(
    tmp_path: Path, name: str, edit: Callable[[int, Any], None]
) -> None:
    """Also where decoding times pass for those of showing, and where what is called a key frame is none."""
    source = write_video(tmp_path / "source.avi", moving(75), codec="mpeg4", b_frames=2, key_every=12)
    path = copy_packets(source, tmp_path / name, edit)
    times, numbers = decoded(path)
    assert numbers == list(range(75))
    assert np.allclose(times, times[0] + np.arange(75) / 25, atol=1e-6)
    for number in numbers:
        assert read_stamp(frame_at(str(path), round(times[number], 6)).rgb(HEIGHT)) == number
    with VideoDecoder(str(path)) as decoder:
        list(decoder.frames())
        assert decoder.damage is None


def test_a_truncated_file_says_how_much_there_was(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving(250), container_options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with VideoDecoder(str(path)) as decoder:
        frames: list[object] = []
        with pytest.raises(DamagedVideoError, match=r"truncated: \d\.\d s of 10\.0 s"):
            frames.extend(decoder.frames())
    assert 50 < len(frames) < 200


@pytest.mark.parametrize("fps", [25, 200])
def test_an_avi_written_to_a_pipe_is_whole(tmp_path: Path, fps: int) -> None:
    """Its header says neither how long it is nor that nobody knows: 2 ** 30 frames."""

    class Pipe(io.RawIOBase):
        content = b""

        def writable(self) -> bool:
            return True

        def write(self, piece: bytes) -> int:  # type: ignore[override]
            self.content += piece
            return len(piece)

    pipe = Pipe()
    with av.open(pipe, "w", format="avi") as output:
        stream: Any = output.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound: Any = output.add_stream("mp2", rate=48000)
        for number, frame in enumerate(moving(100)):
            picture = av.VideoFrame.from_ndarray(frame, "rgb24").reformat(format="yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, fps)
            output.mux(stream.encode(picture))
        chunk = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), "s16", "mono")
        chunk.sample_rate = 48000
        output.mux(sound.encode(chunk))
        output.mux([*stream.encode(None), *sound.encode(None)])
    path = tmp_path / "a.avi"
    path.write_bytes(pipe.content)
    with av.open(str(path)) as opened:
        assert opened.streams.video[0].frames == 2**30
    with VideoDecoder(str(path)) as decoder:
        assert [read_stamp(frame.rgb(HEIGHT)) for frame in decoder.frames()] == list(range(100))
        assert decoder.seconds_read == pytest.approx(100 / fps, abs=0.001)
        assert decoder.damage is None


def test_a_truncated_matroska(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", moving(250))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with VideoDecoder(str(path)) as decoder, pytest.raises(DamagedVideoError, match="truncated"):
        list(decoder.frames())


def test_an_mp4_without_its_index_is_damaged(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving(50))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DamagedVideoError, match="moov"):
        probe(str(path))


def test_zeros_after_the_end_of_a_matroska_do_no_harm(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", moving(50))
    with path.open("ab") as file:
        file.write(bytes(100_000))
    times, numbers = decoded(path)
    assert numbers == list(range(50))
    assert times[-1] == pytest.approx(49 / 25, abs=0.001)


def test_a_matroska_whose_tail_is_zeros_is_truncated(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", moving(250))
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(content[:half] + bytes(len(content) - half))
    with VideoDecoder(str(path)) as decoder, pytest.raises(DamagedVideoError):
        list(decoder.frames())


def test_single_broken_packets_are_skipped(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.avi", moving(100), codec="mpeg4", key_every=10)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    path.write_bytes(content)
    with VideoDecoder(str(path)) as decoder:
        frames = list(decoder.frames())
    assert 50 < len(frames) <= 100


def test_noise_instead_of_pictures_is_damaged(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving(100), container_options={"movflags": "faststart"})
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + 400
    random = np.random.default_rng(0)
    content[start:] = random.integers(0, 256, len(content) - start, np.uint8).tobytes()
    path.write_bytes(content)
    with pytest.raises(DamagedVideoError), VideoDecoder(str(path)) as decoder:
        list(decoder.frames())


def test_sound_that_outlasts_the_picture_is_no_damage(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", moving(50), sound_seconds=10)
    with VideoDecoder(str(path)) as decoder:
        assert len(list(decoder.frames())) == 50


# What is not a video


def test_what_is_not_a_video_says_so(tmp_path: Path) -> None:
    video = write_video(tmp_path / "good.mp4", moving(5))
    files = {
        "text.mp4": (b"Dear diary,\nno film today.\n" * 40, "text"),
        "empty.mp4": (b"", "empty"),
        "zeros.mp4": (bytes(5000), "zeros"),
        "noise.mp4": (np.random.default_rng(1).bytes(5000), "not in any video format|damaged|no "),
        "list.mp4": (f"ffconcat version 1.0\nfile {video.name}\n".encode(), "playlist"),
        "list.m3u8": (
            f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{video.name}\n#EXT-X-ENDLIST\n".encode(),
            "playlist",
        ),
        "huge.y4m": (b"YUV4MPEG2 W100000 H100000 F25:1 Ip A1:1 C420\nFRAME\n" + bytes(99), "."),
        "words.srt": (b"1\n00:00:01,000 --> 00:00:02,000\nHello\n\n", "."),
    }
    for name, (content, reason) in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DecodeError, match=reason):
            probe(str(tmp_path / name))


def test_sound_and_pictures_are_not_videos(tmp_path: Path) -> None:
    from PIL import Image

    write_sound(tmp_path / "sound.mp4", 1.0)
    write_sound(tmp_path / "cover.mp3", 1.0, cover=scene(1))
    for suffix in ("png", "jpg", "gif", "webp", "bmp", "tiff"):
        Image.fromarray(scene(2)).save(tmp_path / f"picture.{suffix}")
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(NotAVideoError) as caught:
            probe(str(path))
        assert ("audio" if path.stem in ("sound", "cover") else "picture") in str(caught.value)


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match="no such file"):
        probe(str(tmp_path / "none.mp4"))
    with pytest.raises(NotAVideoError, match="folder"):
        probe(str(tmp_path))
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(NotAVideoError, match="pipe"):
        probe(str(tmp_path / "pipe.mp4"))
    if os.geteuid() != 0:
        path = write_video(tmp_path / "locked.mp4", moving(5))
        path.chmod(0)
        with pytest.raises(DecodeError, match="permission"):
            probe(str(path))


def test_an_absurd_frame_rate_is_not_believed(tmp_path: Path) -> None:
    frame = b"FRAME\n" + bytes(96)
    (tmp_path / "a.y4m").write_bytes(b"YUV4MPEG2 W8 H8 F1000000000:1 Ip A1:1 C420\n" + frame * 3)
    assert probe(str(tmp_path / "a.y4m")).average_fps is None


def test_info(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving(75))
    info = probe(str(path))
    assert (info.width, info.height, info.codec) == (WIDTH, HEIGHT, "h264")
    assert info.duration_seconds == pytest.approx(3.0, abs=0.01)
    assert info.average_fps == pytest.approx(25.0)
    assert "mp4" in info.container


# Against ffprobe


def ffprobe_times(path: Path) -> list[float]:
    command = ["ffprobe", "-v", "quiet", "-select_streams", "v:0", "-of", "json"]
    command += ["-show_entries", "frame=best_effort_timestamp_time", str(path)]
    frames = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["frames"]
    stamps = [frame.get("best_effort_timestamp_time", "N/A") for frame in frames]
    return [float(stamp) for stamp in stamps if stamp != "N/A"]


@pytest.mark.skipif(not shutil.which("ffprobe"), reason="ffprobe is not on PATH")
@pytest.mark.skipif(not CLIPS.is_dir(), reason="REELSEEK_CLIPS names no folder of clips")
def test_real_clips_have_the_times_that_ffprobe_prints() -> None:
    tried = 0
    for path in sorted(CLIPS.iterdir()):
        try:
            with VideoDecoder(str(path)) as decoder:
                times = [frame.pts_seconds for frame in decoder.frames()]
        except DecodeError as error:
            assert len(str(error)) > 10
            continue
        expected = ffprobe_times(path)
        tried += 1
        assert len(times) in (len(expected), len(expected) + 1), path.name
        assert np.allclose(times[: len(expected)], expected, atol=2e-5), path.name
    assert tried


def test_stamps_can_be_read() -> None:
    assert [read_stamp(stamp(scene(3), number)) for number in (0, 1, 2730, 4095)] == [
        0,
        1,
        2730,
        4095,
    ]


# Pictures, animations, slivers


def write_animation(path: Path, count: int = 15) -> Path:
    """A scene with a moving mark, ten frames a second, by Pillow."""
    from PIL import Image

    pictures = [Image.fromarray(frame) for frame in moving(count)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=100, loop=0, quality=90)
    return path


@pytest.mark.parametrize("name", ["a.webp", "a.avif", "a.gif", "a.png"])
def test_animations_are_footage(tmp_path: Path, name: str) -> None:
    path = write_animation(tmp_path / name)
    times, numbers = decoded(path)
    assert np.allclose(times, np.arange(15) / 10, atol=0.001)
    if name != "a.gif":  # whose colours are too few to read the numbers by
        assert numbers == list(range(15))
        assert read_stamp(frame_at(str(path), 1.25).rgb(HEIGHT)) == 12
    info = probe(str(path))
    assert (info.width, info.height) == (WIDTH, HEIGHT)
    assert info.duration_seconds in (None, pytest.approx(1.5, abs=0.001))
    assert info.average_fps == pytest.approx(10.0)
    assert np.abs(decode_picture(str(path)).rgb(HEIGHT).astype(int) - moving(1)[0]).mean() < 12


@pytest.mark.parametrize("suffix", ["webp", "avif"])
def test_animations_with_alpha_lie_over_black(tmp_path: Path, suffix: str) -> None:
    from PIL import Image

    frames = np.zeros((6, 64, 96, 4), np.uint8)
    frames[:, :, :48] = (255, 0, 0, 255)
    for number, frame in enumerate(frames):
        frame[:16, 4 * number : 4 * number + 8] = (0, 0, 255, 255)
    pictures = [Image.fromarray(frame) for frame in frames]
    path = tmp_path / f"a.{suffix}"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[100, 300, 100, 100, 100, 500])
    with VideoDecoder(str(path)) as decoder:
        shown = list(decoder.frames())
        assert (decoder.info.codec, decoder.info.container) == (suffix, suffix)
        assert decoder.info.duration_seconds == pytest.approx(1.2, abs=0.001)
    assert [round(frame.pts_seconds, 3) for frame in shown] == [0.0, 0.1, 0.4, 0.5, 0.6, 0.7]
    for frame in shown:
        assert frame.rgb(64)[40, 20, 0] > 240 and frame.rgb(64)[40, 80].max() < 12


def test_a_broken_animation_says_so(tmp_path: Path) -> None:
    path = write_animation(tmp_path / "a.webp")
    content = bytearray(path.read_bytes())
    content[len(content) // 4 :] = bytes(len(content) - len(content) // 4)
    path.write_bytes(content)
    with pytest.raises(DamagedVideoError, match="animation"):
        probe(str(path))


@pytest.mark.parametrize("suffix", ["webp", "avif", "png", "jpg", "gif"])
def test_a_still_picture_is_no_video(tmp_path: Path, suffix: str) -> None:
    from PIL import Image

    Image.fromarray(scene(3)).save(tmp_path / f"a.{suffix}")
    with pytest.raises(StillPictureError):
        probe(str(tmp_path / f"a.{suffix}"))
    shown = decode_picture(str(tmp_path / f"a.{suffix}")).rgb(HEIGHT)
    assert np.abs(shown.astype(int) - scene(3)).mean() < 12


@pytest.mark.parametrize("size", [(2000, 4), (4, 2000), (1200, 2), (2, 1200), (97, 1), (1, 1)])
def test_slivers_are_read_like_all_else(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    pictures = [np.full((height, width, 3), 40 + 10 * number, np.uint8) for number in range(10)]
    path = write_video(tmp_path / "a.mkv", pictures, codec="ffv1", pixel_format="yuv444p", fps=10)
    with VideoDecoder(str(path)) as decoder:
        assert (decoder.info.width, decoder.info.height) == size
        clips = list(sample_clips(decoder, SamplingOptions()))
    assert clips[0].start_seconds == 0.0 and clips[-1].end_seconds == pytest.approx(1.0, abs=0.01)
    assert all(len(clip.frames.frames) and clip.key_frames for clip in clips)
    still = frame_at(str(path), 0.55).rgb(180)
    assert still.shape == (height, width, 3) and abs(int(still.mean()) - 90) <= 3

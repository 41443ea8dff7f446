"""Interlaced footage comes without combs, progressive footage as it is; crops of containers are applied."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from video_factory import read_stamp, scene, stamp, write_video

from indexer.video.clips.sampling import sample_clips
from indexer.video.making.render import render
from indexer.video.making.renditions import Rendition
from indexer.video.reading.decode import VideoDecoder
from indexer.video.reading.probing import frame_at, probe
from indexer.video.types import SamplingOptions

WIDTH, HEIGHT = 320, 240


def moments(count: int) -> list[np.ndarray]:
    """A scene with edges that moves sideways, 50 a second."""
    base = np.tile(scene(4, WIDTH, HEIGHT)[:, : WIDTH // 4], (1, 4, 1))
    base[:, ::40] = base[:, 1::40] = base[:, 2::40] = 235
    return [np.roll(base, 4 * number, axis=1) for number in range(count)]


def woven(pictures: Sequence[np.ndarray], *, top_first: bool = True) -> list[np.ndarray]:
    """Two moments in each frame, line by line."""
    frames = []
    for one, two in zip(pictures[0::2], pictures[1::2], strict=True):
        frame = (one if top_first else two).copy()
        frame[1::2] = (two if top_first else one)[1::2]
        frames.append(frame)
    return frames


def combs(picture: np.ndarray) -> float:
    """Share of samples that stand out from the lines above and below alike."""
    grey = picture.astype(int).mean(axis=2)
    above, line, below = grey[:-2], grey[1:-1], grey[2:]
    return float(((line - above) * (line - below) > 200).mean())


def write_woven(path: Path, frames: Sequence[np.ndarray], kind: str, *, top_first: bool = True) -> Path:
    """Writes frames as interlaced video of one kind, or as video that does not say so ("unflagged")."""
    if kind == "unflagged":
        return write_video(path, frames, codec_options={"crf": "12"})
    codec, options = {
        "mpeg2": (
            "mpeg2video",
            {"flags": "+ildct+ilme", "qmin": "2", "qmax": "4", "top": str(int(top_first))},
        ),
        "h264": (
            "libx264",
            {"flags": "+ildct", "crf": "12", "x264-params": "tff=1" if top_first else "bff=1"},
        ),
        "prores": ("prores_ks", {"flags": "+ildct"}),
    }[kind]
    order = "tff" if top_first else "bff"
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream(codec, rate=25)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv422p10le" if kind == "prores" else "yuv420p"
        stream.codec_context.options = options
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=WIDTH, height=HEIGHT, format=stream.pix_fmt, time_base=Fraction(1, 25)
        )
        sink = graph.add("buffersink")
        graph.link_nodes(source, graph.add("setfield", order), sink).configure()
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, "rgb24").reformat(
                format=stream.pix_fmt, interpolation="POINT"
            )
            picture.pts, picture.time_base = number, Fraction(1, 25)
            source.push(picture)
            output.mux(stream.encode(sink.pull()))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("top_first", [True, False])
@pytest.mark.parametrize(
    ("name", "kind"), [("a.mpg", "mpeg2"), ("a.ts", "h264"), ("a.mp4", "h264"), ("a.mp4", "unflagged")]
)
def test_interlaced_footage_comes_without_combs(
    tmp_path: Path, name: str, kind: str, top_first: bool
) -> None:
    truth = moments(60)
    frames = woven(truth, top_first=top_first)
    path = write_woven(tmp_path / name, frames, kind, top_first=top_first)
    assert min(combs(frame) for frame in frames) > 0.05  # else there is nothing to see
    natural = max(combs(picture) for picture in truth)
    with VideoDecoder(str(path)) as decoder:
        decoded = list(decoder.frames())
        assert bool(decoded[3].picture.interlaced_frame) == (kind != "unflagged")
    times = [frame.pts_seconds - decoded[0].pts_seconds for frame in decoded]
    assert np.allclose(times, np.arange(30) / 25, atol=1e-4)
    for number in range(2, 28):
        still = decoded[number].rgb(HEIGHT)
        assert combs(still) < natural + 0.01, number
        # The first of the two moments is shown, at its time.
        errors = [np.abs(still.astype(int) - truth[2 * number + near]).mean() for near in (-2, -1, 0, 1, 2)]
        assert int(np.argmin(errors)) == 2, errors
        assert np.abs(decoded[number].compact(HEIGHT).rgb(HEIGHT).astype(int) - still).mean() < 3
    still = frame_at(str(path), decoded[10].pts_seconds).rgb(HEIGHT)
    assert combs(still) < natural + 0.01


@pytest.mark.parametrize(("codec", "key_every"), [("mpeg4", 7), ("mjpeg", 1)])
@pytest.mark.parametrize("top_first", [True, False])
def test_the_first_and_last_frames_have_no_combs_either(
    tmp_path: Path, codec: str, key_every: int, top_first: bool
) -> None:
    truth = moments(60)
    frames = woven(truth, top_first=top_first)
    options = {"qmin": "2", "qmax": "3"}
    path = write_video(
        tmp_path / "a.avi", frames, codec=codec, key_every=key_every, codec_options=options,
        pixel_format="yuvj420p" if codec == "mjpeg" else "yuv420p",
    )  # fmt: skip
    natural = max(combs(picture) for picture in truth)
    with VideoDecoder(str(path)) as decoder:
        decoded = list(decoder.frames())
        assert not decoded[3].picture.interlaced_frame
        assert sum(frame.is_key for frame in decoded) == -(-30 // key_every)
    for number, frame in enumerate(decoded):
        still = frame_at(str(path), frame.pts_seconds).rgb(HEIGHT)  # right after a search, at key frames
        for shown in (frame.rgb(HEIGHT), still):
            assert combs(shown) < natural + 0.01, number
            errors = [
                np.abs(shown.astype(int) - truth[moment]).mean()
                for moment in range(max(0, 2 * number - 2), min(60, 2 * number + 3))
            ]
            assert int(np.argmin(errors)) == min(2, 2 * number), errors


def test_fine_lines_of_progressive_frames_flagged_interlaced_stay_after_a_search(tmp_path: Path) -> None:
    """As cameras record that make interlaced files of whole pictures (PsF)."""
    pictures = moments(24)[::2]
    for picture in pictures:
        picture[100:160:2], picture[101:160:2] = 200, 60
    path = write_woven(tmp_path / "a.mov", pictures, "prores")
    with VideoDecoder(str(path)) as decoder:
        frames = list(decoder.frames())
    assert all(frame.is_key and frame.picture.interlaced_frame for frame in frames)
    for frame in frames:
        for shown in (frame.rgb(HEIGHT), frame_at(str(path), frame.pts_seconds).rgb(HEIGHT)):
            assert shown[110:150:2].mean() - shown[111:150:2].mean() > 110


def test_interlaced_footage_is_sampled_and_cut_without_combs(tmp_path: Path) -> None:
    truth = moments(100)
    path = write_woven(tmp_path / "a.mpg", woven(truth), "mpeg2")
    natural = max(combs(picture) for picture in truth)
    with VideoDecoder(str(path)) as decoder:
        clips = list(sample_clips(decoder, SamplingOptions(frame_size=HEIGHT)))
    assert all(combs(frame) < natural + 0.01 for clip in clips for frame in clip.frames.frames)
    render(str(path), str(tmp_path / "cut.mp4"), Rendition(((0.2, 1.8),), crf=12))
    with VideoDecoder(str(tmp_path / "cut.mp4")) as decoder:
        cut = list(decoder.frames())
    assert len(cut) == 40
    assert all(combs(frame.picture.to_ndarray(format="rgb24")) < natural + 0.01 for frame in cut)
    assert not cut[0].picture.interlaced_frame


def test_what_stands_still_in_interlaced_footage_keeps_its_lines(tmp_path: Path) -> None:
    still = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    still[100:160:2, :160] = 200  # lines as fine as can be
    path = write_woven(tmp_path / "a.mpg", [still] * 12, "mpeg2")
    with VideoDecoder(str(path)) as decoder:
        shown = list(decoder.frames())[5].rgb(HEIGHT)
    assert shown[110:150:2, 40:120].mean() - shown[111:150:2, 40:120].mean() > 110


@pytest.mark.parametrize("movement", ["still", "sideways", "down", "diagonal"])
def test_progressive_footage_with_fine_lines_is_not_touched(tmp_path: Path, movement: str) -> None:
    base = scene(5, WIDTH, HEIGHT)
    base[::2] //= 2
    if movement == "still":
        base[200:] = 40
    step = {"still": (0, 0), "sideways": (0, 3), "down": (1, 0), "diagonal": (3, 2)}[movement]
    pictures = [np.roll(base, (step[0] * n, step[1] * n), axis=(0, 1)) for n in range(40)]
    for number, picture in enumerate(pictures):
        picture[20:60, 5 * number : 5 * number + 40] = 220  # something moves in any case
    path = write_video(tmp_path / "a.mp4", pictures, codec_options={"crf": "12"})
    with VideoDecoder(str(path)) as decoder:
        for frame in decoder.frames():
            assert frame.progressive().picture is frame.picture
            assert frame.compact(HEIGHT).picture is frame.picture


def test_frames_are_counted_once_and_come_in_order_when_one_looks_ahead(tmp_path: Path) -> None:
    pictures = [stamp(scene(1), number) for number in range(30)]
    path = write_video(tmp_path / "a.mp4", pictures, b_frames=2, key_every=10)
    with VideoDecoder(str(path)) as decoder:
        numbers = [read_stamp(frame.rgb(144)) for frame in decoder.frames()]  # each asks for the next
        assert numbers == list(range(30))
        decoder.seek(0.45)
        first = next(decoder.frames())
        decoder.seek(0.85)
        assert read_stamp(first.rgb(144)) == 10  # what comes after it is elsewhere now
        assert [read_stamp(frame.rgb(144)) for frame in decoder.frames()] == list(range(20, 30))


# Crops that the container asks for


def framed() -> list[np.ndarray]:
    """A scene of 160 x 90 in a magenta frame: 80 and 40 columns, 46 and 24 rows."""
    picture = np.empty((160, 280, 3), np.uint8)
    picture[:] = (255, 0, 255)
    picture[46:136, 80:240] = scene(6, 160, 90)
    return [picture] * 5


def add_pixel_crop(path: Path, left: int, top: int, right: int, bottom: int) -> None:
    """Adds PixelCrop elements (RFC 9559, 5.1.4.1.28.14) to the video of a Matroska file."""
    content = bytearray(path.read_bytes())

    def read_size(at: int) -> tuple[int, int]:
        length = 9 - content[at].bit_length()
        return length, int.from_bytes(content[at : at + length], "big") & ((1 << 7 * length) - 1)

    masters = []
    begin, end = 0, len(content)
    for wanted in (b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\xae", b"\xe0"):
        while True:
            name_length = 9 - content[begin].bit_length()
            size_length, size = read_size(begin + name_length)
            body = begin + name_length + size_length
            is_open = size == (1 << 7 * size_length) - 1
            if content[begin : begin + name_length] == wanted:
                masters.append((begin + name_length, size_length, size, is_open))
                begin, end = body, end if is_open else body + size
                break
            begin = body + size
    sides = ((b"\x54\xcc", left), (b"\x54\xbb", top), (b"\x54\xdd", right), (b"\x54\xaa", bottom))
    added = b"".join(name + b"\x82" + struct.pack(">H", side) for name, side in sides)
    content[end:end] = added
    for at, length, size, is_open in masters:
        if not is_open:
            content[at : at + length] = (size + len(added) | 1 << 7 * length).to_bytes(length, "big")
    path.write_bytes(content)


def add_clean_aperture(path: Path, left: int, top: int, right: int, bottom: int) -> None:
    """Adds a clap box (ISO/IEC 14496-12, 12.1.4) to the first sample description; the index must be last."""
    content = bytearray(path.read_bytes())
    width, height = 280, 160
    wide, high = width - left - right, height - top - bottom
    box = struct.pack(
        ">I4s8i", 40, b"clap", wide, 1, high, 1, left - right, 2, top - bottom, 2
    )  # offsets are those of the centres, so half of what the sides differ by
    begin, end, sizes = 0, len(content), []
    for wanted, header in (
        (b"moov", 8),
        (b"trak", 8),
        (b"mdia", 8),
        (b"minf", 8),
        (b"stbl", 8),
        (b"stsd", 16),
    ):
        while content[begin + 4 : begin + 8] != wanted:
            begin += int.from_bytes(content[begin : begin + 4], "big")
            assert begin < end
        sizes.append(begin)
        begin += header
    sizes.append(begin)
    end = begin + int.from_bytes(content[begin : begin + 4], "big")
    content[end:end] = box
    for at in sizes:
        content[at : at + 4] = struct.pack(">I", int.from_bytes(content[at : at + 4], "big") + len(box))
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "add_crop"),
    [
        ("a.mkv", add_pixel_crop),
        ("a.webm", add_pixel_crop),
        ("a.mov", add_clean_aperture),
        ("a.mp4", add_clean_aperture),
    ],
)
def test_the_container_s_crop_is_applied(
    tmp_path: Path, name: str, add_crop: Callable[[Path, int, int, int, int], None]
) -> None:
    codec = "libvpx-vp9" if name.endswith("webm") else "libx264"
    path = write_video(tmp_path / name, framed(), codec=codec, codec_options={"crf": "10"})
    add_crop(path, 80, 46, 40, 24)
    info = probe(str(path))
    assert (info.width, info.height) == (160, 90)
    with VideoDecoder(str(path)) as decoder:
        frames = list(decoder.frames())
        assert np.allclose([frame.pts_seconds for frame in frames], np.arange(5) / 25, atol=0.001)
        decoder.seek(0.1)
        frames.append(next(decoder.frames()))
    for frame in frames:
        shown = frame.rgb(90)
        assert shown.shape == (90, 160, 3)
        assert np.abs(shown[4:-4, 4:-4].astype(int) - scene(6, 160, 90)[4:-4, 4:-4]).mean() < 6
        assert not ((shown[:, :, 0] > 200) & (shown[:, :, 1] < 60) & (shown[:, :, 2] > 200)).any()
    render(str(path), str(tmp_path / "cut.mp4"), Rendition(((0.0, 0.2),)))
    assert (probe(str(tmp_path / "cut.mp4")).width, probe(str(tmp_path / "cut.mp4")).height) == (160, 90)


def test_an_absurd_crop_is_not_believed(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mov", framed())
    add_clean_aperture(path, 200, 0, 200, 0)
    assert (probe(str(path)).width, probe(str(path)).height) == (280, 160)


def test_pixel_aspect_that_changes_on_the_way_is_followed(tmp_path: Path) -> None:
    parts = []
    for number, aspect in enumerate((Fraction(16, 15), Fraction(64, 45))):
        part = write_video(
            tmp_path / f"{number}.ts", [scene(7, 180, 144)] * 30, pixel_aspect=aspect,
            times=[number * 1.2 + n / 25 for n in range(30)],
        )  # fmt: skip
        parts.append(part.read_bytes())
    path = tmp_path / "a.ts"
    path.write_bytes(b"".join(parts))
    with VideoDecoder(str(path)) as decoder:
        sizes = [frame.size for frame in decoder.frames()]
    assert sizes == [(192, 144)] * 30 + [(256, 144)] * 30

"""Colours: HDR, gamut, matrices, ranges and alpha, against standards' formulas and how files were made."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from hdr_files import HLG, PQ, light_of, signal_of, write_signal
from skimage.data import astronaut, chelsea
from video_factory import moving, write_video

from encoders import Encoder
from encoders.types import FrameBatch
from indexer.video.clips.sampling import sample_clips
from indexer.video.making.render import render
from indexer.video.making.renditions import Rendition
from indexer.video.pictures.frame import DecodedFrame
from indexer.video.pictures.still import decode_picture
from indexer.video.pictures.tone import compress, hlg_to_scene, nits_to_pq, pq_to_nits, to_sdr
from indexer.video.reading.decode import VideoDecoder
from indexer.video.types import SamplingOptions


def first_frame(path: Path) -> DecodedFrame:
    with VideoDecoder(str(path)) as decoder:
        return next(decoder.frames())


def seen_by_all(frame: DecodedFrame, side: int) -> list[np.ndarray]:
    """The frame as a still, as it is kept for features, and as it is cut."""
    picture = frame.picture
    planar = frame.planar(picture.width, picture.height)
    cut = planar.to_ndarray(format="rgb24", src_colorspace=1, dst_color_range=2)
    return [frame.rgb(side), frame.compact(side).rgb(side), cut]


def patches(*colours: Sequence[int]) -> np.ndarray:
    """Squares of 64 pixels side by side."""
    return np.concatenate([np.full((64, 64, 3), colour, np.uint8) for colour in colours], axis=1)


def patch_colours(picture: np.ndarray) -> np.ndarray:
    """The middle of each square of `patches`."""
    count = picture.shape[1] // 64
    return np.array([picture[32, 64 * number + 32] for number in range(count)], int)


# Formulas


def test_the_curves_meet_the_values_that_their_standards_print() -> None:
    # BT.2408-7, table 1: reference white is 58 % of PQ and 75 % of HLG; ST 2084: 100 cd/m2 are 50.8 %.
    assert nits_to_pq(np.array([100.0, 203.0, 1000.0, 10_000.0])) == pytest.approx(
        [0.508, 0.581, 0.752, 1.0], abs=0.001
    )
    assert pq_to_nits(nits_to_pq(np.array([0.005, 1.0, 4000.0]))) == pytest.approx([0.005, 1.0, 4000.0])
    assert hlg_to_scene(np.array([0.0, 0.5, 1.0])) == pytest.approx([0.0, 1 / 12, 1.0], abs=1e-6)
    assert 1000 * hlg_to_scene(0.75) ** 1.2 == pytest.approx(203.0, rel=0.005)


def test_highlights_are_brought_below_white_and_all_else_is_left() -> None:
    nits = np.linspace(0.0, 1000.0, 2001)
    mapped = compress(nits, 1000.0)
    assert (np.diff(mapped) >= -1e-9).all() and mapped[-1] == pytest.approx(203.0, rel=1e-4)
    # The knee of BT.2390: 1.5 times the target's share of the source's range, less a half, in PQ.
    share = float(nits_to_pq(203.0) / nits_to_pq(1000.0))
    knee = float(pq_to_nits((1.5 * share - 0.5) * nits_to_pq(1000.0)))
    assert np.allclose(mapped[nits < knee], nits[nits < knee])
    assert np.allclose(compress(nits[:400], 150.0), nits[:400])  # nothing is brighter than the target


def test_highlights_keep_their_order_and_hue() -> None:
    grey = np.repeat(signal_of(np.linspace(0, 1000, 256)[:, None] * np.ones(3), PQ)[None], 64, axis=0)
    mapped = to_sdr(np.rint(grey * 65535).astype(np.uint16), PQ, 9)[0].astype(int)
    assert (np.diff(mapped[:, 0]) >= 0).all() and mapped[-1].min() >= 254
    assert np.abs(mapped - mapped[:, :1]).max() <= 1  # grey stays grey
    assert mapped[100, 0] - mapped[50, 0] >= 15  # 390 and 196 cd/m2 are told apart


# HDR files


@pytest.mark.parametrize("transfer", [PQ, HLG])
def test_an_hdr_copy_of_a_picture_looks_like_it(tmp_path: Path, transfer: int) -> None:
    picture = patches(
        (255, 255, 255), (128, 128, 128), (20, 20, 20), (200, 40, 40), (40, 160, 60), (30, 60, 200)
    )
    path = write_signal(tmp_path / "hdr.mkv", [signal_of(light_of(picture), transfer)] * 2, transfer=transfer)
    frame = first_frame(path)
    assert int(frame.picture.color_trc) == transfer
    for shown in seen_by_all(frame, 64):
        assert np.abs(patch_colours(shown) - patch_colours(picture)).max() <= 6


def test_hdr_is_converted_where_clips_are_sampled_and_cut(tmp_path: Path) -> None:
    picture = patches((255, 255, 255), (90, 90, 90), (180, 60, 50))
    signal = signal_of(light_of(picture), PQ)
    path = write_signal(tmp_path / "hdr.mkv", [signal] * 30, transfer=PQ)
    with VideoDecoder(str(path)) as decoder:
        (clip,) = sample_clips(decoder, SamplingOptions())
    for shown in clip.frames.frames:
        assert np.abs(patch_colours(shown) - patch_colours(picture)).max() <= 6
    for kind in ("mp4", "gif"):
        render(str(path), str(tmp_path / f"cut.{kind}"), Rendition(((0.0, 1.0),), kind=kind, crf=10))
        frame = (
            decode_picture(str(tmp_path / "cut.gif")) if kind == "gif" else first_frame(tmp_path / "cut.mp4")
        )
        assert int(frame.picture.color_trc) in (1, 2)
        assert np.abs(patch_colours(frame.rgb(64)) - patch_colours(picture)).max() <= 16


def test_hdr_sdr_and_ten_bit_copies_of_footage_find_each_other(
    tmp_path: Path, offline_encoder: Encoder
) -> None:
    for number, photograph in enumerate((astronaut(), chelsea())):
        picture = cv2.resize(photograph, (320, 240), interpolation=cv2.INTER_AREA)
        light = light_of(picture)
        paths = [
            write_video(tmp_path / f"{number}.mp4", [picture] * 4, fps=10),
            write_video(
                tmp_path / f"{number}_10.mkv",
                [picture] * 4,
                fps=10,
                codec="ffv1",
                pixel_format="yuv420p10le",
            ),
            *(
                write_signal(tmp_path / f"{number}_{t}.mkv", [signal_of(light, t)] * 4, transfer=t)
                for t in (PQ, HLG)
            ),
        ]
        embeddings = []
        for path in paths:
            with VideoDecoder(str(path)) as decoder:
                (clip,) = sample_clips(decoder, SamplingOptions(frame_size=offline_encoder.frame_size))
            embeddings.append(offline_encoder.pool(offline_encoder.encode_frames(clip.frames)))
        cosines = np.array(embeddings) @ np.array(embeddings).T
        assert cosines.min() >= 0.95, cosines


def test_wide_gamut_of_standard_range_keeps_its_colours(tmp_path: Path) -> None:
    picture = patches((200, 60, 50), (60, 180, 70), (128, 128, 128))
    signal = np.clip(light_of(picture) / 203.0, 0, 1) ** (1 / 2.4)
    path = write_signal(tmp_path / "wide.mkv", [signal] * 2, transfer=14)
    for shown in seen_by_all(first_frame(path), 64):
        assert np.abs(patch_colours(shown) - patch_colours(picture)).max() <= 6


# Matrices and ranges


@pytest.mark.parametrize("color_range", [1, 2])
@pytest.mark.parametrize(
    ("matrix", "red", "blue"), [(5, 0.299, 0.114), (1, 0.2126, 0.0722), (9, 0.2627, 0.0593)]
)
def test_every_matrix_and_range_is_honoured(
    tmp_path: Path, matrix: int, red: float, blue: float, color_range: int
) -> None:
    wanted = np.array([200.0, 60.0, 90.0]) / 255
    luma = float(wanted @ [red, 1 - red - blue, blue])
    chroma = (wanted[2] - luma) / (2 - 2 * blue), (wanted[0] - luma) / (2 - 2 * red)
    if color_range == 1:
        samples = 16 + 219 * luma, 128 + 224 * chroma[0], 128 + 224 * chroma[1]
    else:
        samples = 255 * luma, 128 + 255 * chroma[0], 128 + 255 * chroma[1]
    planes = np.stack([np.full((64, 64), round(value), np.uint8) for value in samples])
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("ffv1", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv444p"
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, color_range
        picture = av.VideoFrame.from_ndarray(planes, "yuv444p", channel_last=False)
        picture.colorspace, picture.color_range = matrix, color_range
        picture.pts, picture.time_base = 0, Fraction(1, 10)
        output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    for shown in seen_by_all(first_frame(path), 64):
        assert np.abs(shown[32, 32] - wanted * 255).max() <= 4


def write_planes(path: Path, samples: np.ndarray, matrix: int, color_range: int, **tags: int) -> Path:
    """One picture of one colour, lossless in 16 bit: its three samples as they are stored."""
    planes = np.broadcast_to(samples.astype(np.uint16), (64, 64, 3))
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("ffv1", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv444p16le"
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(planes), "yuv444p16le")
        for name, value in {"colorspace": matrix, "color_range": color_range, **tags}.items():
            setattr(stream.codec_context, name, value)
            setattr(picture, name, value)
        picture.pts, picture.time_base = 0, Fraction(1, 10)
        output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return path


def in_sixteen_bits(luma: float, first: float, second: float, color_range: int) -> np.ndarray:
    if color_range == 1:
        return np.rint([4096 + 56064 * luma, 32768 + 57344 * first, 32768 + 57344 * second])
    return np.rint([65535 * luma, 32768 + 65535 * first, 32768 + 65535 * second])


@pytest.mark.parametrize("color_range", [1, 2])
@pytest.mark.parametrize("colour", [(30, 200, 30), (200, 60, 90), (20, 40, 220), (128, 128, 128)])
def test_luma_with_green_and_orange_is_read_as_such(tmp_path: Path, colour, color_range: int) -> None:
    """H.273: Y = G/2 + (R + B)/4, Cg = G/2 - (R + B)/4, Co = (R - B)/2."""
    red, green, blue = np.array(colour) / 255
    samples = green / 2 + (red + blue) / 4, green / 2 - (red + blue) / 4, (red - blue) / 2
    path = write_planes(tmp_path / "a.mkv", in_sixteen_bits(*samples, color_range), 8, color_range)
    for shown in seen_by_all(first_frame(path), 64):
        assert np.abs(shown[32, 32] - np.array(colour)).max() <= 4


@pytest.mark.parametrize("colour", [(30, 200, 30), (200, 60, 90), (20, 40, 220), (128, 128, 128)])
def test_constant_luminance_is_read_as_such(tmp_path: Path, colour) -> None:
    """BT.2020, table 4, forwards: luminance is weighed in light, and each difference has two scales."""
    signal = np.array(colour) / 255
    light = np.where(signal < 4.5 * 0.0181, signal / 4.5, ((signal + 0.0993) / 1.0993) ** (1 / 0.45))
    luminance = float(light @ [0.2627, 0.6780, 0.0593])
    luma = 4.5 * luminance if luminance < 0.0181 else 1.0993 * luminance**0.45 - 0.0993
    first, second = signal[2] - luma, signal[0] - luma
    first /= 1.9404 if first < 0 else 1.5816
    second /= 1.7182 if second < 0 else 0.9938
    path = write_planes(tmp_path / "a.mkv", in_sixteen_bits(luma, first, second, 1), 10, 1, color_primaries=1)
    for shown in seen_by_all(first_frame(path), 64):
        assert np.abs(shown[32, 32] - np.array(colour)).max() <= 4


@pytest.mark.parametrize("transfer", [16, 18])
@pytest.mark.parametrize("colour", [(0.2, 0.45, 0.2), (0.5, 0.3, 0.35), (0.25, 0.3, 0.5), (0.4, 0.4, 0.4)])
def test_the_same_colour_by_two_matrices_looks_the_same(tmp_path: Path, colour, transfer: int) -> None:
    """R'G'B' in ICtCp, forwards as BT.2100 has it, and as Y'CbCr of BT.2020."""
    signal = np.array(colour)
    luma = float(signal @ [0.2627, 0.6780, 0.0593])
    plain = in_sixteen_bits(luma, (signal[2] - luma) / 1.8814, (signal[0] - luma) / 1.4746, 1)
    light = pq_to_nits(signal) if transfer == 16 else hlg_to_scene(signal)
    cones = np.array([[1688, 2146, 262], [683, 2951, 462], [99, 309, 3688]]) @ light / 4096
    if transfer == 16:
        excited = nits_to_pq(cones)
        mixed = np.array([[2048, 2048, 0], [6610, -13613, 7003], [17933, -17390, -543]]) @ excited / 4096
    else:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        excited = np.where(
            cones <= 1 / 12, np.sqrt(3 * cones), a * np.log(np.maximum(12 * cones - b, 1e-9)) + c
        )
        mixed = np.array([[2048, 2048, 0], [3625, -7465, 3840], [9500, -9212, -288]]) @ excited / 4096
    tags = {"color_trc": transfer, "color_primaries": 9}
    one = first_frame(write_planes(tmp_path / "a.mkv", plain, 9, 1, **tags))
    other = first_frame(write_planes(tmp_path / "b.mkv", in_sixteen_bits(*mixed, 1), 14, 1, **tags))
    for shown, wanted in zip(seen_by_all(other, 64), seen_by_all(one, 64), strict=True):
        assert np.abs(shown[32, 32].astype(int) - wanted[32, 32]).max() <= 5


# Alpha


def half_transparent(width: int = 96, height: int = 64) -> np.ndarray:
    """Red, its right half fully transparent: uint8 (H, W, 4)."""
    picture = np.zeros((height, width, 4), np.uint8)
    picture[:, :, 0] = 255
    picture[:, : width // 2, 3] = 255
    return picture


def write_rgba(path: Path, codec: str, pixel_format: str) -> Path:
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 64, pixel_format
        if codec == "libvpx":
            stream.codec_context.options = {"auto-alt-ref": "0"}  # else it refuses alpha
        for number in range(12):
            picture = av.VideoFrame.from_ndarray(half_transparent(), "rgba").reformat(format=pixel_format)
            picture.pts, picture.time_base = number, Fraction(1, 10)
            output.mux(stream.encode(picture))
        output.mux(stream.encode(None))
    return path


def assert_over_black(shown: np.ndarray) -> None:
    height, width = shown.shape[:2]
    assert shown[height // 2, width // 5, 0] > 240 and shown[height // 2, width // 5, 1:].max() < 12
    assert shown[height // 2, width * 4 // 5].max() < 12


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("a.mov", "prores_ks", "yuva444p10le"),
        ("a.mov", "qtrle", "argb"),
        ("a.mkv", "ffv1", "yuva420p"),
        ("a.mkv", "ffv1", "bgra"),
        ("a.webm", "libvpx-vp9", "yuva420p"),
        ("b.webm", "libvpx", "yuva420p"),
    ],
)
def test_what_is_transparent_is_black(tmp_path: Path, name: str, codec: str, pixel_format: str) -> None:
    path = write_rgba(tmp_path / name, codec, pixel_format)
    with VideoDecoder(str(path)) as decoder:
        frames = list(decoder.frames())
        assert [round(frame.pts_seconds * 10) for frame in frames] == list(range(12))
        for shown in seen_by_all(frames[5], 64):
            assert_over_black(shown)
        decoder.seek(0.6)
        assert_over_black(next(decoder.frames()).rgb(64))


def test_key_frames_of_video_with_alpha_beside_it(tmp_path: Path) -> None:
    path = write_rgba(tmp_path / "a.webm", "libvpx-vp9", "yuva420p")
    with av.open(str(path)) as opened:
        keys = [packet.pts for packet in opened.demux(video=0) if packet.size and packet.is_keyframe]
    with VideoDecoder(str(path)) as decoder:
        assert [round(frame.pts_seconds * 1000) for frame in decoder.frames("nonkey")] == keys


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.gif", "a.tiff", "a.avif", "palette.png", "grey.png"])
def test_transparent_pictures_lie_over_black(tmp_path: Path, name: str) -> None:
    from PIL import Image

    picture = Image.fromarray(half_transparent())
    if name == "palette.png":
        picture = picture.quantize(16)
    elif name == "grey.png":
        picture = Image.fromarray(half_transparent()[:, :, [0, 3]])
    picture.save(tmp_path / name)
    shown = decode_picture(str(tmp_path / name)).rgb(64)
    if name == "grey.png":
        assert shown[32, 20].min() > 240 and shown[32, 80].max() < 12
    else:
        assert_over_black(shown)


def test_an_hdr_picture_is_a_query_like_its_sdr_copy(tmp_path: Path, offline_encoder: Encoder) -> None:
    picture = cv2.resize(astronaut(), (320, 240), interpolation=cv2.INTER_AREA)
    path = write_signal(
        tmp_path / "hdr.avif", [signal_of(light_of(picture), PQ)], transfer=PQ, codec="libsvtav1"
    )
    shown = decode_picture(str(path)).rgb(240)
    assert np.abs(shown.astype(int) - picture).mean() < 6
    pair = FrameBatch(np.stack([shown, picture]), np.array([0.0, 1.0]))
    one, other = offline_encoder.encode_frames(pair)
    assert float(one @ other / np.linalg.norm(one) / np.linalg.norm(other)) >= 0.95


def test_plain_footage_is_not_touched(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving(3))
    frame = first_frame(path)
    assert frame.compact(144).picture is frame.picture

"""The colours of a decoded picture: what its tags mean, and its pixels as BT.709 in 8 bit.

Like `indexer.video.pictures.frame`, this takes the engine's pictures and reformatters by their attributes.
"""

from __future__ import annotations

import functools
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexer.video.pictures.matrices import Unmix, unmixer
from indexer.video.pictures.tone import is_hdr, needs_mapping, to_sdr

AREA, BICUBIC, ACCURATE_ROUNDING = 0x20, 0x4, 0x40000  # swscale's flags
LIMITED, FULL = 1, 2
BT709, BT601, BT2020 = 1, 5, 9  # swscale's colour matrices; AVFrame.colorspace uses the same
_MATRICES = {1: BT709, 4: 4, 5: BT601, 6: BT601, 7: 7, 9: BT2020}
_MATRICES_OF_THE_SCALER = frozenset({*_MATRICES, 0, 2})


def matrix_of(picture: Any) -> int:
    """The colour matrix: as tagged, else as players assume: BT.2020 of HDR, BT.709 of HD, BT.601 below."""
    tagged = _MATRICES.get(int(picture.colorspace))
    if tagged is not None:
        return tagged
    if is_hdr(transfer_of(picture)):
        return BT2020
    return BT709 if picture.width >= 1280 or picture.height > 576 else BT601


def unmixer_of(picture: Any) -> Unmix | None:
    """The matrix that makes R'G'B' of its samples where the scaler cannot; None for all usual pictures."""
    matrix = int(picture.colorspace)
    if matrix in _MATRICES_OF_THE_SCALER or picture.format.is_rgb or picture.format.has_palette:
        return None
    return unmixer(matrix, transfer_of(picture))


def transfer_of(picture: Any) -> int:
    """The transfer characteristic by H.273; 2 where nothing is said."""
    return int(picture.color_trc)


def is_full_range(picture: Any) -> bool:
    """Returns whether luma runs from 0 to 255 rather than from 16 to 235."""
    tagged, pixel_format = int(picture.color_range), picture.format
    if pixel_format.is_rgb or pixel_format.has_palette or pixel_format.name.startswith("yuvj"):
        return True
    return tagged == FULL or (tagged != LIMITED and pixel_format.name.startswith("gray"))


def is_plain(picture: Any) -> bool:
    """Returns whether the samples are what is to be seen: opaque, of standard range and gamut."""
    return not (_has_alpha(picture.format) or _is_mapped(picture) or unmixer_of(picture))


def pixels(picture: Any, reformatter: Any, width: int, height: int, interpolation: int) -> NDArray[np.uint8]:
    """The picture at a size, as it is to be seen: opaque over black, BT.709.

    Args:
        picture: The engine's.
        reformatter: The engine's.
        width, height: In stored pixels.
        interpolation: One of swscale's.

    Returns:
        uint8 (height, width, 3), RGB.
    """
    alpha, deep = _has_alpha(picture.format), _is_mapped(picture)
    unmix = unmixer_of(picture)
    if unmix is not None:
        signal = _unmixed(picture, reformatter, width, height, interpolation, unmix)
        if deep:
            return to_sdr(signal, transfer_of(picture), int(picture.color_primaries))
        return np.rint(signal / 257.0).astype(np.uint8)
    scaled = reformatter.reformat(
        picture,
        width=width,
        height=height,
        format=("rgba64le" if alpha else "rgb48le") if deep else ("rgba" if alpha else "rgb24"),
        src_colorspace=matrix_of(picture),
        src_color_range=FULL if is_full_range(picture) else LIMITED,
        dst_color_range=FULL,
        interpolation=interpolation,
        threads=1,
    ).to_ndarray()
    colour = scaled[:, :, :3]
    if deep:
        colour = to_sdr(np.ascontiguousarray(colour), transfer_of(picture), int(picture.color_primaries))
    if not alpha:
        return colour
    opacity = scaled[:, :, 3].astype(np.float32) * np.float32(1.0 / np.iinfo(scaled.dtype).max)
    return np.rint(colour * opacity[:, :, None]).astype(np.uint8)


def _unmixed(
    picture: Any, reformatter: Any, width: int, height: int, interpolation: int, unmix: Unmix
) -> NDArray[np.uint16]:
    """R'G'B' in full range, uint16 (H, W, 3); alpha, which no such codec here has, is left out."""
    colour_range = FULL if is_full_range(picture) else LIMITED
    scaled = reformatter.reformat(
        picture,
        width=width,
        height=height,
        format="yuv444p16le",
        src_colorspace=BT709,  # to the same: nothing but the size and the depth changes
        dst_colorspace=BT709,
        src_color_range=colour_range,
        dst_color_range=colour_range,
        interpolation=interpolation,
        threads=1,
    )
    planes = scaled.to_ndarray(channel_last=True).astype(np.float64) / 256.0
    if colour_range == FULL:
        planes = (planes - (0.0, 128.0, 128.0)) / (65535 / 256)
    else:
        planes = (planes - (16.0, 128.0, 128.0)) / (219.0, 224.0, 224.0)
    return np.rint(np.clip(unmix(planes), 0.0, 1.0) * 65535.0).astype(np.uint16)


def as_plain(picture: Any, reformatter: Any, width: int, height: int, interpolation: int) -> Any:
    """The engine's picture at a size in 8-bit RGB, as `pixels` has it."""
    made = type(picture).from_ndarray(pixels(picture, reformatter, width, height, interpolation), "rgb24")
    made.pts, made.time_base = picture.pts, picture.time_base
    return made


def over_black(picture: Any, matte: Any, reformatter: Any) -> Any:
    """A picture in 8-bit RGB as its alpha, a grey picture of the same size, lets it be seen."""
    size = picture.width, picture.height
    colour = pixels(picture, reformatter, *size, BICUBIC)
    opacity = pixels(matte, reformatter, *size, BICUBIC)[:, :, :1].astype(np.float32) / np.float32(255.0)
    made = type(picture).from_ndarray(np.rint(colour * opacity).astype(np.uint8), "rgb24")
    made.pts, made.time_base = picture.pts, picture.time_base
    return made


def is_planar_yuv(pixel_format: Any) -> bool:
    """Returns whether plane 0 is luma by itself, in 8 to 16 little-endian bits."""
    name = pixel_format.name
    if name.startswith("gray"):
        return "f" not in name and not pixel_format.is_big_endian
    return (
        name.startswith(("yuv4", "yuvj4", "yuva4"))
        and pixel_format.is_planar
        and not pixel_format.is_big_endian
    )


def bits_of(picture: Any) -> int:
    """Bits of a sample, read off the format's name: "yuv420p10le" has 10, "yuv420p" 8."""
    return _bits_of(picture.format.name)


@functools.cache
def _bits_of(format_name: str) -> int:
    found = re.search(r"(?:p|gray)(\d+)le$", format_name)
    return int(found[1]) if found else 8


def _is_mapped(picture: Any) -> bool:
    return needs_mapping(transfer_of(picture), int(picture.color_primaries))


_ALPHA: dict[str, bool] = {}


def _has_alpha(pixel_format: Any) -> bool:
    name = pixel_format.name
    found = _ALPHA.get(name)
    if found is None:
        found = pixel_format.has_palette or any(one.is_alpha for one in pixel_format.components)
        _ALPHA[name] = found
    return found

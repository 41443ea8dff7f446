"""One decoded frame: its time, and cheap or upright pixels of it.

Nothing here imports `av`: frames and reformatters come from `indexer.video.engine` and are used by their
attributes, so that the engine stays behind one file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from indexer.video.pictures.colours import (
    ACCURATE_ROUNDING,
    AREA,
    BICUBIC,
    BT709,
    FULL,
    LIMITED,
    as_plain,
    bits_of,
    is_full_range,
    is_plain,
    is_planar_yuv,
    matrix_of,
    pixels,
)
from indexer.video.pictures.orientation import Orientation

_THUMBNAIL_SIDE = 96


@dataclass(frozen=True, slots=True)
class Crop:
    """The edges to cut off an upright picture, as fractions of its width and height (0..1)."""

    left: float = 0.0
    top: float = 0.0
    right: float = 0.0
    bottom: float = 0.0

    def __bool__(self) -> bool:
        return max(self.left, self.top, self.right, self.bottom) > 0


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A few thousand samples of a frame, as stored (not turned upright).

    Attributes:
        luma: uint8 (h, w), long side about 96.
        chroma: uint8 (2, h', w'): Cb and Cr, neutral at 128.
    """

    luma: NDArray[np.uint8]
    chroma: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class PictureGeometry:
    """The geometry by which stored pictures of one stream become upright ones of square pixels.

    Attributes:
        pixel_aspect: Width of a stored pixel over its height.
        orientation: What turns the stored picture upright.
        new_reformatter: Makes an engine's scaler.
        reformatters: One scaler per purpose, since each holds the set-up of its last use.
    """

    pixel_aspect: float
    orientation: Orientation
    new_reformatter: Callable[[], Any]
    reformatters: dict[str, Any]

    def reformatter(self, purpose: str) -> Any:
        found = self.reformatters.get(purpose)
        if found is None:
            found = self.reformatters[purpose] = self.new_reformatter()
        return found

    def display_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after pixel aspect and rotation."""
        wide = max(1, round(width * self.pixel_aspect))
        return (height, wide) if self.orientation.transpose else (wide, height)


class Fields:
    """The neighbours of a picture, and what deinterlaces it where it is interlaced.

    The pictures after it are decoded ahead of their turn only where they are asked for too soon.

    Args:
        before: The engine's pictures before, the nearest first.
        look_ahead: Gives as many of those after it as are asked for and there.
        deinterlace: Makes a progressive picture out of a picture, those before and those after.
    """

    __slots__ = ("_after", "_before", "_deinterlace", "_look_ahead")

    def __init__(
        self,
        before: Sequence[Any],
        look_ahead: Callable[[int], Sequence[Any]] | None,
        deinterlace: Callable[[Any, Sequence[Any], Sequence[Any]], Any],
    ) -> None:
        self._before, self._look_ahead = before, look_ahead
        self._after: Sequence[Any] = ()
        self._deinterlace = deinterlace

    @property
    def are_known(self) -> bool:
        """Returns whether there is enough around the picture to tell whether it is interlaced."""
        self.settle()
        return len(self._before) + len(self._after) > 1

    def settle(self) -> None:
        """Looks ahead for the last time: the picture after it is about to have its turn."""
        if self._look_ahead is not None:
            # The first one has nothing before it to go by.
            self._after = self._look_ahead(1 if self._before else 2)
            self._look_ahead = None

    def progressive(self, picture: Any) -> Any:
        """The engine's picture without combs."""
        self.settle()
        return self._deinterlace(picture, self._before, self._after)


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """One frame in presentation order.

    Attributes:
        pts_seconds: When it is shown.
        duration_seconds: For how long, where the container says so.
        is_key: Whether it can be decoded by itself.
        picture: The engine's frame.
        geometry: Shared by all frames of a stream.
        fields: None where the picture is progressive for sure.
    """

    pts_seconds: float
    duration_seconds: float | None
    is_key: bool
    picture: Any
    geometry: PictureGeometry
    fields: Fields | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Upright width and height in square pixels."""
        return self.geometry.display_size(self.picture.width, self.picture.height)

    @property
    def is_full_range(self) -> bool:
        """Returns whether luma runs from 0 to 255 rather than from 16 to 235."""
        return is_full_range(self.picture)

    def progressive(self) -> DecodedFrame:
        """The frame without combs and by itself, so that it may be kept without its neighbours."""
        if self.fields is None:
            return self
        return replace(self, picture=self.fields.progressive(self.picture), fields=None)

    def thumbnail(self) -> Thumbnail:
        """Samples for shot detection, taken without a conversion where the format allows."""
        picture = self.picture
        if not is_planar_yuv(picture.format):
            scale = min(1.0, _THUMBNAIL_SIDE / max(picture.width, picture.height))
            picture = self.geometry.reformatter("thumbnail").reformat(
                picture,
                width=max(1, round(picture.width * scale)),
                height=max(1, round(picture.height * scale)),
                format="yuv444p",
                interpolation=AREA,
                threads=1,
            )
        planes, bits = picture.planes, bits_of(picture)
        luma: NDArray[Any] = _samples(planes[0], bits, 2 * _THUMBNAIL_SIDE)
        if min(luma.shape) >= 4 and max(luma.shape) > _THUMBNAIL_SIDE:
            height, width = luma.shape
            luma = cv2.resize(luma, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        if len(planes) < 3:
            return Thumbnail(luma, np.full((2, 1, 1), 128, np.uint8))
        chroma = [_samples(plane, bits, _THUMBNAIL_SIDE // 2) for plane in planes[1:3]]
        return Thumbnail(luma, np.stack(chroma))

    def luma(self) -> NDArray[np.uint8]:
        """The luma plane, uint8 (H, W), upright, of stored pixels. Needs a `compact` frame."""
        return self.geometry.orientation.apply(_samples(self.picture.planes[0], bits_of(self.picture), None))

    def compact(self, short_side: int) -> DecodedFrame:
        """The frame in 8-bit planar YUV and no larger than needed, to be kept for a while.

        Args:
            short_side: Pictures up to this size will be asked of it.
        """
        if self.fields is not None:
            return self.progressive().compact(short_side)
        picture = self.picture
        wide, high = picture.width * self.geometry.pixel_aspect, picture.height
        scale = short_side / min(wide, high)
        if scale > 0.8:  # scaling by so little would cost sharpness and save nothing
            if is_plain(picture) and is_planar_yuv(picture.format) and bits_of(picture) == 8:
                return self
            width, height, geometry = picture.width, picture.height, self.geometry
        else:
            width, height = max(2, round(wide * scale)), max(2, round(high * scale))
            geometry = replace(self.geometry, pixel_aspect=1.0)
        picture, matrix = self._plain(width, height), matrix_of(picture)
        small = self.geometry.reformatter("compact").reformat(
            picture,
            width=width,
            height=height,
            format="yuv420p",
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=FULL if is_full_range(picture) else LIMITED,
            dst_color_range=LIMITED,
            interpolation=AREA,
            threads=1,
        )
        small.colorspace = matrix
        small.color_range = LIMITED
        return replace(self, picture=small, geometry=geometry)

    def planar(self, width: int, height: int) -> Any:
        """The engine's picture as an encoder takes it: 8-bit 4:2:0, BT.709, limited range, not turned.

        Args:
            width, height: Of the stored picture, in pixels; pixel aspect is up to the caller.
        """
        picture = self.progressive()._plain(width, height)
        matrix = matrix_of(picture)
        shrinks = width < picture.width or height < picture.height
        how = (AREA if shrinks else BICUBIC) | (0 if matrix == BT709 else ACCURATE_ROUNDING)
        scaled = self.geometry.reformatter("planar").reformat(
            picture,
            width=width,
            height=height,
            format="yuv420p",
            src_colorspace=matrix,
            dst_colorspace=BT709,
            src_color_range=FULL if is_full_range(picture) else LIMITED,
            dst_color_range=LIMITED,
            interpolation=how,
            threads=1,
        )
        scaled.colorspace = BT709
        scaled.color_range = LIMITED
        return scaled

    def _plain(self, width: int, height: int) -> Any:
        """The picture itself where its samples are what is to be seen, else made so at a size."""
        picture = self.picture
        if is_plain(picture):
            return picture
        shrinks = width < picture.width or height < picture.height
        reformatter = self.geometry.reformatter(f"plain{width}x{height}")
        return as_plain(picture, reformatter, width, height, AREA if shrinks else BICUBIC)

    def rgb(self, short_side: int, crop: Crop | None = None) -> NDArray[np.uint8]:
        """The frame as a picture: upright, square pixels, opaque over black, BT.709 whatever the source has.

        Args:
            short_side: Pixels that the short side (after the crop) is scaled down to. A smaller
                source is not scaled up.
            crop: What to cut off first.

        Returns:
            uint8 (H, W, 3), RGB, min(H, W) == short_side unless the source is smaller.
        """
        crop = crop or Crop()
        picture = self.progressive().picture
        wide, high = self.size
        kept = wide * (1 - crop.left - crop.right), high * (1 - crop.top - crop.bottom)
        scale = min(1.0, short_side / min(kept))
        size = max(1, round(wide * scale)), max(1, round(high * scale))
        width, height = size[::-1] if self.geometry.orientation.transpose else size
        shown = pixels(
            picture,
            self.geometry.reformatter(f"rgb{short_side}"),
            width,
            height,
            AREA if width < picture.width or height < picture.height else BICUBIC,
        )
        upright = self.geometry.orientation.apply(shown)
        if not crop:
            return upright
        out_width, out_height = (max(1, round(side * scale)) for side in kept)
        left = min(round(crop.left * wide * scale), upright.shape[1] - out_width)
        top = min(round(crop.top * high * scale), upright.shape[0] - out_height)
        return np.ascontiguousarray(upright[top : top + out_height, left : left + out_width])


def _samples(plane: Any, bits: int, side: int | None) -> NDArray[np.uint8]:
    """Every n-th value of one plane, uint8 (h, w), long side about `side` (None: all of it)."""
    dtype = np.dtype(np.uint8 if bits == 8 else np.uint16)
    stride = abs(plane.line_size) // dtype.itemsize
    rows = np.frombuffer(plane, dtype).reshape(plane.height, stride)[:, : plane.width]
    if plane.line_size < 0:
        rows = rows[::-1]
    if side is not None:
        step = max(1, max(rows.shape) // side)
        if min(rows.shape) > step // 2:
            rows = rows[step // 2 :: step, step // 2 :: step]
        else:  # of a sliver, thinner than a step, the middle
            rows = rows[min(step, len(rows)) // 2 :: step, min(step, rows.shape[1]) // 2 :: step]
    return rows if bits == 8 else (rows >> (bits - 8)).astype(np.uint8)

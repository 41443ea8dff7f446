"""Luma and colour differences to R'G'B' where FFmpeg's scaler knows no way: YCgCo, ICtCp, constant luminance.

The scaler takes such pictures for BT.601. Matrices are numbered as ITU-T H.273 and FFmpeg number them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from indexer.video.pictures.tone import HLG, PQ, hlg_to_scene, nits_to_pq, pq_to_nits, scene_to_hlg

YCGCO, BT2020_CONSTANT, ICTCP = 8, 10, 14
_RED, _BLUE = 0.2627, 0.0593  # BT.2020: what they have of luminance

Planes = NDArray[np.float64]
Unmix = Callable[[Planes], Planes]


def unmixer(matrix: int, transfer: int) -> Unmix | None:
    """The function from luma (0..1) and colour differences (-0.5..0.5) to R'G'B' (0..1), float64 (H, W, 3).

    Args:
        matrix: By H.273.
        transfer: By H.273; ICtCp is defined for PQ and HLG alone.

    Returns:
        None for a matrix that is not one of these.
    """
    if matrix == YCGCO:
        return _from_ycgco
    if matrix == BT2020_CONSTANT:
        return _from_constant_luminance
    if matrix == ICTCP and transfer in (PQ, HLG):
        return functools.partial(_from_ictcp, transfer=transfer)
    return None


def _from_ycgco(planes: Planes) -> Planes:
    luma, green, orange = np.moveaxis(planes, -1, 0)
    rest = luma - green
    return np.stack([rest + orange, luma + green, rest - orange], axis=-1)


def _from_constant_luminance(planes: Planes) -> Planes:
    """BT.2020, table 4: colour differences have a scale for each sign, and green is made up for in light."""
    luma, first, second = np.moveaxis(planes, -1, 0)
    blue = luma + first * np.where(first < 0, 2 * 0.9702, 2 * 0.7910)
    red = luma + second * np.where(second < 0, 2 * 0.8591, 2 * 0.4969)
    light = _to_light(luma) - _RED * _to_light(red) - _BLUE * _to_light(blue)
    return np.stack([red, _from_light(light / (1 - _RED - _BLUE)), blue], axis=-1)


def _to_light(signal: Planes) -> Planes:
    """The inverse of BT.2020's OETF."""
    signal = np.clip(signal, 0.0, 1.0)
    return np.where(signal < 4.5 * 0.0181, signal / 4.5, ((signal + 0.0993) / 1.0993) ** (1 / 0.45))


def _from_light(light: Planes) -> Planes:
    light = np.clip(light, 0.0, 1.0)
    return np.where(light < 0.0181, 4.5 * light, 1.0993 * light**0.45 - 0.0993)


# BT.2100, table 7: light of BT.2020's primaries to that of the eye's cones, and their signals to ICtCp.
_TO_CONES = np.array([[1688, 2146, 262], [683, 2951, 462], [99, 309, 3688]]) / 4096
_TO_ICTCP = {
    PQ: np.array([[2048, 2048, 0], [6610, -13613, 7003], [17933, -17390, -543]]) / 4096,
    HLG: np.array([[2048, 2048, 0], [3625, -7465, 3840], [9500, -9212, -288]]) / 4096,
}


def _from_ictcp(planes: Planes, transfer: int) -> Planes:
    signal = planes @ np.linalg.inv(_TO_ICTCP[transfer]).T
    to_light, from_light = (pq_to_nits, nits_to_pq) if transfer == PQ else (hlg_to_scene, scene_to_hlg)
    light = to_light(np.clip(signal, 0.0, 1.0)) @ np.linalg.inv(_TO_CONES).T
    return from_light(light)

"""High dynamic range and wide gamut to what every screen and encoder here takes: BT.709, 8 bit.

A signal becomes light (ST 2084 for PQ; BT.2100 for HLG, as a screen of 1000 cd/m2 shows it), light becomes
multiples of reference white (203 cd/m2, BT.2408), what is brighter is brought below it by the EETF of
BT.2390, colours become those of BT.709, and light becomes a signal again by BT.1886. How bright the brightest
is, is taken from the picture itself: a picture without anything above reference white is left as it is, so
that the HDR copy of an SDR picture equals it, whatever its header promises.
"""

from __future__ import annotations

import functools
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

PQ, HLG = 16, 18  # transfer characteristics as ITU-T H.273 numbers them, and so FFmpeg

_WHITE_NITS = 203.0  # BT.2408: HDR reference white
_HLG_PEAK_NITS, _HLG_GAMMA = 1000.0, 1.2  # BT.2100, table 5
_DISPLAY_GAMMA = 2.4  # BT.1886
_PEAK_PERCENTILE = 99.9  # a handful of pixels is glitter or noise
_PEAK_SAMPLES = 50_000
_STEPS = 4096

_D65 = (0.3127, 0.3290)
_BT709_PRIMARIES = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
_BT2020_PRIMARIES = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
_P3_PRIMARIES = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060))
_UNSPECIFIED = 2
_WIDE = {9: _BT2020_PRIMARIES, 11: _P3_PRIMARIES, 12: _P3_PRIMARIES}  # by H.273's numbers

Light = NDArray[np.float32]


def is_hdr(transfer: int) -> bool:
    """Returns whether a transfer characteristic (H.273) is one of high dynamic range."""
    return transfer in (PQ, HLG)


def needs_mapping(transfer: int, primaries: int) -> bool:
    """Returns whether pictures with these tags (H.273) look wrong when they are taken for BT.709."""
    return is_hdr(transfer) or primaries in _WIDE


def to_sdr(signal: NDArray[np.uint16], transfer: int, primaries: int) -> NDArray[np.uint8]:
    """A picture as BT.709 in 8 bit.

    Args:
        signal: uint16 (H, W, 3), R'G'B' in full range.
        transfer: By H.273: 16 and 18 are PQ and HLG, all others count as BT.1886.
        primaries: By H.273. Of HDR without a word about it, BT.2020.

    Returns:
        uint8 (H, W, 3), R'G'B'.
    """
    light = cv2.merge([_light_of(transfer)[plane] for plane in cv2.split(signal)])
    if transfer == HLG:
        # The OOTF of BT.2100: light of the screen out of light of the scene.
        scene = cv2.transform(light, _luminance_row())
        light *= (_HLG_PEAK_NITS / _WHITE_NITS) * cv2.pow(scene, _HLG_GAMMA - 1.0)[:, :, None]
    if is_hdr(transfer):
        light = _below_white(light)
    if is_hdr(transfer) and primaries == _UNSPECIFIED:
        primaries = 9
    if primaries in _WIDE:
        light = cv2.transform(light, _to_bt709(primaries))
    steps = cv2.sqrt(np.clip(light, 0.0, 1.0)) * np.float32(_STEPS - 1) + np.float32(0.5)
    return _signal_of_root()[steps.astype(np.uint16)]


def pq_to_nits(signal: Any) -> NDArray[np.float64]:
    """The EOTF of SMPTE ST 2084: signal 0..1 to cd/m2."""
    m1, m2, c1, c2, c3 = _pq_constants()
    power = np.power(np.clip(signal, 0.0, 1.0), 1 / m2)
    return np.asarray(10_000.0 * np.power(np.maximum(power - c1, 0.0) / (c2 - c3 * power), 1 / m1))


def nits_to_pq(nits: Any) -> NDArray[np.float64]:
    """The inverse of `pq_to_nits`."""
    m1, m2, c1, c2, c3 = _pq_constants()
    power = np.power(np.clip(nits, 0.0, 10_000.0) / 10_000.0, m1)
    return np.asarray(np.power((c1 + c2 * power) / (1 + c3 * power), m2))


_HLG = (0.17883277, 0.28466892, 0.55991073)  # a, b and c of BT.2100


def hlg_to_scene(signal: Any) -> NDArray[np.float64]:
    """The inverse OETF of BT.2100 for HLG: signal 0..1 to light of the scene 0..1."""
    a, b, c = _HLG
    value = np.asarray(signal, np.float64)
    return np.where(value <= 0.5, value**2 / 3.0, (np.exp((value - c) / a) + b) / 12.0)


def scene_to_hlg(light: Any) -> NDArray[np.float64]:
    """The inverse of `hlg_to_scene`."""
    a, b, c = _HLG
    value = np.clip(np.asarray(light, np.float64), 0.0, 1.0)
    return np.where(value <= 1 / 12, np.sqrt(3.0 * value), a * np.log(np.maximum(12.0 * value - b, 1e-9)) + c)


def compress(nits: Any, peak_nits: float, target_nits: float = _WHITE_NITS) -> NDArray[np.float64]:
    """The EETF of BT.2390 (section 5.4.1, black at 0): light of a bright screen for one less bright.

    In PQ, up to a knee nothing changes; above it a Hermite spline runs to the target's peak.

    Args:
        nits: In cd/m2.
        peak_nits: The brightest that occurs; what is brighter is cut.
        target_nits: What it becomes.
    """
    signal = nits_to_pq(nits)
    if peak_nits <= target_nits:
        return np.minimum(pq_to_nits(signal), target_nits)
    whole = float(nits_to_pq(peak_nits))
    e1 = np.minimum(signal / whole, 1.0)
    highest = float(nits_to_pq(target_nits)) / whole
    knee = 1.5 * highest - 0.5
    t = np.maximum(e1 - knee, 0.0) / (1.0 - knee)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1.0 - knee)
        + (-2 * t**3 + 3 * t**2) * highest
    )
    return pq_to_nits(np.where(e1 < knee, e1, spline) * whole)


def _below_white(light: Light) -> Light:
    """Light, 1.0 being reference white, by BT.2390 where any is brighter; all three colours by one factor.

    The factor is that of the strongest of the three, which keeps the hue and lets none of them be cut.
    """
    red, green, blue = cv2.split(light)
    strongest = cv2.max(cv2.max(red, green), blue)
    step = max(1, strongest.size // _PEAK_SAMPLES)
    peak = float(np.percentile(strongest.ravel()[::step], _PEAK_PERCENTILE))
    if peak <= 1.0:
        return light
    roots = np.linspace(0.0, 1.0, _STEPS) ** 2 * peak
    factors = np.ones(_STEPS, np.float32)
    factors[1:] = compress(roots[1:] * _WHITE_NITS, peak * _WHITE_NITS) / (roots[1:] * _WHITE_NITS)
    steps = cv2.sqrt(np.minimum(strongest, peak) * np.float32(1.0 / peak)) * np.float32(_STEPS - 1)
    factor = factors[(steps + np.float32(0.5)).astype(np.uint16)]
    return light * factor[:, :, None]


def _pq_constants() -> tuple[float, float, float, float, float]:
    return 2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32


@functools.cache
def _light_of(transfer: int) -> Light:
    """Light for each of 65,536 values of the signal; 1.0 is reference white (HLG: the scene's peak)."""
    signal = np.linspace(0.0, 1.0, 1 << 16)
    if transfer == PQ:
        return (pq_to_nits(signal) / _WHITE_NITS).astype(np.float32)
    if transfer == HLG:
        return hlg_to_scene(signal).astype(np.float32)
    return (signal**_DISPLAY_GAMMA).astype(np.float32)


@functools.cache
def _signal_of_root() -> NDArray[np.uint8]:
    """The signal in 8 bit for the square root of light, which is even enough to be counted in steps."""
    roots = np.linspace(0.0, 1.0, _STEPS)
    return np.rint(255.0 * roots ** (2.0 / _DISPLAY_GAMMA)).astype(np.uint8)


@functools.cache
def _to_bt709(primaries: int) -> Light:
    """float32 (3, 3): linear light of some primaries to that of BT.709."""
    return (np.linalg.inv(_to_xyz(_BT709_PRIMARIES)) @ _to_xyz(_WIDE[primaries])).astype(np.float32)


@functools.cache
def _luminance_row() -> Light:
    return _to_xyz(_BT2020_PRIMARIES)[1:2].astype(np.float32)


def _to_xyz(primaries: tuple[tuple[float, float], ...]) -> NDArray[np.float64]:
    """Linear RGB to CIE XYZ, white being D65 of Y = 1 (SMPTE RP 177)."""

    def xyz(x: float, y: float) -> list[float]:
        return [x / y, 1.0, (1.0 - x - y) / y]

    columns = np.array([xyz(*one) for one in primaries]).T
    return np.asarray(columns * np.linalg.solve(columns, np.array(xyz(*_D65))))

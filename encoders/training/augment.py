"""Clips as networks take them: cut, mirrored, recoloured, normalised; all frames of a clip alike.

Every choice comes from a generator that the caller seeds, so a run that goes on after a stop sees what
it would have seen.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional

from encoders.models.base import MEAN, STD
from encoders.training.options import TrainingOptions

MAX_FLOW = 20.0  # pixels; beyond, displacements say no more (Simonyan and Zisserman 2014)
ASPECTS = (3 / 4, 4 / 3)
Place = tuple[int, int, int, int]  # top, left, height, width


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Settings of the random changes to training clips.

    Attributes:
        size: Of the crop in pixels.
        crop_scale: The smallest share of the area that is cut out.
        flip: Whether half of the clips are mirrored.
        jitter: Strength of changes of colour, 0..1.
    """

    size: int
    crop_scale: float
    flip: bool
    jitter: float

    @classmethod
    def of(cls, options: TrainingOptions, size: int, labels: Sequence[str]) -> Augmentation:
        """Settings from the options; labels of left or right forbid mirroring unless it is asked for."""
        flip = not speaks_of_sides(labels) if options.flip is None else options.flip
        return cls(size, options.crop_scale, flip, options.jitter)

    def __call__(
        self, frames: NDArray[np.uint8], flow: NDArray[np.float32] | None, generator: torch.Generator
    ) -> tuple[Tensor, Tensor | None]:
        """One clip.

        Args:
            frames: uint8 (T, H, W, 3) RGB.
            flow: float32 (T-1, H, W, 2), x and y in pixels from one frame to the next, or None.
            generator: Of all choices.

        Returns:
            float32 (3, T, size, size), normalised, and float32 (2, T-1, size, size), -1..1, or None.
        """
        top, left, height, width = self._place(frames.shape[1], frames.shape[2], generator)
        is_mirrored = self.flip and _random(generator) < 0.5
        clip = _resized(
            torch.from_numpy(np.array(frames)).permute(0, 3, 1, 2), top, left, height, width, self.size
        )
        if is_mirrored:
            clip = clip.flip(-1)
        clip = self._recoloured(clip, generator)
        return normalised(clip), self._moved(flow, (top, left, height, width), is_mirrored)

    def _place(self, height: int, width: int, generator: torch.Generator) -> Place:
        """Draws a random crop (Szegedy et al. 2015, arXiv:1409.4842): top, left, height, width."""
        for _ in range(10):
            area = height * width * _random(generator, self.crop_scale, 1.0)
            aspect = math.exp(_random(generator, math.log(ASPECTS[0]), math.log(ASPECTS[1])))
            w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < w <= width and 0 < h <= height:
                top, left = (int(_random(generator) * (spare + 1)) for spare in (height - h, width - w))
                return top, left, h, w
        side = min(height, width)
        return (height - side) // 2, (width - side) // 2, side, side

    def _recoloured(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        if not self.jitter:
            return clip
        factors = [_random(generator, 1 - self.jitter, 1 + self.jitter) for _ in range(3)]
        clip = functional.adjust_brightness(clip, factors[0])
        clip = functional.adjust_contrast(clip, factors[1])
        return functional.adjust_saturation(clip, factors[2])

    def _moved(self, flow: NDArray[np.float32] | None, place: Place, is_mirrored: bool) -> Tensor | None:
        if flow is None:
            return None
        moved = prepared_flow(flow, place, self.size)
        if is_mirrored:
            moved = moved.flip(-1) * torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1)
        return moved


def prepare_evaluation_clips(
    frames: NDArray[np.uint8], flow: NDArray[np.float32] | None, size: int, crops: int = 1
) -> list[tuple[Tensor, Tensor | None]]:
    """One clip as it is evaluated, its centre or its start, centre and end; shapes as of `Augmentation`."""
    height, width = frames.shape[1:3]
    side, spare = min(height, width), abs(height - width)
    starts = (spare // 2,) if crops == 1 else (0, spare // 2, spare)
    views = []
    for start in starts:
        place: Place = (start, 0, side, side) if height > width else (0, start, side, side)
        clip = _resized(torch.from_numpy(np.array(frames)).permute(0, 3, 1, 2), *place, size)
        views.append((normalised(clip), None if flow is None else prepared_flow(flow, place, size)))
    return views


def normalised(clip: Tensor) -> Tensor:
    """uint8 (T, 3, H, W) -> float32 (3, T, H, W) by `MEAN` and `STD`."""
    values = functional.normalize(clip.float() / 255, list(MEAN), list(STD))
    return values.transpose(0, 1).contiguous()


def prepared_flow(flow: NDArray[np.float32], place: Place, size: int) -> Tensor:
    """float32 (T-1, H, W, 2) in pixels -> (2, T-1, size, size), cut, scaled and clipped to -1..1."""
    moved = _resized(torch.from_numpy(np.array(flow)).permute(0, 3, 1, 2), *place, size)
    scale = torch.tensor([size / place[3], size / place[2]]).view(1, 2, 1, 1)
    return ((moved * scale).clamp(-MAX_FLOW, MAX_FLOW) / MAX_FLOW).transpose(0, 1).contiguous()


def flow_of_windows(windows: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Optical flow between frames that are prepared already, as `prepared_flow` gives it.

    Args:
        windows: float (B, T, 3, H, W), normalised.
        mean, std: By which they are.

    Returns:
        float32 (B, 2, T-1, H, W), -1..1, on the same device.
    """
    from encoders.backbones.optical_flow import optical_flow

    scale = windows.new_tensor(list(std)).view(3, 1, 1), windows.new_tensor(list(mean)).view(3, 1, 1)
    pictures = ((windows * scale[0] + scale[1]) * 255).round().clamp(0, 255).to(torch.uint8)
    frames = pictures.permute(0, 1, 3, 4, 2).cpu().numpy()
    flows = [torch.from_numpy(optical_flow(clip)).permute(3, 0, 1, 2) for clip in frames]
    return (torch.stack(flows).clamp(-MAX_FLOW, MAX_FLOW) / MAX_FLOW).to(windows.device)


def speaks_of_sides(labels: Sequence[str]) -> bool:
    """Checks whether a label speaks of left or right, so that a mirrored clip may show another."""
    return any(re.search(r"\b(left|right|clockwise|anticlockwise)", label, re.I) for label in labels)


def _resized(images: Tensor, top: int, left: int, height: int, width: int, size: int) -> Tensor:
    return functional.resized_crop(images, top, left, height, width, [size, size], antialias=True)


def _random(generator: torch.Generator, low: float = 0.0, high: float = 1.0) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))

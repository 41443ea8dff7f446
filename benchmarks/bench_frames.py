"""The frames' network of the encoder `offline`: ONNX Runtime beside torch, on one thread.

    python -m benchmarks.bench_frames [FOLDER of pictures] [--rounds 20]

Both run the same weights on the same frames, by turns, so that whatever else the machine does meets both. It
measures processor time, and how far features are apart. Without a folder it takes the pictures of the
`scikit-image` package.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before anything loads a library that reads it

import numpy as np
import torch
from PIL import Image

from benchmarks.report import write_result
from encoders.embedding.lite0 import SIDE, Lite0
from encoders.embedding.lite0_torch import TorchLite0
from encoders.embedding.offline import features_of
from encoders.embedding.offline_weights import load_visual_tower, load_weights
from encoders.embedding.preprocessing import squash

SUFFIXES = (".jpeg", ".jpg", ".png")
BATCHES = (1, 4, 16)


def read_pictures(folder: Path) -> list[np.ndarray]:
    """Pictures of a folder, uint8 (H, W, 3), as large as frames of a library: a short side of 224."""
    pictures = []
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in SUFFIXES:
            picture = Image.open(file).convert("RGB")
            scale = SIDE / min(picture.size)
            size = (max(SIDE, round(picture.width * scale)), max(SIDE, round(picture.height * scale)))
            pictures.append(np.asarray(picture.resize(size)))
    if not pictures:
        raise SystemExit(f"there is no picture in {folder}; expected {', '.join(SUFFIXES)}")
    return pictures


def cpu_milliseconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1e3


def compare_speed(engines: dict[str, Lite0], pictures: list[np.ndarray], rounds: int) -> dict[str, dict]:
    """Milliseconds of processor time a frame by engine and size of batch: medians over rounds."""
    taken: dict[str, dict[str, list[float]]] = {name: {} for name in engines}
    for number in range(rounds):
        for batch in BATCHES:
            frames = np.stack(
                [squash(pictures[(number + index) % len(pictures)], SIDE) for index in range(batch)]
            )
            for name, network in engines.items():
                spent = cpu_milliseconds(lambda network=network, frames=frames: network(frames))
                taken[name].setdefault(f"batch {batch}", []).append(spent / batch)
    return {
        name: {batch: round(float(np.median(times)), 2) for batch, times in sizes.items()}
        for name, sizes in taken.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    folder = options.folder or Path(importlib.util.find_spec("skimage").origin).parent / "data"
    pictures = read_pictures(folder)
    torch.set_num_threads(1)
    engines: dict[str, Lite0] = {
        "onnxruntime": load_visual_tower("cpu"),
        "torch": TorchLite0(load_weights(), torch.device("cpu")),
    }
    compare_speed(engines, pictures, 1)  # memory is taken and code is made once
    by_engine = [
        np.concatenate([features_of(*network(picture[None])) for picture in pictures])
        for network in engines.values()
    ]
    write_result(
        "frames",
        {
            "onnxruntime": version("onnxruntime"),
            "rounds": options.rounds,
            "cpu_milliseconds_a_frame": compare_speed(engines, pictures, options.rounds),
            "squash_cpu_milliseconds": round(
                float(np.median([cpu_milliseconds(lambda one=one: squash(one, SIDE)) for one in pictures])), 2
            ),
            "pictures": len(pictures),
            "greatest_difference_of_features": float(np.abs(by_engine[0] - by_engine[1]).max()),
        },
    )


if __name__ == "__main__":
    main()

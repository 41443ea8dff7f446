"""Clips per second and memory of each video backbone, on the device at hand.

    python -m benchmarks.bench_backbones [NAME...] [--device cuda] [--seconds 10] [--crops 3]

A clip is one window of T frames, as the network's paper counts them, prepared and classified. The
weights are random, since only their number and shape cost time: it needs no network. Each backbone
runs in a program of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import write_result
from encoders.backbones.kinetics_weights import KNOWN_CLASSIFIERS
from encoders.heads.kinetics import open_classifier
from encoders.types import FrameBatch

RATIO = 16 / 9  # of the frames' sides
CUDA_WINDOWS = 32
# What differs from the configuration that transformers takes by itself, which is the base model's.
SHAPES: dict[str, dict[str, Any]] = {
    "videomae_small": {"hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536},
    "videomae_large": {
        "hidden_size": 1024,
        "num_attention_heads": 16,
        "num_hidden_layers": 24,
        "intermediate_size": 4096,
    },
    "videomae_huge": {
        "hidden_size": 1280,
        "num_attention_heads": 16,
        "num_hidden_layers": 32,
        "intermediate_size": 5120,
    },
    "timesformer_hr": {"image_size": 448, "num_frames": 16},
}


def make_weights(name: str, folder: str) -> str:
    """Random weights of a backbone; returns the spec that opens them."""
    import torch

    info = next(info for info in KNOWN_CLASSIFIERS if info.name == name)
    torch.manual_seed(0)
    if info.library == "torchvision":
        from safetensors.torch import save_file
        from torchvision.models import get_model

        file = Path(folder) / f"{name}.safetensors"
        save_file(get_model(info.family, weights=None).state_dict(), file)
        return f"{info.spec}/{file}"
    import transformers

    from encoders.backbones.kinetics_backbones import FAMILIES

    model_class, processor_class = (getattr(transformers, each) for each in FAMILIES[info.family][:2])
    names = {index: f"action {index}" for index in range(400)}
    config = model_class.config_class(**SHAPES.get(name, {}), id2label=names)
    model_class(config).save_pretrained(folder)
    side = SHAPES.get(name, {}).get("image_size")
    size = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}} if side else {}
    processor_class(**size).save_pretrained(folder)
    return f"{info.spec}/{folder}"


def measure(spec: str, device: str, seconds: float, crops: int) -> dict[str, Any]:
    """Classifies windows for so many seconds, at least twice: figures per second."""
    import torch

    classifier = open_classifier(spec, device=device)
    on_cuda = classifier.device.startswith("cuda")
    windows = CUDA_WINDOWS if on_cuda else 1
    count = windows * classifier.clip_frames
    height, width = classifier.frame_size, round(classifier.frame_size * RATIO)
    pixels = np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    frames = FrameBatch(pixels, np.arange(count) / classifier.fps)
    classifier.classify(frames, crops, overlap=0.0)  # kernels are chosen and memory is taken once
    runs = []
    started = time.perf_counter()
    while len(runs) < 2 or time.perf_counter() - started < seconds:
        begun = time.perf_counter()
        classifier.classify(frames, crops, overlap=0.0)
        runs.append(time.perf_counter() - begun)
    clips_per_second = windows / float(np.median(runs))
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "clips_per_second": round(clips_per_second, 3),
        "clips_per_second_range": [round(windows / max(runs), 3), round(windows / min(runs), 3)],
        "times_real_time": round(clips_per_second * classifier.window_seconds, 2),
        "runs": len(runs),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        **({"peak_device_memory_bytes": torch.cuda.max_memory_allocated()} if on_cuda else {}),
    }


def describe_device(name: str) -> tuple[str, str]:
    """What "auto" and the like stand for here: the device, and the name of its maker."""
    import torch

    from encoders.weights.device import choose_device

    device = choose_device(name)
    return str(device), torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def main() -> None:
    known = {info.name: info for info in KNOWN_CLASSIFIERS}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; all by default")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each backbone")
    parser.add_argument("--crops", type=int, default=1, choices=[1, 3])
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in known]:
        raise SystemExit(f"no backbone is called {', '.join(unknown)}; there are {', '.join(known)}")
    figures: dict[str, Any] = {}
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as programs:
        device, device_name = programs.submit(describe_device, options.device).result()
        for name in options.names or known:
            info = known[name]
            with tempfile.TemporaryDirectory() as folder:
                spec = programs.submit(make_weights, name, folder).result()
                measured = programs.submit(measure, spec, device, options.seconds, options.crops).result()
            seen = {"clip_frames": info.clip_frames, "fps": info.fps, "parameters": info.parameters}
            figures[name] = {**seen, **measured}
            print(f"{name}: {measured['clips_per_second']} clips/s", file=sys.stderr)
    write_result(
        "backbones" if device == "cpu" else f"backbones-{device.partition(':')[0]}",
        {
            "device": device_name,
            "weights": "random",
            "crops": options.crops,
            "seconds_each": options.seconds,
            "backbones": figures,
        },
    )


if __name__ == "__main__":
    main()

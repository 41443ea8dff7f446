"""What every benchmark writes: its figures with the machine, versions and commit they were measured on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import psutil

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "av", "numpy", "faiss-gpu", "faiss-cpu", "onnxruntime", "sqlalchemy")
BANDWIDTH_BYTES = 2**28


def write_result(
    name: str, figures: Mapping[str, Any], folder: Path = RESULTS, versions: Mapping[str, str] | None = None
) -> None:
    """Writes `benchmarks/results/<name>.json`, or to another folder, and prints it.

    Args:
        name: Of the benchmark.
        figures: What was measured.
        folder: Where to.
        versions: Of packages that other interpreters have, beside ours.
    """
    document = {
        "benchmark": name,
        "commit": commit(),
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
            "system": platform.system(),
            "load": [round(value, 2) for value in os.getloadavg()],
            "python": platform.python_version(),
            **_versions(PACKAGES),
            **(versions or {}),
        },
        **figures,
    }
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=2)
    (folder / f"{name}.json").write_text(text + "\n")
    print(text)


def commit() -> str | None:
    """The checkout's commit, with "+" where files differ from it; None outside of git."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=here, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{head}+" if changed.strip() else head


def spread(values: Sequence[float], digits: int = 3) -> dict[str, float]:
    """The median of several rounds, and the least and most of them."""
    return {
        "median": round(float(np.median(values)), digits),
        "least": round(min(values), digits),
        "most": round(max(values), digits),
    }


def read_bandwidth() -> float:
    """How many bytes of memory all cores together read in a second, by a product of a matrix and a vector.

    A matrix that no cache holds is read once for a product, and that takes longest: the best of several.
    """
    matrix = np.ones((BANDWIDTH_BYTES // 4 // 2048, 2048), np.float32)
    vector = np.ones(2048, np.float32)
    best = np.inf
    for _ in range(7):
        started = time.perf_counter()
        matrix @ vector
        best = min(best, time.perf_counter() - started)
    return matrix.nbytes / best


def _versions(packages: Sequence[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def ffmpeg_version() -> str:
    """The first line of `ffmpeg -version`."""
    output = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True).stdout
    return output.splitlines()[0]

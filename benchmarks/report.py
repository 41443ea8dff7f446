"""What every benchmark writes: its figures with the machine that they were measured on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def write_result(name: str, figures: dict[str, Any], folder: Path = RESULTS) -> None:
    """Writes `benchmarks/results/<name>.json`, or to another folder, and prints it."""
    document = {
        "benchmark": name,
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "system": platform.system(),
            "python": platform.python_version(),
            **{package: version(package) for package in ("torch", "av", "numpy")},
        },
        **figures,
    }
    folder.mkdir(exist_ok=True)
    text = json.dumps(document, indent=2)
    (folder / f"{name}.json").write_text(text + "\n")
    print(text)


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

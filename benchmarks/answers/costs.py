"""What answers cost beside the version before: a whole ingest, and the first search by words.

Both versions run as their users start them, `indexer ingest` and `indexer search`, one after the other and by
turns, on the same videos. Compared is the processor time of the program and of all that it started, and the
time that passes; below 1 this version is the cheaper one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.answers.figures import Measured
from benchmarks.answers.setup import Setup
from benchmarks.programs import ROOT

VIDEOS = 8  # of an archive: small pictures, so that encoding takes the most
INGESTS = 3
SEARCHES = 7
TEXTS = {"words that the tree knows": "a dog on a beach", "words that it does not": "quarterly earnings"}


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds that a program took."""

    processor: float
    passed: float


def measure(setup: Setup) -> list[Measured]:
    """The section "costs"; nothing where no version before is named."""
    if setup.tree_before is None:
        return []
    trees = (setup.tree_before.resolve(), ROOT)
    videos = sorted({str(shot.path) for shot in setup.archive(0).shots})[:VIDEOS]
    found: list[Measured] = []
    with tempfile.TemporaryDirectory() as temporary:
        ingests: list[tuple[Cost, Cost]] = []
        for turn in range(INGESTS):
            folders = [Path(temporary) / f"{turn}-{number}" for number in range(len(trees))]
            pairs = zip(trees, folders, strict=True)
            before, now = (run(tree, "ingest", *videos, "--library", str(one)) for tree, one in pairs)
            ingests.append((before, now))
        found += ratios(f"a whole ingest of {len(videos)} videos", ingests)
        for name, text in TEXTS.items():
            searches: list[tuple[Cost, Cost]] = []
            for _ in range(SEARCHES):
                pairs = zip(trees, folders, strict=True)
                before, now = (run(tree, "search", text, "--library", str(one)) for tree, one in pairs)
                searches.append((before, now))
            found += ratios(f"the first search by {name}", searches)
    return found


def run(tree: Path, *arguments: str) -> Cost:
    """One run of the program of a working tree, on one thread for each library of numbers.

    Raises:
        SystemExit: It failed.
    """
    environment = os.environ | {
        "PYTHONPATH": str(tree),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "indexer", *arguments]
    started = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        program = subprocess.Popen(command, cwd=tree, env=environment, stdout=output, stderr=output)
        _, status, used = os.wait4(program.pid, 0)
        program.returncode = os.waitstatus_to_exitcode(status)
        if program.returncode:
            output.seek(0)
            raise SystemExit(f"{' '.join(command)} failed in {tree}: {output.read().decode()[-2000:]}")
    return Cost(used.ru_utime + used.ru_stime, time.perf_counter() - started)


def ratios(name: str, pairs: list[tuple[Cost, Cost]]) -> list[Measured]:
    """The medians of now / before, each with the lowest and the highest, and the seconds of now."""
    found = []
    for sort in ("processor", "passed"):
        seconds = np.array([[getattr(before, sort), getattr(now, sort)] for before, now in pairs])
        ratio = seconds[:, 1] / seconds[:, 0]
        what = "processor time" if sort == "processor" else "time"
        line = f"{name}, {what} as a share of the version before"
        found.append(_median(line, ratio, 1.0))
        found.append(_median(f"{name}, {what} in seconds", seconds[:, 1], None))
    return found


def _median(name: str, values: np.ndarray, goal: float | None) -> Measured:
    low, middle, high = (float(value) for value in np.quantile(values, (0.0, 0.5, 1.0)))
    return Measured("costs", name, middle, low, high, len(values), goal, at_most=True)

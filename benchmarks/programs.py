"""A program of ours as a child, and what it takes of the machine while it runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 120
STOP_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Sample:
    """What a program takes at one moment; `tree` counts the programs that it has started too."""

    seconds: float
    rss_bytes: int
    tree_rss_bytes: int
    open_files: int
    tree_open_files: int
    threads: int
    tree_threads: int


class Sampler:
    """Looks at a program again and again, in a thread, until it ends or `stop`.

    Args:
        pid: Of the program.
        every_seconds: How often.
    """

    def __init__(self, pid: int, every_seconds: float = 1.0) -> None:
        self.samples: list[Sample] = []
        self._program = psutil.Process(pid)
        self._every_seconds = every_seconds
        self._started = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopping.set()
        self._thread.join()

    def now(self) -> float:
        """Seconds since the first look."""
        return time.monotonic() - self._started

    def _run(self) -> None:
        while not self._stopping.wait(self._every_seconds if self.samples else 0):
            try:
                own = _taken(self._program)
                others = [_taken(child) for child in self._program.children(recursive=True)]
            except psutil.Error:
                return  # it has ended
            total = np.sum([own, *others], axis=0).tolist()
            pairs = [number for both in zip(own, total, strict=True) for number in both]
            self.samples.append(Sample(self.now(), *pairs))

    def between(self, start_seconds: float, end_seconds: float) -> list[Sample]:
        """The samples of a stretch of time."""
        return [one for one in self.samples if start_seconds <= one.seconds <= end_seconds]

    def slope_mib_per_minute(self, start_seconds: float) -> float | None:
        """How fast the memory of all its programs grows from then on, by least squares; None for too few."""
        chosen = self.between(start_seconds, np.inf)
        if len(chosen) < 10:
            return None
        minutes = np.array([one.seconds for one in chosen]) / 60
        return float(np.polyfit(minutes, [one.tree_rss_bytes / 2**20 for one in chosen], 1)[0])


def figures(samples: Sequence[Sample]) -> dict[str, float] | None:
    """What was taken in a stretch of time: medians, as programs that decode come and go; None for nothing."""
    if not samples:
        return None
    mib = 2**20
    return {
        "seconds": round(samples[-1].seconds, 1),
        "rss_mib": round(float(np.median([one.rss_bytes for one in samples])) / mib, 1),
        "tree_rss_mib": round(float(np.median([one.tree_rss_bytes for one in samples])) / mib, 1),
        "open_files": float(np.median([one.open_files for one in samples])),
        "tree_open_files": float(np.median([one.tree_open_files for one in samples])),
        "threads": float(np.median([one.threads for one in samples])),
        "tree_threads": float(np.median([one.tree_threads for one in samples])),
    }


def _taken(program: psutil.Process) -> tuple[int, int, int]:
    """RSS in bytes, open files, threads; nothing of a program that has just ended."""
    try:
        with program.oneshot():
            return program.memory_info().rss, program.num_fds(), program.num_threads()
    except (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
        if program.is_running() and program.status() != psutil.STATUS_ZOMBIE:
            raise
        return 0, 0, 0


def command(*arguments: str) -> list[str]:
    """The command line of `indexer` in this Python."""
    return [sys.executable, "-m", "indexer", *arguments]


@contextmanager
def serving(folder: Path, log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`indexer serve` on a free port of loopback: the program and its address.

    Raises:
        RuntimeError: It does not start, or does not end when it is told to.
    """
    with log.open("wb") as errors:
        server = subprocess.Popen(
            command("serve", "--port", "0", "--device", "cpu", "--library", str(folder)),
            cwd=ROOT,
            stderr=errors,
        )
    try:
        yield server, _address(server, log)
        server.send_signal(signal.SIGTERM)
        status = server.wait(STOP_SECONDS)
        if status != 0:
            raise RuntimeError(f"the server ended with status {status}: {log.read_text()[-2000:]}")
    finally:
        server.kill()
        server.wait()


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        for line in log.read_text().splitlines():
            if line.startswith("serving http://"):
                return line.removeprefix("serving ")
        time.sleep(0.05)
    raise RuntimeError(f"the server did not start: {log.read_text()[-2000:]}")


def load_of_machine() -> list[float]:
    """How many programs have wanted a core in the last 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]

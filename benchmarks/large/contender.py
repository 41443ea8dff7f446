"""What is measured side by side: each engine in a program of its own, told by lines of JSON what to do.

    python -m benchmarks.large.contender NAME FOLDER build|answer

FOLDER holds what `benchmarks.bench_search` wrote there for all: `setup.json`, `questions.npy`, `passes.npz`,
`columns.npz`. "build" makes the engine's files in a folder of its own and says what that took. "answer" opens
them, and then answers each line of its input by one line.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

CONTENDERS = {
    "ours": "benchmarks.large.ours:Ours",
    "faiss-flat": "benchmarks.large.floor:FaissFlat",
    "faiss-fp16": "benchmarks.large.floor:FaissHalf",
    "hnswlib": "benchmarks.large.peers:Hnswlib",
    "usearch-f16": "benchmarks.large.peers:UsearchHalf",
    "usearch-i8": "benchmarks.large.peers:UsearchByte",
    "lancedb": "benchmarks.large.databases:LanceDb",
    "milvus-lite": "benchmarks.large.databases:MilvusLite",
}
PEERS = tuple(name for name in CONTENDERS if name != "ours" and not name.startswith("faiss"))
CHUNK = 10_000


class Contender(ABC):
    """An engine that finds clips; rows of the vectors are its ids.

    Attributes:
        efforts: Settings from little to much, of which the least that reaches the wanted recall is taken.
        packages: Whose versions are reported.
        has_filters: Whether it can be asked for the clips that pass a filter.
    """

    efforts: tuple[int, ...] = ()
    packages: tuple[str, ...] = ()
    has_filters = True

    def __init__(self, folder: Path, own: Path) -> None:
        self.folder, self.own = folder, own
        self.setup: dict[str, Any] = json.loads((folder / "setup.json").read_text())
        self.count: int = self.setup["clips"]
        self.effort = self.efforts[0] if self.efforts else 0

    @cached_property
    def questions(self) -> NDArray[np.float32]:
        """float32 (Q, D)."""
        return np.load(self.folder / "questions.npy")

    def passes(self, case: int) -> NDArray[np.bool_]:
        """bool (N,), which clips pass a filter."""
        with np.load(self.folder / "passes.npz") as kept:
            return kept[str(case)]

    def chunks(self) -> Any:
        """Yields the first row and vectors float32 (C, D) of all clips, some at a time."""
        vectors = np.load(self.setup["vectors"], mmap_mode="r")
        for start in range(0, self.count, CHUNK):
            yield start, vectors[start : min(start + CHUNK, self.count)].astype(np.float32)

    @abstractmethod
    def build(self) -> None:
        """Makes its files in its own folder."""

    @abstractmethod
    def open(self) -> str:
        """Opens them, and says what kind of index they are."""

    def prepare(self, case: int) -> None:  # noqa: B027
        """Gets ready to be asked under a filter; not timed."""

    def refresh(self) -> None:  # noqa: B027
        """Forgets what it remembers of questions; before each round."""

    @abstractmethod
    def ask(self, question: int, case: int, k: int) -> list[int]:
        """Rows of the k best clips that pass a filter (0: none), best first."""

    def stored_bytes(self) -> int:
        """Of its files."""
        return sum(path.stat().st_size for path in self.own.rglob("*") if path.is_file())


def open_contender(name: str, folder: Path) -> Contender:
    """Makes one by its name. Raises ImportError where its package is missing."""
    module, _, kind = CONTENDERS[name].partition(":")
    own = folder / name
    own.mkdir(exist_ok=True)
    return getattr(importlib.import_module(module), kind)(folder, own)


def _seconds_of_children() -> float:
    """Processor time of the programs that this one has started."""
    times = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return sum(one.user + one.system for one in times)


def peak_bytes() -> int:
    """The most memory that this program has had at once."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says there is inherited from who started the program
        (line,) = (one for one in status.read_text().splitlines() if one.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _memory() -> dict[str, float]:
    """Of this program and those that it has started, MiB: at most, now, and what is not a file mapped."""
    programs = [psutil.Process(), *psutil.Process().children(recursive=True)]
    full = [one.memory_full_info() for one in programs]
    peak = peak_bytes() + sum(one.rss for one in full[1:])
    return {
        "peak_mib": round(peak / 2**20, 1),
        "rss_mib": round(sum(one.rss for one in full) / 2**20, 1),
        "own_mib": round(sum(one.uss for one in full) / 2**20, 1),
    }


def _ask(contender: Contender, order: dict[str, Any]) -> dict[str, Any]:
    contender.prepare(order["case"])
    rows, times = [], []
    children_started, cpu_started = _seconds_of_children(), time.process_time()
    for question in order["questions"]:
        started = time.perf_counter()
        rows.append(contender.ask(question, order["case"], order["k"]))
        times.append(1000 * (time.perf_counter() - started))
    cpu = time.process_time() - cpu_started + _seconds_of_children() - children_started
    found = [list(map(int, one)) for one in rows]
    return {"rows": found, "ms": times, "cpu_ms": 1000 * cpu / max(len(times), 1)}


def main() -> None:
    name, folder, what = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    # Engines may print: what goes to the parent has a file of its own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(answer: dict[str, Any]) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    contender = open_contender(name, folder)
    started, cpu_started = time.perf_counter(), time.process_time()
    if what == "build":
        contender.build()
        seconds = time.perf_counter() - started
        cpu = time.process_time() - cpu_started + _seconds_of_children()
        say({"seconds": round(seconds, 2), "cpu_seconds": round(cpu, 2), **_memory()})
        return
    kind = contender.open()
    opened = {
        "kind": kind,
        "open_seconds": round(time.perf_counter() - started, 3),
        "stored_mib": round(contender.stored_bytes() / 2**20, 1),
        "has_filters": contender.has_filters,
        "efforts": contender.efforts,
        "threads": {key: value for key, value in os.environ.items() if key.endswith("_NUM_THREADS")},
    }
    say(opened)
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "effort":
            contender.effort = order["value"]
            say({})
        elif order["do"] == "refresh":
            contender.refresh()
            say({})
        elif order["do"] == "memory":
            say(_memory())
        else:
            say(_ask(contender, order))


if __name__ == "__main__":
    main()

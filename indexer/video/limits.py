"""Limits of a decoding program: for how long it may stall; for strangers' files memory, time, no files."""

from __future__ import annotations

import json
import os
import resource
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Self

STALL_SECONDS = 60.0  # without progress, after which it is stopped; callers may say otherwise
SPARE_FILES = 16  # descriptors beyond those that the program starts with


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """Limits of one decoding program and the file that it reads.

    Attributes:
        memory_bytes: Beyond what the program takes once it has started.
        cpu_seconds: Of all its threads together; beyond, the kernel ends it.
        max_pixels: Of one frame.
        max_seconds: Of footage.
        max_frames: In all.
        max_fps: That the file claims.
    """

    memory_bytes: int = 2**30
    cpu_seconds: float = 240.0
    max_pixels: int = 8192 * 4352
    max_seconds: float = 3600.0
    max_frames: int = 432_000
    max_fps: float = 1000.0

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))

    def apply(self) -> None:
        """Holds this program to them from now on; there is no way back.

        Memory is limited twice: what is written to (data), and addresses (which threads reserve generously).
        It writes to no file: the size of one may be 0. Systems without one of the limits keep the others.
        """
        taken = _status_bytes()
        self._set(resource.RLIMIT_DATA, taken.get("VmData", 0) + self.memory_bytes)
        self._set(resource.RLIMIT_AS, taken.get("VmSize", 2**32) + 2 * self.memory_bytes)
        self._set(resource.RLIMIT_FSIZE, 0)
        self._set(resource.RLIMIT_CORE, 0)
        used = resource.getrusage(resource.RUSAGE_SELF)
        self._set(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime + self.cpu_seconds) + 1)
        highest = max(map(int, os.listdir("/dev/fd")), default=3)
        self._set(resource.RLIMIT_NOFILE, highest + SPARE_FILES)

    @staticmethod
    def _set(kind: int, value: int) -> None:
        with suppress(ValueError, OSError):  # a lower hard limit is there already, or the system knows it not
            resource.setrlimit(kind, (value, value))


def _status_bytes() -> dict[str, int]:
    """The sizes in /proc/self/status, in bytes; empty where there is no such file."""
    found = {}
    with suppress(OSError), open("/proc/self/status") as file:
        for line in file:
            name, _, value = line.partition(":")
            if value.strip().endswith("kB"):
                found[name] = int(value.split()[0]) * 1024
    return found

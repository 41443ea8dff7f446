"""Limits of processor time for decoding a file, by its size, its length and what others took.

A few hundred kilobytes can hold hours of decoding (20,000 frames of 4000 x 4000 pixels of one colour), and
make progress all the while. Footage that is dear for good reason is large, or long, or like the other files.
"""

from __future__ import annotations

import statistics
import threading

from encoders.errors import TookTooLongError

BASE_SECONDS = 60.0  # for any file
SECONDS_PER_MEGABYTE = 30.0  # ten times what 4K AV1 of few bits takes
LEAST_RATE = 0.25  # seconds a second of footage, where others are cheaper than a quarter of it
TIMES_USUAL = 4.0
LEAST_BYTES_PER_SECOND = 1000.0  # of footage: what has fewer counts as less of it
TOOK_TOO_LONG = "took too long"  # how the reason begins
LEAST_FOOTAGE_SECONDS = 2.0  # of a file that tells what is usual


class Patience:
    """The allowance of files; safe to share between the threads that read them.

    Args:
        factor: Of the usual allowance, above 0.
    """

    def __init__(self, factor: float = 1.0) -> None:
        self._factor = factor
        self._rates: list[float] = []
        self._lock = threading.Lock()

    def learn(self, cpu_seconds: float, footage_seconds: float) -> None:
        """Takes over what a file took."""
        if footage_seconds >= LEAST_FOOTAGE_SECONDS:
            with self._lock:
                self._rates.append(cpu_seconds / footage_seconds)

    def check(self, cpu_seconds: float, footage_seconds: float, size_bytes: int) -> None:
        """Raises TookTooLongError when a file took more than it may.

        Args:
            cpu_seconds: Processor time of its decoder, up to now.
            footage_seconds: What was decoded for it: not what the file says, which may be anything.
            size_bytes: Of the file.
        """
        if cpu_seconds <= self._factor * BASE_SECONDS:
            return
        with self._lock:
            usual = statistics.median(self._rates) if self._rates else 0.0
        megabytes = size_bytes / 1e6
        by_length = max(LEAST_RATE, TIMES_USUAL * usual) * min(
            footage_seconds, size_bytes / LEAST_BYTES_PER_SECOND
        )
        allowed = self._factor * (BASE_SECONDS + SECONDS_PER_MEGABYTE * megabytes + by_length)
        if cpu_seconds > allowed:
            raise TookTooLongError(
                f"{TOOK_TOO_LONG}: {cpu_seconds:.0f} s of processor time for {footage_seconds:.0f} s of "
                f"footage in {megabytes:.1f} MB, where {allowed:.0f} s are allowed; it is left out, and not "
                "read again while it stays as it is. If it is worth that: `indexer ingest --patience "
                f"{10 * self._factor:g} FILE`"
            )

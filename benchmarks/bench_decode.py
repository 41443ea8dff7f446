"""Decoding by ours against PyAV alone: what the care for times, fields and parts costs on plain files.

    python -m benchmarks.bench_decode [VIDEO...] [--rounds 5] [--before FOLDER]

Without arguments it makes what `bench_ingest` makes, at 640x360, in MP4, Matroska and a transport stream.
Each reading is a program of its own with one thread; the ways take turns in one order and then in the other.
Reported are the least processor seconds and their ratios. `--before` names a checkout of another version, to
be measured too; its own copy of this module reads there, so that its modules may have other names.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import av

from benchmarks.bench_ingest import make_video
from benchmarks.programs import ROOT
from benchmarks.report import RESULTS, write_result


def read(way: str, path: str) -> None:
    """Decodes every frame of a file, and prints their number and the processor seconds that it took."""
    from indexer.video.reading.decode import VideoDecoder

    begun = _seconds()
    if way == "pyav":
        with av.open(path) as container:
            container.streams.video[0].thread_count = 1
            count = sum(1 for _ in container.decode(video=0))
    else:
        with VideoDecoder(path, threads=1) as decoder:
            count = sum(1 for _ in decoder.frames())
    print(count, _seconds() - begun)


def _seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def make_files(folder: Path) -> list[Path]:
    """One film in three containers."""
    film = folder / "film.mp4"
    make_video(film, 640, 360)
    files = [film, film.with_suffix(".mkv"), film.with_suffix(".ts")]
    for path in files[1:]:
        with av.open(str(film)) as source, av.open(str(path), "w") as output:
            stream = output.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    output.mux(packet)
    return files


def measure(path: Path, ways: dict[str, Path], rounds: int) -> dict[str, float]:
    """Frames, the least processor seconds of each way, and their ratio to PyAV's."""
    taken: dict[str, list[float]] = {way: [] for way in ways}
    counts = {}
    for number in range(rounds):
        for way in list(ways)[:: 1 if number % 2 else -1]:
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.bench_decode", str(path), "--read", way],
                cwd=ways[way], env={**os.environ, "PYTHONPATH": str(ways[way])},
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            count, seconds = done.stdout.split()
            counts[way] = int(count)
            taken[way].append(float(seconds))
    if len(set(counts.values())) != 1:
        raise SystemExit(f"{path}: the ways see different numbers of frames: {counts}")
    least = {way: min(seconds) for way, seconds in taken.items()}
    return {
        "frames": counts["ours"],
        **{f"{way}_processor_seconds": round(seconds, 3) for way, seconds in least.items()},
        **{f"{way}_to_pyav": round(seconds / least["pyav"], 3) for way, seconds in least.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--before", type=Path, help="a checkout of another version")
    parser.add_argument("--read", choices=("pyav", "ours", "before"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=RESULTS, help="where decode.json is written")
    options = parser.parse_args()
    if options.read:
        read(options.read, str(options.videos[0]))
        return
    ways = {"pyav": ROOT, "ours": ROOT}
    if options.before:
        ways["before"] = options.before.absolute()
    with tempfile.TemporaryDirectory(prefix="reelseek-decode-") as folder:
        files = options.videos or make_files(Path(folder))
        figures = {path.name: measure(path.absolute(), ways, options.rounds) for path in files}
    write_result("decode", {"rounds": options.rounds, "files": figures}, options.out)


if __name__ == "__main__":
    main()

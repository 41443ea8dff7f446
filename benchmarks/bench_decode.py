"""Decoding by ours against FFmpeg and PyAV: what times, shots and samples cost, and what fast saves.

    python -m benchmarks.bench_decode [VIDEO...] [--rounds 3] [--films FOLDER] [--before FOLDER]

Without arguments it makes 1080p films in H.264 (also in Matroska and a transport stream), HEVC and AV1.
The ways:

    ffmpeg   `ffmpeg -f null`
    pyav     every frame by PyAV
    frames   every frame by ours, with its true time
    exact    clips, with shots and samples
    fast     the same by fast sampling

Each reading is a program of its own with all threads; the ways take turns in one order and then in the
other. Reported are medians of processor seconds (without the start of Python) and of wall seconds, their
range, and their ratios to ffmpeg's and PyAV's. `--before` names a checkout of another version, whose clips
are measured too.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import av

from benchmarks.made_films import CODINGS, H264, film
from benchmarks.programs import ROOT
from benchmarks.report import RESULTS, ffmpeg_version, write_result

WIDTH, HEIGHT = 1920, 1080
WAYS = ("ffmpeg", "pyav", "frames", "exact", "fast")


@dataclass(frozen=True, slots=True)
class Taken:
    """What one reading took, in seconds."""

    processor: float
    wall: float


def read(way: str, path: str) -> None:
    """Reads a file, and prints the number of frames or clips and the processor and wall seconds it took."""
    import cv2

    from indexer.video.clips.sampling import SamplingOptions, sample_clips
    from indexer.video.reading.decode import VideoDecoder

    cv2.setNumThreads(1)  # as in our decoding programs
    begun, started = _seconds(), time.perf_counter()
    if way == "pyav":
        with av.open(path) as container:
            container.streams.video[0].thread_type = "AUTO"
            count = sum(1 for _ in container.decode(video=0))
    else:
        with VideoDecoder(path) as decoder:
            options = SamplingOptions(sampling="fast") if way == "fast" else SamplingOptions()
            count = sum(1 for _ in (decoder.frames() if way == "frames" else sample_clips(decoder, options)))
    print(count, _seconds() - begun, time.perf_counter() - started)


def _seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def run_ffmpeg(path: Path) -> Taken:
    """Decodes a file by `ffmpeg -f null`, with all its threads."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", str(path), "-map", "0:v:0", "-f", "null", "-"]
    started = time.perf_counter()
    program = subprocess.Popen(command)
    _, status, used = os.wait4(program.pid, 0)
    program.returncode = os.waitstatus_to_exitcode(status)
    if program.returncode:
        raise SystemExit(f"ffmpeg could not decode {path}")
    return Taken(used.ru_utime + used.ru_stime, time.perf_counter() - started)


def run_way(way: str, path: Path, root: Path) -> Taken:
    """Reads a file in one of the ways, by a program of a checkout."""
    if way == "ffmpeg":
        return run_ffmpeg(path)
    done = subprocess.run(
        [sys.executable, "-c", "from benchmarks.bench_decode import read; import sys; read(*sys.argv[1:])"
         if root == ROOT else _READ_ALONE, way, str(path)],
        cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    _, processor, wall = done.stdout.split()
    return Taken(float(processor), float(wall))


# Another version's benchmarks may lack this: its samples are taken by these lines.
_READ_ALONE = """
import resource, sys, time
import cv2
from indexer.video.clips.sampling import SamplingOptions, sample_clips
from indexer.video.reading.decode import VideoDecoder
cv2.setNumThreads(1)
seconds = lambda: sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
begun, started = seconds(), time.perf_counter()
with VideoDecoder(sys.argv[2]) as decoder:
    count = sum(1 for _ in sample_clips(decoder, SamplingOptions()))
print(count, seconds() - begun, time.perf_counter() - started)
"""


def make_files(folder: Path, seconds: float) -> list[Path]:
    """Films in three codecs, the first in two more containers."""
    files = [film(folder, coding, seconds, WIDTH, HEIGHT) for coding in CODINGS.values()]
    first = film(folder, H264, seconds, WIDTH, HEIGHT)
    return files + [copy_to(first, first.with_suffix(suffix)) for suffix in (".mkv", ".ts")]


def copy_to(path: Path, target: Path) -> Path:
    """The packets of a film in another container."""
    with av.open(str(path)) as source, av.open(str(target), "w") as output:
        stream = output.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                output.mux(packet)
    return target


def describe(taken: dict[str, list[Taken]], floors: tuple[str, ...]) -> dict[str, Any]:
    """Medians and ranges of each way, and the ratios of medians to floors."""
    middle = {
        way: Taken(median(one.processor for one in some), median(one.wall for one in some))
        for way, some in taken.items()
    }
    figures: dict[str, Any] = {}
    for way, some in taken.items():
        processor = sorted(one.processor for one in some)
        figures[way] = {
            "processor_seconds": round(middle[way].processor, 3),
            "processor_range": [round(processor[0], 3), round(processor[-1], 3)],
            "wall_seconds": round(middle[way].wall, 3),
        }
        for floor in floors:
            figures[way][f"processor_to_{floor}"] = round(middle[way].processor / middle[floor].processor, 3)
            figures[way][f"wall_to_{floor}"] = round(middle[way].wall / middle[floor].wall, 3)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=40.0, help="of each film that is made")
    parser.add_argument("--films", type=Path, help="where films are made, and kept for the next time")
    parser.add_argument("--before", type=Path, help="a checkout of another version")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where decode.json is written")
    options = parser.parse_args()
    ways = dict.fromkeys(WAYS, ROOT)
    if options.before:
        ways["before"] = options.before.absolute()
    with tempfile.TemporaryDirectory(prefix="reelseek-decode-") as folder:
        films = options.films or Path(folder)
        files = [path.absolute() for path in options.videos] or make_files(films, options.seconds)
        figures = {}
        for path in files:
            taken: dict[str, list[Taken]] = {way: [] for way in ways}
            for number in range(options.rounds):
                for way in list(ways)[:: 1 if number % 2 else -1]:
                    taken[way].append(run_way(way, path, ways[way]))
            figures[path.name] = describe(taken, ("ffmpeg", "pyav"))
    found = {"ffmpeg": ffmpeg_version(), "rounds": options.rounds, "films": figures}
    write_result("decode", found, options.out)


if __name__ == "__main__":
    main()

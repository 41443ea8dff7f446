"""Very many videos in one ingest: do open files, threads and memory stay where they are?

    python -m benchmarks.soak [--videos 2000] [--out FOLDER]

Makes tiny videos, some of them damaged, and runs the command line over them as people do: `indexer ingest`
of all of them, searches, `indexer remove` of half, `indexer ingest` again, `indexer check`. The ingests are
looked at four times a second. Exit status 1: a step fails or counts wrongly, open files or threads grow
between 10 % of the videos (but no fewer than 60) and the end, or memory grows by more than the bound.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.made_videos import damage, write_tiny
from benchmarks.programs import ROOT, Sample, Sampler, command, figures, load_of_machine
from benchmarks.report import RESULTS, write_result
from search.library import Library

DAMAGED_EVERY = 50
VIDEOS_PER_FOLDER = 20
EVERY_SECONDS = 0.25
SHARES = (0.10, 0.50, 1.00)
WARM_VIDEOS = 60  # until then, the first of everything is loaded and allocated
WINDOW_SECONDS = 2.0  # before a moment: its median stands for it
# What the programs may add between 10 % and the end: files and threads that come and go with a decoder,
# and memory for what is really there: some 10 KiB a clip in the index.
COUNT_ALLOWANCE = 4
MEMORY_ALLOWANCE_MIB = 64
MEMORY_PER_VIDEO_KIB = 20
QUERIES = ("a pattern", "the sea at night")


@dataclass(slots=True)
class Run:
    """One command: its document, how long it took, what it took of the machine, how many videos when."""

    document: dict[str, Any]
    seconds: float
    sampler: Sampler
    done: list[tuple[float, int]]


def make_archive(folder: Path, count: int) -> tuple[list[Path], int]:
    """The videos, and how many of them are damaged."""
    paths = []
    for number in range(count):
        path = folder / f"{number // VIDEOS_PER_FOLDER:03d}" / f"{number:05d}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tiny(path, seed=number)
        if number % DAMAGED_EVERY == DAMAGED_EVERY // 2:
            damage(path)
        paths.append(path)
    return paths, len(range(DAMAGED_EVERY // 2, count, DAMAGED_EVERY))


def run(library: Path, *arguments: str, expected: int = 0) -> Run:
    """Runs `indexer ARGUMENTS --json` to its end.

    Raises:
        SystemExit: It ends with another status than the one expected, or prints no JSON.
    """
    started = time.monotonic()
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as errors:
        program = subprocess.Popen(
            command(*arguments, "--library", str(library), "--json"), cwd=ROOT, stdout=said, stderr=errors
        )
        sampler, done = Sampler(program.pid, EVERY_SECONDS), []
        try:
            while program.poll() is None:
                done.append((sampler.now(), sum(counted(library).values())))
                time.sleep(EVERY_SECONDS)
        finally:
            program.kill()
            status = program.wait()
            sampler.stop()
        said.seek(0)
        errors.seek(0)
        text, last_words = said.read().decode(), errors.read().decode()[-3000:]
    if status != expected or "Traceback" in last_words:
        raise SystemExit(f"indexer {' '.join(arguments)[:200]} ended with status {status}: {last_words}")
    return Run(json.loads(text), time.monotonic() - started, sampler, done)


def flatness(one: Run, videos: int) -> tuple[dict[str, Any], list[str]]:
    """The figures at 10 %, 50 % and 100 % of an ingest, and what has grown meanwhile."""
    base = one.done[0][1]

    def window(count: int) -> list[Sample]:
        """Before so many videos were there; before the last one, as then the decoders end."""
        wanted = base + min(count, videos - 1)
        until = next((seconds for seconds, there in one.done if there >= wanted), one.done[-1][0])
        return one.sampler.between(until - WINDOW_SECONDS, until)

    found = {f"{share:.0%}": figures(window(math.ceil(share * videos))) for share in SHARES}
    warm_at = max(math.ceil(SHARES[0] * videos), WARM_VIDEOS)
    warm, last = window(warm_at), window(videos)
    early, late = figures(warm), figures(last)
    if early is None or late is None or videos < 2 * WARM_VIDEOS:
        return found, ["an ingest was too short to judge: take more videos"]
    faults = [
        f"{name} grow from {early[name]} after {warm_at} videos to {late[name]} at the end"
        for name in ("open_files", "tree_open_files", "threads", "tree_threads")
        if late[name] > early[name] + COUNT_ALLOWANCE
    ]
    bound = MEMORY_ALLOWANCE_MIB + videos * MEMORY_PER_VIDEO_KIB / 1024
    for name in ("rss_mib", "tree_rss_mib"):
        if late[name] > early[name] + bound:
            faults.append(
                f"{name} grows from {early[name]} to {late[name]}, by more than {bound:.0f} MiB: memory leaks"
            )
    between = one.sampler.between(warm[0].seconds, last[-1].seconds)
    slope = np.polyfit([sample.seconds for sample in between], [sample.rss_bytes for sample in between], 1)[0]
    return {
        **found,
        "compared_from_video": warm_at,
        "most_tree_rss_mib": round(max(sample.tree_rss_bytes for sample in one.sampler.samples) / 2**20, 1),
        "slope_mib_per_minute": round(float(slope) * 60 / 2**20, 2),
        "memory_bound_mib": round(bound, 1),
        "flat": not faults,
    }, faults


def counted(library: Path) -> dict[str, int]:
    """How many videos of each status."""
    opened = Library(library)
    with opened.read() as catalog:
        found = {status: catalog.count_videos(status) for status in ("indexed", "failed", "missing")}
    opened.close()
    return found


def measure(videos: int, work: Path) -> tuple[dict[str, Any], list[str]]:
    """The figures, and everything that must not be."""
    machine_before = load_of_machine()
    started = time.monotonic()
    archive, library = work / "archive", work / "library"
    Library(library, create=True).close()
    paths, damaged = make_archive(archive, videos)
    figures: dict[str, Any] = {
        "videos": videos,
        "damaged": damaged,
        "made_in_seconds": round(time.monotonic() - started, 1),
    }
    faults: list[str] = []

    def compare(what: str, found: object, expected: object) -> None:
        if found != expected:
            faults.append(f"{what}: got {found}, expected {expected}")

    def ingest(name: str, new: int) -> None:
        options = ("--encoder", "offline", "--device", "cpu")
        one = run(library, "ingest", str(archive), *options, expected=1 if damaged else 0)
        found, grown = flatness(one, new)
        faults.extend(f"{name}: {fault}" for fault in grown)
        figures[name] = {
            "seconds": round(one.seconds, 1),
            "videos_per_second": round(new / one.seconds, 1),
            **found,
        }
        compare(name, counted(library), {"indexed": videos - damaged, "failed": damaged, "missing": 0})

    def search(name: str, expected: int) -> None:
        times = []
        for query in QUERIES:
            one = run(library, "search", query, "--group", "video", "-k", "10000", "--device", "cpu")
            times.append(one.seconds)
            compare(f"{name}: videos found", len({hit["path"] for hit in one.document["hits"]}), expected)
        figures[name] = {"searches": len(times), "seconds": [round(seconds, 2) for seconds in times]}

    ingest("first_ingest", videos)
    search("search", videos - damaged)
    folders = [str(folder) for folder in sorted(archive.iterdir())]
    one_by_one = [str(path) for path in paths[: videos // 2]]
    chosen = folders[: len(folders) // 2] if len(folders) > 1 else one_by_one
    gone = [path for path in paths if any(str(path).startswith(one) for one in chosen)]
    gone_damaged = sum(at % DAMAGED_EVERY == DAMAGED_EVERY // 2 for at in range(len(gone)))
    removed = run(library, "remove", *chosen)
    compare("removed videos", removed.document["videos"], len(gone))
    figures["remove"] = {"videos": len(gone), "seconds": round(removed.seconds, 1)}
    search("search_after_remove", videos - damaged - (len(gone) - gone_damaged))
    ingest("second_ingest", len(gone))
    search("search_at_the_end", videos - damaged)
    one = run(library, "check")
    compare("indexer check", one.document["ok"], True)
    figures["check_seconds"] = round(one.seconds, 1)
    figures["load_of_machine"] = {"before": machine_before, "after": load_of_machine()}
    return figures, faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--videos", type=int, default=2000, help=f"{4 * WARM_VIDEOS} or more")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where soak.json is written")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reelseek-soak-") as work:
        found, faults = measure(options.videos, Path(work))
    write_result("soak", {**found, "faults": faults}, options.out)
    for fault in faults:
        print(f"WRONG: {fault}", file=sys.stderr)
    if faults:
        sys.exit(1)


if __name__ == "__main__":
    main()

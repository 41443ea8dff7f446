"""What everyday work costs as a library grows: a video added, one removed, a look, a check, saving, opening.

    python -m benchmarks.growth [--sizes 1000,10000,100000] [--photographs FOLDER] [--plot FILE.svg]

One library of the default encoder's vectors grows from size to size, 200 clips a video. At each size the work
is done some times, and the median taken. "add" and "remove" are of one video, to the moment when it can be
found, or is found no more; "check" looks at about a thousand clips. Opening is measured in new programs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.growth_plot import draw
from benchmarks.large.archive import CLIPS_PER_VIDEO, make_video
from benchmarks.large.bank import Bank
from benchmarks.large.clips import mix, open_clips
from benchmarks.large.contender import peak_bytes
from benchmarks.large.filling import create, fill
from benchmarks.large.material import add_options, read_bank, size_of
from benchmarks.programs import ROOT
from benchmarks.report import RESULTS, spread, write_result
from indexer.keeping.check import check
from search.library import Library
from search.types import EncodedClip

SIZES = (1_000, 10_000, 100_000)
CHECKED_CLIPS = 1_000
NEW_SEED = 2
WORK = ("add", "save", "open", "remove", "status", "check")


class Growth:
    """A library that grows, and what is done to it.

    Args:
        folder: Of the library.
        bank: What the videos that are added are mixed of.
        rounds: How often each piece of work is done.
    """

    def __init__(self, folder: Path, bank: Bank, rounds: int) -> None:
        self.library = Library(folder, create=True, device="cpu")
        self._crops, self._rounds = bank.part(kept_out=False), rounds
        self._added = 0

    def grow(self, clips: np.ndarray, size: int, known: int) -> dict[str, Any]:
        """Fills the library up to a size, builds its index, and does each piece of work; figures."""
        started = time.perf_counter()
        fill(self.library, clips[known:size], known // CLIPS_PER_VIDEO, CLIPS_PER_VIDEO)
        figures: dict[str, Any] = {"fill_seconds": round(time.perf_counter() - started, 1)}
        figures["build"] = self._timed(self.library.rebuild_index)
        taken: dict[str, list[dict[str, float]]] = defaultdict(list)
        for _ in range(self._rounds):
            for name, measured in self._round(size).items():
                taken[name].append(measured)
        figures["work"] = {
            name: {key: spread([one[key] for one in each], 4) for key in each[0]}
            for name, each in taken.items()
        }
        with self.library.index() as index:
            figures["index"] = index.kind
        figures["index_mib"] = round(size_of(self.library.index_keeper.folder) / 2**20, 1)
        figures["library_mib"] = round(size_of(self.library.folder) / 2**20, 1)
        figures["peak_mib"] = round(peak_bytes() / 2**20, 1)
        return figures

    def _round(self, size: int) -> dict[str, dict[str, float]]:
        """Each piece of work once: the library is as large afterwards as before."""
        video_id = 0
        clips = self._new_clips()

        def add() -> None:
            nonlocal video_id
            video_id = self._publish(clips)
            self._look()

        def remove() -> None:
            with self.library.write() as catalog:
                catalog.remove_videos([video_id])
            self._look()

        measured = {"add": self._timed(add)}
        measured["save"] = self._timed(self.library.index_keeper.save)
        measured["open"] = _opened(self.library.folder)
        measured["remove"] = self._timed(remove)
        self.library.index_keeper.save()
        measured["status"] = self._timed(self.library.status)
        share = min(1.0, CHECKED_CLIPS / size)
        measured["check"] = self._timed(lambda: check(self.library, share=share))
        return measured

    def _look(self) -> None:
        """Brings the index up to the catalog, as the next query does."""
        with self.library.index() as index:
            len(index)

    def _new_clips(self) -> list[EncodedClip]:
        self._added += 1
        vectors = mix(self._crops, CLIPS_PER_VIDEO, (NEW_SEED, self._added))
        borders = make_video(self._added, CLIPS_PER_VIDEO).borders
        return [
            EncodedClip(
                start, end, vector, vector[None].astype(np.float16), np.array([(start + end) / 2]), ()
            )
            for start, end, vector in zip(borders[:-1], borders[1:], vectors, strict=True)
        ]

    def _publish(self, clips: list[EncodedClip]) -> int:
        """Writes a video as an ingest does, in three transactions."""
        path = f"/archive/new/{self._added:06d}.mp4"
        with self.library.write() as catalog:
            staged = catalog.stage_video(path, 1, 1)
        with self.library.write() as catalog:
            catalog.add_clips(staged, 0, clips)
        with self.library.write() as catalog:
            return catalog.publish_video(staged, digest=path, sampling=self.library.record().sampling)

    @staticmethod
    def _timed(work: Callable[[], object]) -> dict[str, float]:
        started, cpu_started = time.perf_counter(), time.process_time()
        work()
        return {
            "seconds": round(time.perf_counter() - started, 4),
            "cpu_seconds": round(time.process_time() - cpu_started, 4),
        }


def _opened(folder: Path) -> dict[str, float]:
    """What opening a saved index takes in a new program, its imports not counted."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.growth", "--open", str(folder)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def open_index(folder: Path) -> None:
    """Opens a library and its index, and prints what that took."""
    library = Library(folder, device="cpu")

    def look() -> None:
        with library.index() as index:
            len(index)

    print(json.dumps(Growth._timed(look)))
    library.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_options(parser)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="clips, ascending, commas between")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--plot", type=Path, help="an SVG to draw the figures in")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where growth.json is written")
    parser.add_argument("--open", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.open:
        open_index(options.open)
        return
    sizes = [int(size) for size in options.sizes.split(",")]
    if sizes != sorted(sizes) or any(size % CLIPS_PER_VIDEO for size in sizes):
        parser.error(f"sizes must ascend and be multiples of {CLIPS_PER_VIDEO}, got {options.sizes}")
    bank = read_bank(options)
    clips = open_clips(options.folder.absolute(), bank, sizes[-1])
    folder = options.folder.absolute() / "growing"
    shutil.rmtree(folder, ignore_errors=True)
    growth = Growth(folder, bank, options.rounds)
    create(growth.library)
    figures = {}
    for known, size in zip([0, *sizes], sizes, strict=False):
        print(f"{time.strftime('%H:%M:%S')} {size} clips", file=sys.stderr, flush=True)
        figures[str(size)] = growth.grow(clips, size, known)
    growth.library.close()
    shutil.rmtree(folder, ignore_errors=True)
    if options.plot:
        draw(figures, WORK, options.plot)
    result = {"dim": clips.shape[1], "material": bank.name, "rounds": options.rounds, "sizes": figures}
    write_result("growth", result, options.out)


if __name__ == "__main__":
    main()

"""The material of a benchmark: a bank, clips and a filled library, made once and kept in a folder."""

from __future__ import annotations

import argparse
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.large.archive import clips_per_video
from benchmarks.large.bank import Bank, open_bank
from benchmarks.large.clips import open_clips
from benchmarks.large.filling import create, fill
from benchmarks.programs import ROOT
from search.catalog.database import newest_revision
from search.library import Library

KEPT = ROOT / ".bench"


@dataclass(frozen=True, slots=True)
class Material:
    """What is measured on.

    Attributes:
        bank: Of photographs.
        clips: float16 (N, D), embeddings.
        library: The folder of a library that holds them; the clip of row r has the id r + 1.
        fill_seconds: What filling it took; None where it was there.
    """

    bank: Bank
    clips: NDArray[np.float16]
    library: Path
    fill_seconds: float | None


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of every benchmark that is measured on such material."""
    parser.add_argument("--photographs", type=Path, help="ImageNet's; without, frames of sample footage")
    parser.add_argument(
        "--everyday", type=Path, help="everyday photographs, with images/train2017 and val2017"
    )
    parser.add_argument("--half", choices=("choosing", "judging", "all"), default="judging")
    parser.add_argument("--folder", type=Path, default=KEPT, help="where material is kept (.bench)")


def read_bank(options: argparse.Namespace) -> Bank:
    """The bank that the options name."""
    folder = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return open_bank(folder, options.photographs, options.everyday, options.half)


def make_material(options: argparse.Namespace, count: int) -> Material:
    """A library of so many clips, made or found again."""
    folder = options.folder.absolute()
    bank = read_bank(options)
    clips = open_clips(folder, bank, count)
    where = folder / f"library-{bank.name}-{count}-{newest_revision()}"
    if where.exists() and not _is_whole(where, count):
        shutil.rmtree(where)
    seconds = None
    if not where.exists():
        library = Library(where, create=True, device="cpu")
        create(library)
        started = time.perf_counter()
        fill(library, clips, 0, clips_per_video(count))
        seconds = round(time.perf_counter() - started, 1)
        library.close()
    return Material(bank, clips, where, seconds)


def _is_whole(folder: Path, count: int) -> bool:
    library = Library(folder, create=True, device="cpu")
    try:
        with library.read() as catalog:
            return catalog.count_clips() == count
    finally:
        library.close()


def size_of(folder: Path) -> int:
    """Bytes of the files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

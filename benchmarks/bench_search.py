"""Search side by side on the same vectors: bare FAISS, ours, and peers, with filters, against an oracle.

    python -m benchmarks.bench_search [--clips 20000] [--photographs FOLDER] [--peers none]
    python -m benchmarks.bench_search --clips 200000 --peers hnswlib,usearch-f16 --python venv/bin/python

Vectors are those of the default encoder, mixed of what its network sees in photographs; questions are words,
stored clips and pictures. Each engine is a program of its own. They take turns, in one order and then in the
other; of each round the median and the 95th percentile are taken, and of these the median over the rounds. An
engine with a setting from quick to thorough gets the quickest that finds 0.99 of the ten best, for questions
that are not counted afterwards.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.large.archive import Case, cases_of, columns_of
from benchmarks.large.contender import CONTENDERS, PEERS, open_contender
from benchmarks.large.databases import COLUMNS
from benchmarks.large.material import Material, add_options, make_material, size_of
from benchmarks.large.programs import ContenderError, Program, build, versions
from benchmarks.large.questions import Question, make_questions
from benchmarks.large.truth import Truth, find_truth
from benchmarks.report import RESULTS, read_bandwidth, spread, write_result
from search.library import Library

WANTED_RECALL = 0.99
TUNING = 40
DEPTHS = (10, 100)
KINDS = ("text", "clip", "picture")
FILTERED_KINDS = ("text", "clip")
FLAT_SHARE = 0.4  # of the memory that is free: up to there whole vectors are the floor, above halved ones


class Bench:
    """One run: the material, the questions, the right answers, and the programs that are asked.

    Args:
        options: Of the command line.
        work: A folder for what is written for all of them.
    """

    def __init__(self, options: argparse.Namespace, work: Path) -> None:
        self.options, self.work = options, work
        say(f"material of {options.clips} clips")
        self.material: Material = make_material(options, options.clips)
        self.cases: list[Case] = cases_of(columns_of(options.clips))
        self.questions = self._make_questions()
        self._write_setup()
        say("right answers")
        passes = [one.passes for one in self.cases]
        self.truths = {
            by_cosine: find_truth(self.material.clips, self.questions, passes, by_cosine=by_cosine)
            for by_cosine in (False, True)
        }
        self.numbers = {
            kind: [number for number, one in enumerate(self.questions) if one.kind == kind]
            for kind in (*KINDS, "tuning")
        }

    def _make_questions(self) -> list[Question]:
        library = Library(self.material.library, device="cpu")
        try:
            bank, clips = self.material.bank, self.material.clips
            return make_questions(library, bank, clips, self.options.questions, TUNING)
        finally:
            library.close()

    def _write_setup(self) -> None:
        bank = self.material.bank.name
        setup = {
            "clips": self.options.clips,
            "vectors": str(self.options.folder.absolute() / f"clips-{bank}.npy"),
            "library": str(self.material.library),
            "own_rows": [one.row for one in self.questions],
            "questions": [{"text": one.text, "row": one.row} for one in self.questions],
            "cases": [
                {
                    "name": one.name,
                    "condition": one.condition,
                    "filters": {
                        name: value
                        for name in one.filters.__slots__
                        if (value := getattr(one.filters, name)) is not None
                    },
                }
                for one in self.cases
            ],
        }
        (self.work / "setup.json").write_text(json.dumps(setup))
        np.save(self.work / "questions.npy", np.stack([one.vector for one in self.questions]))
        np.savez(self.work / "passes.npz", **{str(n): one.passes for n, one in enumerate(self.cases)})
        columns = columns_of(self.options.clips)
        np.savez(self.work / "columns.npz", **{name: getattr(columns, name) for name in COLUMNS})

    def truth(self, name: str) -> Truth:
        """What a contender is held against: its own measure of likeness."""
        return self.truths[name != "ours"]

    def python(self, name: str) -> str:
        """The interpreter of a contender."""
        return str(self.options.python) if name in PEERS else sys.executable

    # --- one contender ---------------------------------------------------------------------

    def tune(self, name: str, program: Program, efforts: Sequence[int]) -> int | None:
        """Sets the least effort that finds what is wanted; the most where none does."""
        for effort in efforts:
            program.order("effort", value=effort)
            rows = program.ask(self.numbers["tuning"], 0, 10)["rows"]
            if self.recall(name, self.numbers["tuning"], 0, rows, 10) >= WANTED_RECALL:
                return effort
        return efforts[-1] if efforts else None

    def recall(self, name: str, numbers: list[int], case: int, rows: list[list[int]], k: int) -> float:
        """The mean over questions that have an answer."""
        truth = self.truth(name)
        found = [truth.recall(number, case, one, k) for number, one in zip(numbers, rows, strict=True)]
        return float(np.mean([one for one in found if one is not None] or [np.nan]))

    def asked_cases(self, has_filters: bool) -> list[tuple[str, int, list[int]]]:
        """Kind, filter and questions of all that a contender is asked in a round."""
        plain = [(kind, 0, self.numbers[kind]) for kind in KINDS]
        if not has_filters:
            return plain
        few = self.options.filtered
        cases = range(1, len(self.cases))
        return plain + [(kind, case, self.numbers[kind][:few]) for case in cases for kind in FILTERED_KINDS]

    def recalls(self, name: str, program: Program, has_filters: bool) -> dict[str, dict[str, float]]:
        """Recall at both depths by kind and filter; of words also by their sort."""
        found: dict[str, dict[str, float]] = {}
        for kind, case, numbers in self.asked_cases(has_filters):
            label = _label(kind, self.cases[case].name)
            found[label] = {}
            for k in DEPTHS:
                rows = program.ask(numbers, case, k)["rows"]
                found[label][f"at {k}"] = round(self.recall(name, numbers, case, rows, k), 4)
                if kind == "text" and not case:
                    for sort in dict.fromkeys(self.questions[number].sort for number in numbers):
                        of = [at for at, number in enumerate(numbers) if self.questions[number].sort == sort]
                        some, its = [numbers[at] for at in of], [rows[at] for at in of]
                        key = f"text: {sort}"
                        value = round(self.recall(name, some, case, its, k), 4)
                        found.setdefault(key, {})[f"at {k}"] = value
        return found

    # --- all of them -----------------------------------------------------------------------

    def run(self, names: Sequence[str]) -> dict[str, Any]:
        """Builds each, then asks them in turns; figures by name, or why there are none."""
        figures: dict[str, Any] = {}
        for name in names:
            say(f"{name}: building")
            try:
                figures[name] = {"build": build(name, self.work, self.python(name), self.options.patience)}
            except ContenderError as error:
                say(f"left out: {error}")
                figures[name] = {"left_out": str(error)}
        with ExitStack() as stack:
            programs: dict[str, Program] = {}
            for name in [name for name in names if "build" in figures[name]]:
                try:
                    program = stack.enter_context(Program(name, self.work, self.python(name)))
                    opened = program.answer()
                    opened["effort"] = self.tune(name, program, opened.pop("efforts"))
                    say(f"{name}: {opened['kind']}, effort {opened['effort']}")
                    figures[name] |= opened
                    figures[name]["recall"] = self.recalls(name, program, opened["has_filters"])
                    programs[name] = program
                except ContenderError as error:
                    say(f"left out: {error}")
                    figures[name]["left_out"] = str(error)
            times = self.rounds(programs, figures)
            for name, program in programs.items():
                figures[name]["memory"] = program.order("memory")
                figures[name]["times"] = times[name]
        return figures

    def rounds(self, programs: dict[str, Program], figures: dict[str, Any]) -> dict[str, Any]:
        """Asks everything in turns; by name, kind and filter the spread over the rounds."""
        taken: dict[str, dict[str, dict[str, list[float]]]] = defaultdict(lambda: defaultdict(dict))
        for number in range(self.options.rounds):
            say(f"round {number + 1} of {self.options.rounds}")
            for name in list(programs)[:: 1 if number % 2 else -1]:
                program = programs[name]
                program.order("refresh")
                for kind, case, numbers in self.asked_cases(figures[name]["has_filters"]):
                    answer = program.ask(numbers, case, 10)
                    kept = taken[name][_label(kind, self.cases[case].name)]
                    for key, value in (
                        ("p50_ms", float(np.percentile(answer["ms"], 50))),
                        ("p95_ms", float(np.percentile(answer["ms"], 95))),
                        ("cpu_ms", answer["cpu_ms"]),
                    ):
                        kept.setdefault(key, []).append(value)
        return {
            name: {
                label: {key: spread(values) for key, values in kept.items()} for label, kept in cases.items()
            }
            for name, cases in taken.items()
        }


def _label(kind: str, case: str) -> str:
    return f"{kind}, {case}" if case else kind


def ratios(figures: dict[str, Any], floor: str) -> dict[str, float]:
    """Our median time over the floor's, by kind and filter, where both were measured."""
    ours, bare = (figures[name].get("times", {}) for name in ("ours", floor))
    return {
        label: round(kept["p50_ms"]["median"] / bare[label]["p50_ms"]["median"], 3)
        for label, kept in ours.items()
        if label in bare
    }


def floor_of(clips: int, dim: int, bandwidth: float, free: int) -> tuple[str, dict[str, Any]]:
    """The name of the floor, and what reading its vectors once takes at least."""
    name = "faiss-flat" if 4 * clips * dim < FLAT_SHARE * free else "faiss-fp16"
    size = clips * (4 * dim if name == "faiss-flat" else 2 * (-(-dim // 8) * 8))
    return name, {
        "engine": name,
        "bytes_read": size,
        "bandwidth_gb_per_second": round(bandwidth / 1e9, 1),
        "least_ms": round(1000 * size / bandwidth, 2),
    }


def say(what: str) -> None:
    """Tells how far it is, beside the result."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_options(parser)
    parser.add_argument("--clips", type=int, default=20_000)
    parser.add_argument("--questions", type=int, default=40, help="of each kind")
    parser.add_argument("--filtered", type=int, default=10, help="of them, under each filter")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", default=",".join(PEERS), help="names with commas between, or none")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="of the peers' packages")
    parser.add_argument("--patience", type=float, default=3600, help="seconds that a build may take")
    parser.add_argument("--name", default="search", help="of the result's file")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where it is written")
    options = parser.parse_args()
    if options.clips < 2000:
        parser.error("--clips must be 2000 or more, or a filter of 0.1 % lets none through")
    unknown = set(options.peers.split(",")) - set(PEERS) - {"none"}
    if unknown:
        parser.error(f"there are no peers {sorted(unknown)}; there are {', '.join(PEERS)}")
    return options


def main() -> None:
    options = parse()
    peers = [name for name in PEERS if name in options.peers.split(",")]
    work = options.folder.absolute() / "contenders"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    bench = Bench(options, work)
    bandwidth, free = read_bandwidth(), psutil.virtual_memory().available
    floor, arithmetic = floor_of(*bench.material.clips.shape, bandwidth, free)
    figures = bench.run([floor, "ours", *peers])
    found = {name: figures[name] for name in CONTENDERS if name in figures}
    packages = {name: type(open_contender(name, work)).packages for name in found}
    shutil.rmtree(work, ignore_errors=True)
    write_result(
        options.name,
        {
            "clips": options.clips,
            "dim": bench.material.clips.shape[1],
            "material": bench.material.bank.name,
            "questions": {kind: len(numbers) for kind, numbers in bench.numbers.items()},
            "filtered_questions": options.filtered,
            "rounds": options.rounds,
            "passing": {one.name: int(one.passes.sum()) for one in bench.cases if one.name},
            "fill_seconds": bench.material.fill_seconds,
            "library_mib": round(size_of(bench.material.library) / 2**20, 1),
            "floor": arithmetic,
            "ratio_to_floor": ratios(figures, floor),
            "engines": found,
        },
        options.out,
        versions(tuple(package for of in packages.values() for package in of), str(options.python)),
    )


if __name__ == "__main__":
    main()

"""Measures what answers are worth and prints a table; see `docs/answers.md`."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from benchmarks.answers.figures import Measured, write_table
from benchmarks.answers.setup import ARCHIVE_SHOTS, Setup
from benchmarks.report import RESULTS, write_result

SECTIONS = ("words", "nothing", "lessons", "spans", "costs")


def main(given: Sequence[str] | None = None) -> None:
    """Measures the sections that are asked for, prints the table, writes the result.

    Args:
        given: Arguments; None reads those of the command line.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.answers", description=__doc__)
    parser.add_argument(
        "--photographs", type=Path, required=True, help="ImageNet's photographs, named by their synsets"
    )
    parser.add_argument("--everyday", type=Path, help="everyday photographs with boxes in YOLO's files")
    parser.add_argument("--folder", type=Path, help="keep the archives here, and use them again")
    parser.add_argument("--seeds", type=int, default=3, help="archives of each kind (3)")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument(
        "--half",
        choices=("judging", "choosing", "all"),
        default="judging",
        help="of the photographs (judging)",
    )
    parser.add_argument("--shots", type=int, default=ARCHIVE_SHOTS, help=f"of an archive ({ARCHIVE_SHOTS})")
    parser.add_argument("--before", type=Path, help="the result of another version, for the column `before`")
    parser.add_argument("--tree-before", type=Path, help="its working tree, for the section `costs`")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    arguments = parser.parse_args(given)
    with tempfile.TemporaryDirectory() as temporary:
        setup = Setup(
            arguments.photographs,
            arguments.everyday,
            arguments.folder or Path(temporary),
            arguments.seeds,
            arguments.half,
            arguments.shots,
            arguments.tree_before,
        )
        found: list[Measured] = []
        seconds = {}
        for section in arguments.sections:
            measure: Callable[[Setup], list[Measured]] = import_module(
                f"benchmarks.answers.{section}"
            ).measure
            started = time.perf_counter()
            found += measure(setup)
            seconds[section] = round(time.perf_counter() - started, 1)
    before = {}
    if arguments.before:
        lines = json.loads(arguments.before.read_text())["figures"]
        before = {f"{line['section']}: {line['name']}": line["value"] for line in lines}
    figures = [one.as_json() for one in found]
    write_result("answers", {"half": arguments.half, "seconds": seconds, "figures": figures}, arguments.out)
    print(write_table(found, before))


if __name__ == "__main__":
    main()

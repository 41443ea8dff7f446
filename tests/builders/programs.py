"""Programs of their own: the `indexer` command and pieces of Python, run from the root of the checkout."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MODEL_LIBRARIES = {"torch", "torchvision", "timm", "open_clip", "transformers", "sentence_transformers"}


def indexer_command(*arguments: object, library: Path | None = None) -> list[str]:
    """The command line of `indexer`, with a library where one is given."""
    folder = [] if library is None else ["--library", str(library)]
    return [sys.executable, "-m", "indexer", *map(str, arguments), *folder]


def run_indexer(
    *arguments: object, library: Path | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Runs `indexer` to its end, whatever that is."""
    command = indexer_command(*arguments, library=library)
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **options)


def start_indexer(*arguments: object, library: Path | None = None, **options: Any) -> subprocess.Popen[str]:
    """Starts `indexer` and does not wait for it."""
    return subprocess.Popen(indexer_command(*arguments, library=library), cwd=ROOT, text=True, **options)


def run_python(code: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a piece of Python, indented as it may be, in a program of its own."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    options = {"timeout": 120, **options}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **options)


LISTS_MODULES = """
import atexit, sys
atexit.register(lambda: print("MODULES", *{name.partition(".")[0] for name in sys.modules}, file=sys.stderr))
from indexer.commands.app import main
main()
"""


def modules_after(*arguments: object) -> set[str]:
    """The top-level modules that the command has loaded when it ends well."""
    found = run_python(LISTS_MODULES, *arguments)
    assert found.returncode == 0, f"{arguments} failed:\n{found.stdout}\n{found.stderr}"
    return set(found.stderr.rpartition("MODULES")[2].split())


class Ran:
    """What a command did: its exit status, and what it printed."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

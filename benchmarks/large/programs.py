"""The contenders' programs, started and asked from the one that measures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.programs import ROOT


class ContenderError(Exception):
    """A contender's program ended before it answered: what it said last."""


def build(name: str, folder: Path, python: str, most_seconds: float) -> dict[str, Any]:
    """Builds an engine in a program of its own; what that took.

    Raises:
        ContenderError: It fails, or takes longer than that.
    """
    with Program(name, folder, python, "build") as program:
        timer = threading.Timer(most_seconds, program.kill)
        timer.start()
        started = time.monotonic()
        try:
            return program.answer()
        except ContenderError as error:
            if time.monotonic() - started >= most_seconds:
                raise ContenderError(f"{name} was not built within {most_seconds:g} s") from error
            raise
        finally:
            timer.cancel()


def versions(packages: tuple[str, ...], python: str) -> dict[str, str]:
    """The versions of those packages that another Python has."""
    code = (
        "import importlib.metadata as m, json, sys\n"
        "names = {d.metadata['Name'].lower(): d.version for d in m.distributions() if d.metadata['Name']}\n"
        "print(json.dumps({n: names[n] for n in sys.argv[1:] if n in names}))"
    )
    done = subprocess.run([python, "-c", code, *packages], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


class Program:
    """A contender's program: a line of JSON goes in, a line comes out.

    Args:
        name: The contender's.
        folder: With what was written for all.
        python: Its interpreter.
        what: "build" or "answer".
    """

    def __init__(self, name: str, folder: Path, python: str = sys.executable, what: str = "answer") -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        with self._log.open("ab") as errors:
            self._program = subprocess.Popen(
                [python, "-m", "benchmarks.large.contender", name, str(folder), what],
                cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip

    def answer(self) -> dict[str, Any]:
        """The next line."""
        assert self._program.stdout is not None
        line = self._program.stdout.readline()
        if not line:
            status = self._program.wait()
            said = self._log.read_text(errors="replace").strip().splitlines()
            raise ContenderError(f"{self.name} ended with status {status}: {' '.join(said[-1:])}")
        return json.loads(line)

    def order(self, do: str, **more: Any) -> dict[str, Any]:
        """Tells it to do something, and waits for the answer."""
        assert self._program.stdin is not None
        try:
            self._program.stdin.write(json.dumps({"do": do, **more}) + "\n")
            self._program.stdin.flush()
        except BrokenPipeError:
            pass  # the answer says why
        return self.answer()

    def ask(self, questions: list[int], case: int, k: int) -> dict[str, Any]:
        """Rows found, milliseconds of each question, and processor milliseconds of one on average."""
        return self.order("ask", questions=questions, case=case, k=k)

    def kill(self) -> None:
        """Ends it at once, whatever it does."""
        self._program.kill()

    def close(self) -> None:
        """Ends it."""
        if self._program.stdin is not None:
            self._program.stdin.close()
        try:
            self._program.wait(30)
        except subprocess.TimeoutExpired:
            self._program.kill()
            self._program.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

"""Lines, clocks and progress on a terminal; machines read `--json` instead.

Rich is imported where something is shown: a command that prints JSON does without.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from search.file_names import shown_path

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 10_000  # columns


def _stderr() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def uncut_console(width: int = WIDE) -> Console:
    """Stdout as wide as its terminal, or as a width where there is none, so that nothing is cut in a pipe."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else width)


def printable(text: str) -> str:
    """A text as one line: control characters and, in names of files, bytes of no text are shown escaped."""
    return "".join(
        character if character.isprintable() else repr(character)[1:-1] for character in shown_path(text)
    )


def printable_path(path: str) -> str:
    r"""A path as one line, and only one path: a newline in a name is \n, a backslash is two."""
    return printable(path.replace("\\", "\\\\"))


def short_path(path: str) -> str:
    """The path from here or from home, where that is shorter; it still opens the file."""
    here = os.path.relpath(path) if path.startswith(os.getcwd() + os.sep) else path
    home = (
        "~" + path.removeprefix(os.path.expanduser("~"))
        if path.startswith(os.path.expanduser("~/"))
        else path
    )
    return min(path, here, home, key=len)


def error(message: str) -> None:
    """Prints an error as one line on stderr."""
    from rich.markup import escape

    _stderr().print(f"[bold red]error:[/] {escape(printable(message))}", soft_wrap=True)


def note(message: str) -> None:
    """Prints one line on stderr."""
    _stderr().print(printable(message), markup=False, soft_wrap=True)


def clock(seconds: float) -> str:
    """Seconds as people read them on a player: 2:05.3, 1:02:05.3."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    tail = f"{rest // 10:02d}.{rest % 10}"
    return f"{hours}:{minutes:02d}:{tail}" if hours else f"{minutes}:{tail}"


def clock_span(start_seconds: float, end_seconds: float) -> str:
    """A span of time as people read it: 0:01.2-0:10.0."""
    return f"{clock(start_seconds)}-{clock(end_seconds)}"


def counted(number: int, what: str) -> str:
    """A number of things, in words: "1 clip", "2 clips"."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


@contextmanager
def status(message: str) -> Iterator[None]:
    """A spinner on a terminal, nothing elsewhere."""
    console = _stderr()
    if not console.is_terminal:
        yield
        return
    with console.status(message):
        yield


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal, for things of which so many of so many are done."""
    console = _stderr()
    if not console.is_terminal:
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn(what))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)

        def on_progress(done: int, total: int) -> None:
            progress.update(task, total=total, completed=done)

        yield on_progress

"""Lines, columns, clocks and progress on a terminal; machines read `--json` instead.

Rich is imported only for what moves, folds or is coloured in parts: a command that is soon done does without.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TextIO

from search.file_names import shown_path

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 10_000  # columns
_STYLES = {"bold": "1", "dim": "2", "red": "1;31"}


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
    _to_stderr(f"{styled('error:', 'red', sys.stderr)} {printable(message)}")


def note(message: str) -> None:
    """Prints one line on stderr."""
    _to_stderr(printable(message))


def _to_stderr(line: str) -> None:
    if sys.stderr is not None:  # it may have been closed (2>&-), and print would take stdout instead
        print(line, file=sys.stderr)


def aside(message: str) -> None:
    """Prints a line of less weight on stdout."""
    print(styled(message, "dim", sys.stdout))


def columns(rows: Iterable[Sequence[str]], *, head: Sequence[str], right: Collection[str] = ()) -> None:
    """Prints rows in columns on stdout, two spaces apart; nothing is cut, whatever the terminal's width.

    Args:
        rows: Cells of one line each.
        head: Names of the columns, above them.
        right: Those of them that are aligned to the right.
    """
    every = [head, *rows]
    widths = [max(map(cells, column)) for column in zip(*every, strict=True)]
    for row in every:
        line = "  ".join(
            " " * (width - cells(cell)) + cell if name in right else cell + " " * (width - cells(cell))
            for name, cell, width in zip(head, row, widths, strict=True)
        ).rstrip()
        print(styled(line, "bold", sys.stdout) if row is head else line)


def cells(text: str) -> int:
    """How many places of a terminal a text of one line takes: two for a wide character (UAX #11)."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 1 + (unicodedata.east_asian_width(one) in "WF") for one in text
    )


def styled(text: str, style: Literal["bold", "dim", "red"], stream: TextIO | None) -> str:
    """A text in a style of the terminal (ECMA-48, SGR), or as it is where no terminal shows it.

    Args:
        text: Of one line.
        style: NO_COLOR and a dumb terminal mean none.
        stream: Where it is printed.
    """
    if not _is_terminal(stream) or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


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
    if not _is_terminal(sys.stderr):
        yield
        return
    from rich.console import Console

    with Console(stderr=True, highlight=False).status(message):
        yield


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal, for things of which so many of so many are done."""
    if not _is_terminal(sys.stderr):
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    console = Console(stderr=True, highlight=False)
    shown = (SpinnerColumn(), BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn(what))
    with Progress(*shown, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)

        def on_progress(done: int, total: int) -> None:
            progress.update(task, total=total, completed=done)

        yield on_progress

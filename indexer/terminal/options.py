"""Options that commands share, opening the library, paths, JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from indexer.terminal import show
from indexer.terminal.own_socket import SOCKET_NAME
from indexer.terminal.settings import read_settings
from search.file_names import stored_path

if TYPE_CHECKING:
    from indexer.terminal.own_server import OwnServer
    from search.library import Library

Answer = TypeVar("Answer")

LibraryOption = Annotated[
    Path | None,
    typer.Option(
        "--library",
        "-L",
        metavar="DIR",
        help="The library's folder. Default: $REELSEEK_LIBRARY, else the user's data folder.",
        show_default=False,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document on stdout; all else goes to stderr.")
]
DeviceOption = Annotated[
    str | None,
    typer.Option(metavar="DEVICE", help="cpu, cuda, cuda:1 or mps. Default: the best there is."),
]

EncoderOption = Annotated[
    str | None,
    typer.Option(metavar="SPEC", help="See `indexer encoders`. Fixed by the first ingest."),
]
WorkersOption = Annotated[
    int | None, typer.Option(min=1, max=256, help="Decoding programs; default: cores / 2.")
]
AfterOption = Annotated[
    str | None,
    typer.Option("--after", metavar="DATE", help="Only videos recorded then or later: 2024-05-31[T18:00]."),
]
BeforeOption = Annotated[
    str | None,
    typer.Option("--before", metavar="DATE", help="Only videos recorded until then; a day counts whole."),
]
VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say whether a running server answered.")
]
NoServerOption = Annotated[
    bool,
    typer.Option("--no-server", envvar="REELSEEK_NO_SERVER", help="Ask no running server of the library."),
]


def ask_server(
    question: Callable[[OwnServer], Answer], library: Path | None, *, verbose: bool
) -> Answer | None:
    """Asks the running server of a library; None where there is none, or it has no answer.

    Args:
        question: What to ask it.
        library: The option's value.
        verbose: Say on stderr who answers, and why.
    """
    found = read_settings()
    path = (library or found.library).expanduser().absolute() / SOCKET_NAME
    say = show.note if verbose else _say_nothing
    if not os.path.lexists(path):
        say("answered here: no server of this library runs")
        return None
    from indexer.terminal.own_server import ask

    return ask(question, path, found.database_url, found.index, say=say)


def _say_nothing(_: str) -> None:
    pass


@contextmanager
def open_library(
    folder: Path | None, device: str | None = None, *, create: bool = False, migrate: bool = True
) -> Iterator[Library]:
    """The library, closed at the end of the block."""
    from search.library import Library

    found = read_settings()
    library = Library(
        folder or found.library,
        database_url=found.database_url,
        device=device or found.device,
        index=found.index,
        create=create,
        migrate=migrate,
    )
    try:
        yield library
    finally:
        library.close()


def print_json(document: Any) -> None:
    """One document on stdout."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")


def absolute_prefix(prefix: str | None) -> str | None:
    """A filter's path, if any; a relative one counts from here."""
    return None if prefix is None else absolute(prefix)


def absolute(path: str) -> str:
    """The path as ingest stores it. An empty one is refused: it would mean the whole folder here."""
    if not path:
        raise typer.BadParameter("an empty path was given; expected a file or folder")
    return stored_path(os.path.abspath(os.path.expanduser(path)))

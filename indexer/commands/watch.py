"""`indexer watch` on the command line."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from indexer.terminal import show
from indexer.terminal.options import (
    DeviceOption,
    EncoderOption,
    LibraryOption,
    WorkersOption,
    absolute,
    open_library,
)
from indexer.terminal.settings import read_settings
from indexer.terminal.stopping import stop_on_signal

if TYPE_CHECKING:
    from indexer.ingest.types import Change


def watch(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files and folders.")],
    library: LibraryOption = None,
    settle_seconds: Annotated[
        float, typer.Option(min=0.1, max=86400, help="A file unchanged for so long is complete.")
    ] = 2.0,
    poll: Annotated[
        bool, typer.Option("--poll", help="Look through the folders instead of waiting for notices.")
    ] = False,
    poll_seconds: Annotated[float, typer.Option(min=0.1, max=86400, help="How often, with --poll.")] = 5.0,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove videos whose file vanished, not only mark them.")
    ] = False,
    encoder: EncoderOption = None,
    device: DeviceOption = None,
    workers: WorkersOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document a line; all else goes to stderr.")
    ] = False,
) -> None:
    """Follow files and folders: what is new, changed, moved or removed there, until stopped.

    A file is read once it is complete: unchanged for a while, and open for writing nowhere on this
    machine. A folder that goes away is waited for. Ends in order on Ctrl-C and SIGTERM.
    """
    from indexer.ingest.types import IngestOptions
    from indexer.watching.watcher import Watcher, WatchOptions

    options = WatchOptions(
        settle_seconds=settle_seconds,
        poll_seconds=poll_seconds if poll else None,
        ingest=IngestOptions(
            encoder=encoder, device=device or read_settings().device, prune=prune, workers=workers
        ),
    )
    with open_library(library, device, create=True) as opened, stop_on_signal() as stopping:
        Watcher(
            opened,
            [absolute(str(path)) for path in paths],
            options,
            on_change=_print_json if as_json else _print,
            say=show.note,
            should_stop=stopping.is_set,
        ).run()
    show.note("stopped watching")


def _print(change: Change) -> None:
    line = f"{change.kind} {show.printable_path(change.path)}"
    if change.from_path is not None:
        line = f"{change.kind} {show.printable_path(change.from_path)} -> {show.printable_path(change.path)}"
    if change.clips is not None:
        line += f" ({show.counted(change.clips, 'clip')})"
    if change.reason is not None:
        line += f": {show.printable(change.reason)}"
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _print_json(change: Change) -> None:
    document = {
        "event": change.kind,
        "path": change.path,
        "from_path": change.from_path,
        "clips": change.clips,
        "reason": change.reason,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    document = {name: value for name, value in document.items() if value is not None}
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    sys.stdout.flush()

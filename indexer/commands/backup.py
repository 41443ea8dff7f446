"""`indexer backup` and `indexer restore` on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from indexer.terminal import show
from indexer.terminal.options import JsonOption, LibraryOption, open_library, print_json
from indexer.terminal.settings import read_settings


def backup(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder for the backup.")],
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy the catalog, as it is now, to a new folder; searches and ingests may go on."""
    from indexer.keeping.backup import back_up

    with open_library(library) as opened, show.status("copying the catalog"):
        record = back_up(opened, folder)
    if as_json:
        print_json(record)
    else:
        show.note(f"backed up to {folder}: {_contents(record)}")


def restore(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that `indexer backup` wrote.")],
    library: LibraryOption = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the library that is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Put a backup in the place of the library, after checking that it is whole."""
    from indexer.keeping.backup import restore as run_restore

    found = read_settings()
    with show.status("checking and copying the catalog"):
        record = run_restore(
            folder,
            library or found.library,
            database_url=found.database_url,
            force=force,
            say=show.note,
        )
    if as_json:
        print_json(record)
    else:
        show.note(f"restored the backup of {record['made_at']}: {_contents(record)}")


def _contents(record: dict[str, object]) -> str:
    rows = record["rows"]
    assert isinstance(rows, dict)
    videos, clips = show.counted(rows["videos"], "video"), show.counted(rows["clips"], "clip")
    return f"{videos}, {clips}, {int(str(record['size_bytes'])) / 1e6:.1f} MB"

"""`indexer serve`: the HTTP API and the page."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from indexer.terminal.options import DeviceOption, LibraryOption
from indexer.terminal.settings import read_settings


class LogLevel(StrEnum):
    debug = "debug"
    info = "info"
    warning = "warning"


def serve(
    library: LibraryOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    device: DeviceOption = None,
    require_keys: Annotated[
        bool, typer.Option("--require-keys", help="Ask for keys on this machine as well.")
    ] = False,
    root: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="Index and serve only what lies below; may be repeated."),
    ] = None,
    log_level: Annotated[
        LogLevel | None, typer.Option(help="From where on to log, as JSON lines on stderr.")
    ] = None,
    log_paths: Annotated[
        bool, typer.Option("--log-paths", help="Log addresses with paths and queries, not routes only.")
    ] = False,
) -> None:
    """Serve the HTTP API and the page.

    On this machine it is open to everybody who is logged in here. On any other address it lets nobody in
    without a key (`indexer keys create`) or an OIDC token.
    """
    import importlib

    found = read_settings()
    # By name, because `indexer` lies below `api` and does not import it.
    importlib.import_module("api.server").run(
        folder=library or found.library,
        database_url=found.database_url,
        device=device or found.device,
        index=found.index,
        host=host,
        port=port,
        # What is not given is left to REELSEEK_<NAME>.
        **({"require_keys": True} if require_keys else {}),
        **({"roots": [str(path) for path in root]} if root else {}),
        **({"log_level": log_level.value} if log_level else {}),
        **({"log_paths": True} if log_paths else {}),
    )

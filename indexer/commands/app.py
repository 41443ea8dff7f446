"""The `indexer` command: its subcommands, and what its entry point makes of their errors.

Each command parses, calls and shows; the work is done elsewhere. Nothing here imports torch, NumPy or
SQLAlchemy: a command loads what it needs when it gets there, and the other commands not at all.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import logging
import os
import sys
from typing import Any

import typer
import typer.core

from encoders.errors import InvalidQueryError, ReelseekError, UnknownActionError
from indexer.terminal import show
from indexer.terminal.stopping import Interrupted

# Where each command is, in the order of the help; those of `library` and the like are several in a module.
COMMANDS = {
    "ingest": "ingest",
    "search": "search",
    "status": "library",
    "videos": "library",
    "remove": "library",
    "rebuild": "library",
    "tune": "library",
    "encoders": "models.listing",
    "serve": "serve",
    "find": "find",
    "summarize": "summarize",
    "caption": "caption",
    "check": "check",
    "backup": "backup",
    "restore": "backup",
    "watch": "watch",
    "train": "models.train",
    "evaluate": "models.evaluate",
    "predict": "models.predict",
    "models": "models.listing",
}
GROUPS = {"actions": "actions", "keys": "keys"}
QUICK = {"search", "status", "videos", "find"}


class _Commands(typer.core.TyperGroup):
    """The command's help, with the whole first sentence about each subcommand."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Writes what subcommands there are; called by the base class."""
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [(name, one.get_short_help_str(limit=200)) for name, one in found if one is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def make_app(*, only: str | None = None) -> typer.Typer:
    """The command with its subcommands.

    Args:
        only: Where it is the name of a subcommand, the others are left out: loading all of them and reading
            their options takes a tenth of a second.
    """
    app = typer.Typer(
        name="indexer",
        help="Find any moment in a video archive: by words, by an image, by an example clip.",
        cls=_Commands,
        no_args_is_help=True,
        rich_markup_mode=None,  # drawing boxes takes as long as all else that `--help` does
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_no_options)
    is_known = only in GROUPS or only in COMMANDS
    for name, module in COMMANDS.items():
        if name == only or not is_known:
            app.command()(_find(module, name))
    for name, module in GROUPS.items():
        if name == only or not is_known:
            app.add_typer(_find(module, f"{name}_app"), cls=_Commands)
    return app


def _find(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f"indexer.commands.{module}"), name)


def _no_options() -> None:
    pass


def main() -> None:
    """Runs the command; errors of ours become one line on stderr and an exit status."""
    command = next(iter(sys.argv[1:]), None)
    if command in QUICK:
        # Starting threads for products that take no time, and ending them, takes longer than the products.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # OpenMP's threads wait for each other by spinning unless told otherwise. Where other programs, or other
    # threads of a server, want the same cores, that made encoding six times as slow; alone it saves a tenth.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Nearly all that a short command makes are modules, which stay: looking for garbage among them,
    # as often as Python does by itself, takes a tenth of a second.
    gc.set_threshold(200_000)
    atexit.register(_end_at_once)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show is no reason to stop
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        make_app(only=command)()
    except (Interrupted, KeyboardInterrupt):
        _fail("interrupted; run the same command again to go on", 130)
    except (InvalidQueryError, UnknownActionError) as error:
        _fail(str(error), 2)
    except ReelseekError as error:
        _fail(str(error), 1)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    except Exception as error:  # whatever it is, people get a line and an exit status
        if os.environ.get("REELSEEK_TRACEBACK"):
            raise
        kind = type(error).__name__
        _fail(f"{error} ({kind}; REELSEEK_TRACEBACK=1 shows where)", 1)


def _end_at_once() -> None:
    """Has Python not look for garbage among all that is left at the end: a fifth of a short command's time.

    Where models were loaded that is little, and some of what they are made of counts what it lets go.
    """
    if "torch" not in sys.modules:
        gc.freeze()


def _fail(message: str, status: int) -> None:
    show.error(message)
    sys.exit(status)

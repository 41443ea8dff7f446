"""The `indexer` command: its subcommands, and what its entry point makes of their errors.

Each command parses, calls and shows; the work is done elsewhere. Nothing here imports torch, NumPy or
SQLAlchemy: a command loads what it needs when it gets there.
"""

from __future__ import annotations

import gc
import io
import logging
import os
import sys

import typer

from encoders.errors import InvalidQueryError, ReelseekError, UnknownActionError
from indexer.commands.actions import actions_app
from indexer.commands.backup import backup, restore
from indexer.commands.caption import caption
from indexer.commands.check import check
from indexer.commands.find import find
from indexer.commands.ingest import ingest
from indexer.commands.keys import keys_app
from indexer.commands.library import rebuild, remove, status, videos
from indexer.commands.models.evaluate import evaluate
from indexer.commands.models.listing import encoders, models
from indexer.commands.models.predict import predict
from indexer.commands.models.train import train
from indexer.commands.search import search
from indexer.commands.serve import serve
from indexer.commands.summarize import summarize
from indexer.commands.watch import watch
from indexer.terminal import show
from indexer.terminal.stopping import Interrupted

COMMANDS = (
    *(ingest, search, status, videos, remove, rebuild, encoders, serve, find, summarize, caption, check),
    *(backup, restore, watch, train, evaluate, predict, models),
)
GROUPS = (actions_app, keys_app)


def make_app(*, only: str | None = None) -> typer.Typer:
    """The command with its subcommands.

    Args:
        only: Where it is the name of a subcommand, the others are left out: reading the options of all of
            them takes a tenth of a second.
    """
    app = typer.Typer(
        name="indexer",
        help="Find any moment in a video archive: by words, by an image, by an example clip.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_no_options)
    groups = {str(group.info.name): group for group in GROUPS}
    commands = {command.__name__: command for command in COMMANDS}
    is_known = only in groups or only in commands
    for name, command in commands.items():
        if name == only or not is_known:
            app.command()(command)
    for name, group in groups.items():
        if name == only or not is_known:
            app.add_typer(group)
    return app


def _no_options() -> None:
    pass


def main() -> None:
    """Runs the command; errors of ours become one line on stderr and an exit status."""
    # OpenMP's threads wait for each other by spinning unless told otherwise. Where other programs, or other
    # threads of a server, want the same cores, that made encoding six times as slow; alone it saves a tenth.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Nearly all that a short command makes are modules, which stay: looking for garbage among them,
    # as often as Python does by itself, takes a tenth of a second.
    gc.set_threshold(200_000)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show is no reason to stop
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        make_app(only=next(iter(sys.argv[1:]), None))()
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


def _fail(message: str, status: int) -> None:
    show.error(message)
    sys.exit(status)

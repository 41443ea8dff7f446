"""`indexer ingest`: files and folders into the library."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from encoders.errors import InvalidQueryError
from indexer.terminal import show
from indexer.terminal.options import (
    DeviceOption,
    EncoderOption,
    JsonOption,
    LibraryOption,
    WorkersOption,
    absolute,
    open_library,
    print_json,
)
from indexer.terminal.settings import read_settings
from indexer.terminal.stopping import Interrupted, stop_on_signal
from indexer.video.limits import STALL_SECONDS

if TYPE_CHECKING:
    from indexer.video.types import SamplingOptions
    from search.library import Library


class Sampling(StrEnum):
    exact = "exact"
    fast = "fast"
    keyframes = "keyframes"


class Pooling(StrEnum):
    mean = "mean"
    max = "max"
    attention = "attention"


PathsArgument = Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files and folders.")]
ClipSecondsOption = Annotated[
    float | None,
    typer.Option(min=0.5, max=3600, help="Longest clip; default 4, then what was used before."),
]
FpsOption = Annotated[
    float | None,
    typer.Option(min=0.01, max=240, help="Frames encoded per second; default 2, then as before."),
]
SamplingOption = Annotated[
    Sampling | None,
    typer.Option(
        help="fast leaves out frames that no other needs, so cuts may be 1/8 s late; keyframes decodes "
        "key frames only: faster still, coarse times and no cuts."
    ),
]
ActionsOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="HEAD",
        help="Name actions too: kinetics:<model>, zero-shot, zero-shot:<file of names>; or none.",
    ),
]
PoolingOption = Annotated[Pooling | None, typer.Option(help="Frames to clip; fixed by the first.")]
PruneOption = Annotated[bool, typer.Option("--prune", help="Remove videos whose file vanished.")]
StallOption = Annotated[
    float, typer.Option(min=1, max=86400, help="Give a file up when its decoder makes no progress.")
]
PatienceOption = Annotated[
    float,
    typer.Option(
        min=0.1,
        max=1e6,
        metavar="TIMES",
        help="Give a file so many times the usual processor time before it is left out.",
    ),
]


def ingest(
    paths: PathsArgument,
    library: LibraryOption = None,
    clip_seconds: ClipSecondsOption = None,
    fps: FpsOption = None,
    sampling: SamplingOption = None,
    encoder: EncoderOption = None,
    actions: ActionsOption = None,
    pooling: PoolingOption = None,
    device: DeviceOption = None,
    prune: PruneOption = False,
    workers: WorkersOption = None,
    stall_seconds: StallOption = STALL_SECONDS,
    patience: PatienceOption = 1.0,
    as_json: JsonOption = False,
) -> None:
    """Index files and folders, or bring them up to date.

    Exit status: 0 all well, 1 something failed (each file named on stderr), 2 wrong usage.
    """
    from indexer.ingest.pipeline import ingest as run_ingest
    from indexer.ingest.types import IngestOptions
    from indexer.terminal.show_ingest import show_ingest_progress, show_ingest_summary

    # With every path there, an ingest may make the library; else it must know what is missing.
    is_new = all(path.expanduser().exists() for path in paths)
    if not is_new and not _library_exists(library):
        raise typer.BadParameter("no such file or folder among them", param_hint="PATH")
    with open_library(library, device, create=is_new) as opened:
        names = [_existing(path, opened) for path in paths]
        options = IngestOptions(
            sampling=_changed_sampling(
                opened, actions, clip_seconds=clip_seconds, fps=fps, sampling=sampling and sampling.value
            ),
            encoder=encoder,
            actions=actions,
            pooling=pooling.value if pooling else None,
            device=device or read_settings().device,
            prune=prune,
            workers=workers,
            stall_seconds=stall_seconds,
            patience=patience,
        )
        with stop_on_signal() as stopping, show_ingest_progress() as on_progress:
            summary = run_ingest(
                opened, names, options, on_progress=on_progress, say=show.note, should_stop=stopping.is_set
            )
    show_ingest_summary(summary)
    if as_json:
        print_json(summary.as_json())
    if summary.stopped:
        raise Interrupted
    if summary.failed:
        raise typer.Exit(1)


def _library_exists(folder: Path | None) -> bool:
    found = read_settings()
    catalog = (folder or found.library) / "catalog.sqlite3"
    return found.database_url is not None or catalog.exists()


def _existing(path: Path, library: Library) -> str:
    """The path as text; refused when it neither exists nor was indexed before."""
    name = str(path.expanduser())
    if "\0" in name:
        raise typer.BadParameter("no path can hold a NUL character", param_hint="PATH")
    if not path.expanduser().exists():
        with library.read() as catalog:
            if not catalog.videos_below(absolute(name)):
                raise typer.BadParameter(f"{name} does not exist", param_hint="PATH")
    return name


def _changed_sampling(library: Library, actions: list[str] | None, **changes: Any) -> SamplingOptions | None:
    """The library's sampling with what was asked for; None when nothing was.

    Args:
        library: Perhaps still empty.
        actions: What is to name actions from now on; None leaves that as it was.
        changes: Fields of the sampling; None leaves one as it was.

    Raises:
        InvalidQueryError: They do not go together with what the library has.
    """
    from indexer.video.types import SamplingOptions, stored_sampling

    if all(value is None for value in changes.values()):
        return None
    with library.read() as catalog:
        record = catalog.library_record()
    sampling = stored_sampling(record.sampling) if record else SamplingOptions()
    if actions is not None:  # then they replace the library's own, which need not fit any more
        sampling = sampling.without_actions()
    try:
        return sampling.changed(**changes)
    except ValueError as error:
        if sampling.actions is None:
            raise InvalidQueryError(str(error)) from error
        raise InvalidQueryError(
            f"{error}. This library names actions by {sampling.actions}, which needs dense frames: leave "
            "that option out, or add `--actions none`, which forgets what it saw"
        ) from error

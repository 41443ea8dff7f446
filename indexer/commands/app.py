"""The `indexer` command. Each command parses, calls, shows; the work is done elsewhere.

Nothing here imports torch: a command that encodes loads it when it gets there.
"""

from __future__ import annotations

import gc
import io
import logging
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from encoders.errors import InvalidQueryError, NotFoundError, ReelseekError, UnknownActionError
from indexer.commands import actions as actions_cli
from indexer.commands import backup as backup_cli
from indexer.commands import caption as caption_cli
from indexer.commands import check as check_cli
from indexer.commands import find as find_cli
from indexer.commands import keys as keys_cli
from indexer.commands import summarize as summarize_cli
from indexer.commands import train as train_cli
from indexer.commands import watch as watch_cli
from indexer.commands.options import (
    AfterOption,
    BeforeOption,
    DeviceOption,
    JsonOption,
    LibraryOption,
    absolute,
    absolute_prefix,
    open_library,
    print_json,
    settings,
)
from indexer.terminal import show
from indexer.terminal.stopping import Interrupted, stop_on_signal
from indexer.terminal.targets import refuse_footage, whole_file

if TYPE_CHECKING:
    from indexer.video.types import SamplingOptions
    from search.documents.videos import StatusAnswer
    from search.library import Library

app = typer.Typer(
    name="indexer",
    help="Find any moment in a video archive: by words, by an image, by an example clip.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Sampling(StrEnum):
    uniform = "uniform"
    keyframes = "keyframes"


class Pooling(StrEnum):
    mean = "mean"
    max = "max"
    attention = "attention"


class LogLevel(StrEnum):
    debug = "debug"
    info = "info"
    warning = "warning"


class Group(StrEnum):
    clip = "clip"
    moment = "moment"
    video = "video"


def main() -> None:
    """Entry point: errors of ours become one line on stderr and an exit status."""
    # OpenMP's threads wait for each other by spinning unless told otherwise. Where other programs, or other
    # threads of a server, want the same cores, that made encoding six times as slow; alone it saves a tenth.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Nearly all that a short command makes are modules, which stay: looking for garbage among them,
    # as often as Python does by itself, takes a tenth of a second.
    gc.set_threshold(50_000)
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show is no reason to stop
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        app(standalone_mode=True)
    except Interrupted:
        _fail("interrupted; run the same command again to go on", 130)
    except (InvalidQueryError, UnknownActionError) as error:
        _fail(str(error), 2)
    except ReelseekError as error:
        _fail(str(error), 1)
    except KeyboardInterrupt:
        _fail("interrupted; run the same command again to go on", 130)
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


@app.command()
def ingest(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files and folders.")],
    library: LibraryOption = None,
    clip_seconds: Annotated[
        float | None,
        typer.Option(min=0.5, max=3600, help="Longest clip; default 4, then what was used before."),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(min=0.01, max=240, help="Frames encoded per second; default 2, then as before."),
    ] = None,
    sampling: Annotated[
        Sampling | None,
        typer.Option(help="keyframes decodes key frames only: faster, coarser times and no cuts."),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="See `indexer encoders`. Fixed by the first ingest."),
    ] = None,
    actions: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HEAD",
            help="Name actions too: kinetics:<model>, zero-shot, zero-shot:<file of names>; or none.",
        ),
    ] = None,
    pooling: Annotated[Pooling | None, typer.Option(help="Frames to clip; fixed by the first.")] = None,
    device: DeviceOption = None,
    prune: Annotated[bool, typer.Option("--prune", help="Remove videos whose file vanished.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Decoding programs; default: cores / 2.")
    ] = None,
    stall_seconds: Annotated[
        float, typer.Option(min=1, max=86400, help="Give a file up when its decoder makes no progress.")
    ] = 60.0,
    patience: Annotated[
        float,
        typer.Option(
            min=0.1,
            max=1e6,
            metavar="TIMES",
            help="Give a file so many times the usual processor time before it is left out.",
        ),
    ] = 1.0,
    as_json: JsonOption = False,
) -> None:
    """Index files and folders, or bring them up to date.

    Exit status: 0 all well, 1 something failed (each file named on stderr), 2 wrong usage.
    """
    from indexer.ingest.pipeline import IngestOptions
    from indexer.ingest.pipeline import ingest as run_ingest

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
            device=device or settings().device,
            prune=prune,
            workers=workers,
            stall_seconds=stall_seconds,
            patience=patience,
        )
        with stop_on_signal() as stopping, show.ingest_progress() as on_progress:
            summary = run_ingest(
                opened, names, options, on_progress=on_progress, say=show.note, should_stop=stopping.is_set
            )
    show.ingest_summary(summary)
    if as_json:
        print_json(summary.as_json())
    if summary.stopped:
        raise Interrupted
    if summary.failed:
        raise typer.Exit(1)


def _library_exists(folder: Path | None) -> bool:
    found = settings()
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


@app.command()
def search(
    text: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="Words to look for.")] = None,
    image: Annotated[
        list[Path] | None, typer.Option(exists=True, dir_okay=False, help="Like this picture.")
    ] = None,
    clip: Annotated[
        list[Path] | None, typer.Option(exists=True, dir_okay=False, help="Like this footage.")
    ] = None,
    like: Annotated[
        list[int] | None, typer.Option(metavar="CLIP_ID", min=1, max=2**63 - 1, help="Like this stored clip.")
    ] = None,
    avoid: Annotated[
        list[str] | None, typer.Option("--not", metavar="TEXT", help="Away from these words.")
    ] = None,
    path_prefix: Annotated[
        str | None, typer.Option(metavar="P", help="Only this folder or file; 'foot*' for what begins so.")
    ] = None,
    min_duration: Annotated[
        float | None, typer.Option(metavar="S", min=0, help="Only clips at least this long.")
    ] = None,
    after: AfterOption = None,
    before: BeforeOption = None,
    action: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only clips that show this action.")
    ] = None,
    min_confidence: Annotated[
        float | None, typer.Option(min=0, max=1, metavar="P", help="That they show it.")
    ] = None,
    caption: Annotated[
        str | None,
        typer.Option(
            metavar="WORDS", help="Only clips with a caption of all these words: `indexer caption`."
        ),
    ] = None,
    limit: Annotated[int, typer.Option("-k", "--limit", min=1, max=10_000, help="Most hits.")] = 10,
    group: Annotated[
        Group,
        typer.Option(help="moment: merge neighbouring clips that pass; video: one hit a video."),
    ] = Group.clip,
    contact_sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="Also write the hits' key frames as a picture."),
    ] = None,
    library: LibraryOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find moments by words, pictures, footage or stored clips; parts combine into one query.

    Filters such as --min-duration are of clips; --group moment then shows neighbouring ones as one span.
    """
    from search.dates import recorded_bound
    from search.documents.hits import result_document
    from search.query.engine import SearchEngine
    from search.types import ClipPart, Filters, Query, TextPart

    parts: list[Any] = []
    if text is not None:
        parts.append(TextPart(text))
    parts += [ClipPart(clip_id) for clip_id in like or []]
    parts += [TextPart(words, -0.5) for words in avoid or []]
    if action is not None and not (parts or image or clip):
        raise InvalidQueryError(
            "say what to look for among what shows the action, in words or with --image, --clip or --like; "
            f'every segment of it: `indexer find --action "{action}"`'
        )
    if caption is not None and not (parts or image or clip):
        raise InvalidQueryError(
            "say what to look for among the clips with such captions, in words or with --image, --clip or "
            "--like"
        )
    with open_library(library, device) as opened:
        if contact_sheet is not None:
            with opened.read() as catalog:
                refuse_footage(catalog, [contact_sheet])
        with show.status("loading the encoder"):
            parts += _examples(opened, image or [], clip or [])
            query = Query(tuple(parts))
            filters = Filters(
                path_prefix=absolute_prefix(path_prefix),
                min_duration_seconds=min_duration,
                action=action,
                min_confidence=min_confidence,
                recorded_after=recorded_bound(after, is_end=False),
                recorded_before=recorded_bound(before, is_end=True),
                caption=caption,
            )
            result = SearchEngine(opened).search(query, filters, limit=limit, group_by=group.value)
            opened.index_keeper.save(bring_up=False)
        if action is not None:
            from search.actions.naming import read_known_actions

            match = read_known_actions(opened).match(action)
            show.mapping(action, match.names, match.how)
        if contact_sheet is not None:
            from indexer.terminal.contact_sheet import write_contact_sheet

            with opened.read() as catalog, whole_file(contact_sheet) as part:
                write_contact_sheet(part, result.hits, catalog.key_frame_jpeg)
            show.note(f"key frames written to {contact_sheet}")
    if as_json:
        print_json(result_document(result))
    else:
        show.search_result(result)


def _examples(library: Library, images: list[Path], clips: list[Path]) -> list[Any]:
    if not images and not clips:
        return []
    from indexer.examples.queries import read_example

    record = library.record()
    frame_size = library.encoder().frame_size
    found = []
    for path in images + clips:
        found.append(read_example(str(path), record.sampling, frame_size, limits=None))
    return found


@app.command()
def status(library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """Show what the library holds."""

    with open_library(library) as opened:
        document = _status_of(opened)
        failed = []
        if not as_json:
            with opened.read() as catalog:
                failed = catalog.list_videos(status="failed", limit=20)
    if as_json:
        print_json(document)
    else:
        show.library_status(document, failed)


@app.command()
def videos(
    path: Annotated[
        str | None, typer.Argument(metavar="[PATH]", help="Only this file, or what lies in this folder.")
    ] = None,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """List videos: id, status, duration and path."""
    from search.documents.videos import video_document

    with open_library(library) as opened, opened.read() as catalog:
        found = catalog.videos_named(absolute(path) if path else "/")
    found.sort(key=lambda video: video.path)
    if path and not found:
        raise NotFoundError(f"nothing in this library is called {path}")
    if as_json:
        print_json({"videos": [video_document(video) for video in found]})
    else:
        show.videos(found)


@app.command()
def remove(
    targets: Annotated[list[str], typer.Argument(metavar="PATH|ID...", help="Files, folders or video ids.")],
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget videos: their clips, vectors, key frames and previews. The files themselves are not touched."""
    from indexer.ingest.previews import forget_previews

    with open_library(library) as opened:
        with opened.write() as catalog:
            ids: set[int] = set()
            for target in targets:
                below = catalog.videos_named(absolute(target))
                if below:
                    ids.update(video.id for video in below)
                elif target.isdecimal() and int(target) < 2**63:
                    ids.add(catalog.video(int(target)).id)
                else:
                    raise NotFoundError(f"nothing in this library is called {target}")
            examples = catalog.actions.examples_of_videos(ids)
            clips = catalog.remove_videos(ids)
            empty = catalog.library_record() is None
        forget_previews(opened, ids)
        if not empty:
            opened.index_keeper.save()
        copies = sorted(opened.folder.glob("catalog-schema-*.sqlite3"))
    document = {"videos": len(ids), "clips": clips}
    if as_json:
        print_json(document)
    else:
        show.note(f"removed {show.counted(len(ids), 'video')}, {show.counted(clips, 'clip')}")
    show.examples_gone(examples)
    for copy in copies:
        show.note(
            f"{copy} was kept before a migration and still holds what was removed; delete it to be sure"
        )


def _status_of(library: Library) -> StatusAnswer:
    """The document that `indexer status --json` prints."""
    from indexer.video.programs.confinement import describe_confinement

    return {**library.status(), "confinement": describe_confinement()}


@app.command()
def rebuild(library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """Make the vector index anew from the catalog."""
    with open_library(library) as opened:
        with show.status("reading vectors"):
            opened.rebuild_index()
        document = _status_of(opened)
    if as_json:
        print_json(document)
    else:
        show.library_status(document, [])


@app.command()
def encoders(as_json: JsonOption = False) -> None:
    """List encoders: size, licence, paper, and whether they can be loaded here."""
    from dataclasses import asdict

    from encoders import list_encoders

    with show.status("asking the model hub"):
        found = list_encoders()
    if as_json:
        print_json({"encoders": [asdict(info) for info in found]})
    else:
        show.encoders(found)


@app.command()
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

    found = settings()
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


app.command()(find_cli.find)
app.command()(summarize_cli.summarize)
app.command()(caption_cli.caption)
app.command()(check_cli.check)
app.command()(backup_cli.backup)
app.command()(backup_cli.restore)
app.command()(watch_cli.watch)
app.add_typer(actions_cli.actions_app)
app.add_typer(keys_cli.keys_app)
for command in (train_cli.train, train_cli.evaluate, train_cli.predict, train_cli.models):
    app.command()(command)

"""`indexer find` and `indexer actions ...`: every segment of an action; teaching and correcting."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from encoders.action_names import normalise_action
from encoders.errors import InvalidQueryError
from indexer import show
from indexer.cli_options import (
    DeviceOption,
    JsonOption,
    LibraryOption,
    absolute_prefix,
    open_library,
    print_json,
)

if TYPE_CHECKING:
    from search.actions import FoundSegments
    from search.library import Library
    from search.types import Segment

actions_app = typer.Typer(
    name="actions",
    help="Teach actions from examples, list them, correct them.",
    no_args_is_help=True,
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The action, e.g. running.")]
EXPORTS = (".csv", ".json", ".vtt", ".otio", ".edl")


def find(
    action: Annotated[
        str, typer.Option("--action", "-a", metavar="NAME", help="What is done, e.g. running.")
    ],
    min_confidence: Annotated[
        float | None,
        typer.Option(min=0, max=1, metavar="P", help="Default: the threshold that each head was given."),
    ] = None,
    min_duration: Annotated[
        float | None, typer.Option(min=0, metavar="S", help="Only segments at least this long.")
    ] = None,
    path_prefix: Annotated[
        str | None, typer.Option(metavar="P", help="Only videos whose path starts so.")
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV on stdout.")] = False,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            help="Write a file: .csv, .json (ActivityNet), .vtt (one video), .otio or .edl.",
        ),
    ] = None,
    library: LibraryOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find every segment of an action, with its times and confidence.

    Exit status: 0 also when there is none of a known action, 2 when nothing knows the action.
    """
    from search.wire import found_document

    if export is not None and export.suffix.lower() not in EXPORTS:
        raise InvalidQueryError(
            f"{export} has no ending that says how to write it; expected one of {', '.join(EXPORTS)}"
        )
    if as_csv and as_json:
        raise InvalidQueryError("--csv and --json both want stdout: give one of them")
    with open_library(library, device) as opened:
        found = opened.actions.find(
            action,
            min_confidence=min_confidence,
            min_duration_seconds=min_duration,
            path_prefix=absolute_prefix(path_prefix),
        )
        total = opened.actions.count(found)
        show.mapping(found)
        if export is not None:
            _export(opened, found, export)
            show.note(f"{total} segments written to {export}")
        if as_json:
            print_json(found_document(found, opened.actions.segments(found), total))
        elif as_csv:
            from search.exports import to_csv

            _write(to_csv(opened.actions.segments(found)))
        elif export is None:
            show.segments(opened.actions.segments(found), total)


def _write(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(line)


def _export(library: Library, found: FoundSegments, path: Path) -> None:
    from search import exports

    kind = path.suffix.lower()
    segments = list(library.actions.segments(found))
    ids = sorted({segment.video_id for segment in segments})
    with library.read() as catalog:
        videos = [catalog.video(video_id) for video_id in ids]
        origins = catalog.actions.first_times(ids)
    text: Iterable[str]
    if kind == ".csv":
        text = exports.to_csv(segments)
    elif kind == ".json":
        text = exports.to_activitynet(segments, videos)
    elif kind == ".otio":
        text = exports.to_otio(segments, videos, name=found.action, origins=origins)
    elif kind == ".edl":
        text = [exports.to_edl(segments, videos, name=found.action, origins=origins)]
    else:
        text = [_subtitles(segments, origins)]
    # As one piece at the end, so that a full disk leaves no half of a file that opens.
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            file.writelines(text)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InvalidQueryError(f"{path} cannot be written: {error.strerror or error}") from error


def _subtitles(segments: list[Segment], origins: dict[int, float]) -> str:
    from search.exports import to_webvtt

    paths = sorted({segment.path for segment in segments})
    if len(paths) > 1:
        raise InvalidQueryError(
            f"WebVTT describes one video, and these are segments of {len(paths)}: narrow it with "
            f"--path-prefix, for example to {paths[0]}"
        )
    origin = origins[segments[0].video_id] if segments else 0.0
    return to_webvtt(segments, origin_seconds=origin)


@actions_app.command()
def teach(
    name: NameArgument,
    examples: Annotated[
        list[Path] | None, typer.Option("--from", metavar="PATH", help="Clips of it: files and folders.")
    ] = None,
    counterexamples: Annotated[
        list[Path] | None, typer.Option("--not", metavar="PATH", help="Clips of what it is not.")
    ] = None,
    clips: Annotated[
        str | None, typer.Option(metavar="IDS", help="Stored clips of it, by id: 12,57,90.")
    ] = None,
    not_clips: Annotated[
        str | None, typer.Option(metavar="IDS", help="Stored clips of what it is not.")
    ] = None,
    spans: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="CSV or JSON: path, start_seconds, end_seconds, action.",
        ),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Forget the examples of earlier lessons first.")
    ] = False,
    library: LibraryOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Teach an action from 5 to 20 examples, then tag the whole library with it.

    Further examples and corrections add to those of earlier lessons. Exit status: 0 learned, 1 it
    could not be learned (nothing was changed), 2 wrong usage.
    """
    from indexer.lessons import examples_from_clips, examples_from_files, examples_from_spans

    with open_library(library, device) as opened:
        given = []
        for paths, is_positive in ((examples, True), (counterexamples, False)):
            if paths:
                with show.counting("examples") as on_progress:
                    given += examples_from_files(
                        opened,
                        [str(path) for path in paths],
                        is_positive=is_positive,
                        on_progress=on_progress,
                        say=show.note,
                    )
        given += examples_from_clips(opened, _ids(clips, "--clips"), is_positive=True)
        given += examples_from_clips(opened, _ids(not_clips, "--not-clips"), is_positive=False)
        if spans is not None:
            given += examples_from_spans(opened, spans, name)
        with show.counting("videos tagged") as on_tagged:
            card = opened.actions.teach(name, given, replace_examples=replace, on_tagged=on_tagged)
        rows = [row for row in opened.actions.listing() if row["action"] == opened.actions.taught(name).name]
    document = {"action": rows[0]["action"], "report": card, "segments": rows[0]["segments"]}
    if as_json:
        print_json(document)
    else:
        show.lesson(document)
        _show_comparison(card)


def _show_comparison(report: dict[str, Any]) -> None:
    """Of a lesson from labelled spans, which head was kept and why, in a line."""
    found = report.get("localiser")
    if found is None:
        return
    scores = [
        "not measured" if figure is None else f"{figure:.2f}"
        for figure in (found["held_out_map"], found["grouping_held_out_map"])
    ]
    kept = "learned" if found["kept"] else "not learned"
    typer.echo(
        f"borders {kept}: on videos held out of {found['videos']} labelled ones, mAP@0.5 is {scores[0]} "
        f"with them and {scores[1]} without"
    )


def _ids(text: str | None, option: str) -> list[int]:
    if text is None:
        return []
    found = [piece.strip() for piece in text.replace(" ", ",").split(",") if piece.strip()]
    if not found or not all(piece.isdecimal() and 0 < int(piece) < 2**63 for piece in found):
        raise InvalidQueryError(f"{option} takes clip ids separated by commas, such as 12,57; got {text!r}")
    return [int(piece) for piece in found]


@actions_app.command("list")
def list_actions(library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """List actions: how many segments, which head, how well it does."""
    with open_library(library) as opened:
        rows, heads = opened.actions.listing(), opened.actions.heads_listing()
    if as_json:
        print_json({"actions": rows, "heads": heads})
    else:
        show.actions(rows, heads)


@actions_app.command("show")
def show_action(name: NameArgument, library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """Show one taught action: its lesson's report and its examples."""
    with open_library(library) as opened:
        document = opened.actions.describe(name)
    _show_meant(name, document["action"])
    if as_json:
        print_json(document)
    else:
        show.action(document)
        _show_comparison(document["report"])


def _show_meant(typed: str, meant: str) -> None:
    """Says which action a typed name was taken for, where it is another one."""
    if meant not in (typed.strip(), normalise_action(typed)):
        show.note(f"{typed} -> {meant} (the taught action of that meaning)")


@actions_app.command()
def rename(
    name: NameArgument,
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")],
    library: LibraryOption = None,
) -> None:
    """Give a taught action another name."""
    with open_library(library) as opened:
        opened.actions.rename(name, new)
    show.note(f"{name} is called {new} now")


@actions_app.command()
def remove(name: NameArgument, library: LibraryOption = None) -> None:
    """Forget an action: its head, its segments and its examples."""
    with open_library(library) as opened:
        opened.actions.remove(name)
    show.note(f"forgot {name}")


@actions_app.command()
def retag(library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """Tag the whole library anew from its stored features; no video is decoded."""
    with open_library(library) as opened, show.counting("videos tagged") as on_progress:
        count = opened.actions.tagger.retag(on_progress=on_progress)
    if as_json:
        print_json({"videos": count})
    else:
        show.note(f"tagged {count} videos")


@actions_app.command()
def export(
    name: NameArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False, help="E.g. running.safetensors.")],
    library: LibraryOption = None,
) -> None:
    """Write a taught action to a file, for another library with the same encoder."""
    with open_library(library) as opened:
        content = opened.actions.export(name)
    try:
        file.write_bytes(content)
    except OSError as error:
        raise InvalidQueryError(f"{file} cannot be written: {error.strerror or error}") from error
    show.note(f"written to {file}")


@actions_app.command("import")
def import_action(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False)],
    library: LibraryOption = None,
) -> None:
    """Take in an action that `export` wrote, and tag the library with it."""
    with open_library(library) as opened, show.counting("videos tagged") as on_progress:
        head = opened.actions.import_head(file.read_bytes(), on_progress)
    show.note(f"{head.name} can be found now")


ClipArgument = Annotated[int, typer.Argument(metavar="CLIP_ID", min=1, max=2**63 - 1)]


@actions_app.command()
def confirm(clip_id: ClipArgument, name: NameArgument, library: LibraryOption = None) -> None:
    """Say that a clip shows an action; used by the next `teach`."""
    _correct(library, clip_id, name, is_positive=True)


@actions_app.command()
def reject(clip_id: ClipArgument, name: NameArgument, library: LibraryOption = None) -> None:
    """Say that a clip does not show an action: the tag goes, and the next `teach` knows."""
    _correct(library, clip_id, name, is_positive=False)


def _correct(library: Path | None, clip_id: int, name: str, *, is_positive: bool) -> None:
    with open_library(library) as opened:
        opened.actions.correct(clip_id, name, is_positive=is_positive)
        document: dict[str, Any] = opened.actions.corrections(name)
    _show_meant(name, document["action"])
    show.note(
        f"kept; {document['positive']} clips of {document['action']} and {document['negative']} of what it "
        f'is not are known. `indexer actions teach "{document["action"]}"` learns from them'
    )

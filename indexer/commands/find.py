"""`indexer find`: every segment of an action, as a table, as JSON or as a file."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from encoders.errors import InvalidQueryError
from indexer.terminal import show
from indexer.terminal.options import (
    AfterOption,
    BeforeOption,
    DeviceOption,
    JsonOption,
    LibraryOption,
    absolute_prefix,
    open_library,
    print_json,
)

if TYPE_CHECKING:
    from search.actions.exporting import ExportFormat
    from search.actions.finding import FoundSegments
    from search.catalog.catalog import Catalog
    from search.types import Video

LOOK_LOWER = 0.15  # the least that heads keep
EXPORTS: dict[str, ExportFormat] = {
    ".csv": "csv", ".json": "activitynet", ".vtt": "vtt", ".otio": "otio", ".edl": "edl",
}  # fmt: skip


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
        str | None, typer.Option(metavar="P", help="Only this folder or file; 'foot*' for what begins so.")
    ] = None,
    after: AfterOption = None,
    before: BeforeOption = None,
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
    from indexer.terminal.show_hits import show_mapping, show_segments
    from search.actions.finding import find_segments, found_document
    from search.dates import recorded_bound
    from search.types import SegmentQuery

    if export is not None and export.suffix.lower() not in EXPORTS:
        raise InvalidQueryError(
            f"{export} has no ending that says how to write it; expected one of {', '.join(EXPORTS)}"
        )
    if as_csv and as_json:
        raise InvalidQueryError("--csv and --json both want stdout: give one of them")
    with open_library(library, device) as opened:
        query = SegmentQuery(
            actions=(action,),
            min_confidence=min_confidence,
            min_duration_seconds=min_duration,
            path_prefix=absolute_prefix(path_prefix),
            recorded_after=recorded_bound(after, is_end=False),
            recorded_before=recorded_bound(before, is_end=True),
        )
        found = find_segments(opened, query)
        show_mapping(found.action, found.names, found.how)
        with opened.read() as catalog:
            total = found.count(catalog)
            if export is not None:
                _export(catalog, found, export)
                none = "; no segment was found, so that it lists none" if not total else ""
                show.note(f"{show.counted(total, 'segment')} written to {export}{none}")
            if as_json:
                print_json(found_document(found, found.segments(catalog), total))
            elif as_csv:
                from search.documents.exports.csv_table import to_csv

                _write(to_csv(found.segments(catalog)))
            elif export is None:
                is_narrowed = query != SegmentQuery(query.actions)
                show_segments(found.segments(catalog), total, is_narrowed=is_narrowed)
                is_stored = min_confidence is None and found.on_the_fly is None
                surely = replace(found.query, min_confidence=0.0)
                if is_stored and (more := catalog.actions.count_segments(surely) - total):
                    show.note(f"{more} more less surely: --min-confidence {LOOK_LOWER}")


def _write(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(line)


def _export(catalog: Catalog, found: FoundSegments, path: Path) -> None:
    from search.actions.exporting import export_segments

    text = export_segments(catalog, found, EXPORTS[path.suffix.lower()], _narrow)
    # As one piece at the end, so that a full disk leaves no half of a file that opens.
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            file.writelines(text)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InvalidQueryError(f"{path} cannot be written: {error.strerror or error}") from error


def _narrow(videos: list[Video]) -> str:
    return f"--path-prefix, for example to {min(video.path for video in videos)}"

"""`indexer find`: every segment of an action, as a table, as JSON or as a file."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from encoders.errors import InvalidQueryError
from indexer.terminal import show
from indexer.terminal.options import (
    AfterOption,
    BeforeOption,
    DeviceOption,
    JsonOption,
    LibraryOption,
    NoServerOption,
    VerboseOption,
    absolute_prefix,
    ask_server,
    open_library,
    print_json,
)

if TYPE_CHECKING:
    from indexer.terminal.own_server import OwnServer
    from search.actions.exporting import ExportFormat
    from search.actions.finding import FoundSegments
    from search.catalog.catalog import Catalog
    from search.documents.segments import FoundAnswer, FoundBy, SegmentAnswer
    from search.library import Library
    from search.types import Video

LOOK_LOWER = 0.15  # the least that heads keep
EXPORTS: dict[str, ExportFormat] = {
    ".csv": "csv", ".json": "activitynet", ".vtt": "vtt", ".otio": "otio", ".edl": "edl",
}  # fmt: skip
MOST_ASKED = 1000  # segments, of a server: all that it gives at once


@dataclass(frozen=True, slots=True)
class _Output:
    """What is printed and written of the segments, and how it was narrowed."""

    export: Path | None
    as_csv: bool
    as_json: bool
    is_narrowed: bool

    @property
    def export_format(self) -> ExportFormat | None:
        return None if self.export is None else EXPORTS[self.export.suffix.lower()]

    @property
    def is_listed(self) -> bool:
        return not (self.export or self.as_csv or self.as_json)


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
    verbose: VerboseOption = False,
    no_server: NoServerOption = False,
) -> None:
    """Find every segment of an action, with its times and confidence.

    Exit status: 0 also when there is none of a known action, 2 when nothing knows the action.
    """
    if export is not None and export.suffix.lower() not in EXPORTS:
        raise InvalidQueryError(
            f"{export} has no ending that says how to write it; expected one of {', '.join(EXPORTS)}"
        )
    if as_csv and as_json:
        raise InvalidQueryError("--csv and --json both want stdout: give one of them")
    bounds: dict[str, Any] = {
        "min_confidence": min_confidence,
        "min_duration_seconds": min_duration,
        "path_prefix": absolute_prefix(path_prefix),
        "recorded_after": after,
        "recorded_before": before,
    }
    is_narrowed = any(bound is not None for bound in bounds.values())
    output = _Output(export, as_csv, as_json, is_narrowed)
    if not no_server and device is None:  # a server has a device of its own
        found = ask_server(partial(_find_there, action, bounds, output), library, verbose=verbose)
        if found is not None:
            _print(found, output)
            return
    with open_library(library, device) as opened:
        _find_here(opened, action, bounds, output)


@dataclass(frozen=True, slots=True)
class _Found:
    """An answer, and the files made of it.

    Attributes:
        action, names, how, total: As `indexer find --json` prints them.
        segments: By path and time.
        exported, csv: Pieces of the texts; none where they are not asked for.
        less_sure: How many were left out for their confidence alone, where they are listed.
    """

    action: str
    names: list[str]
    how: FoundBy
    total: int
    segments: Iterable[SegmentAnswer]
    exported: Iterable[str]
    csv: Iterable[str]
    less_sure: int


def _find_there(action: str, bounds: dict[str, Any], output: _Output, server: OwnServer) -> _Found:
    """Has the server of the library find all that will be printed or written."""
    from indexer.terminal.own_server import NoAnswer

    answer = server.get("/v1/segments", action=action, limit=MOST_ASKED, **bounds)
    if answer["next_cursor"] is not None:
        raise NoAnswer(f"there are {answer['total']} segments, more than a server is asked for")

    def read(kind: ExportFormat) -> list[str]:
        return [server.read("/v1/segments/export", action=action, format=kind, **bounds).decode()]

    exported = [] if output.export_format is None else read(output.export_format)
    csv = read("csv") if output.as_csv else []
    less_sure = 0
    if output.is_listed and bounds["min_confidence"] is None and answer["how"] != "zero-shot":
        surely = {**bounds, "min_confidence": 0.0}
        less_sure = server.get("/v1/segments", action=action, limit=1, **surely)["total"] - answer["total"]
    known = (answer["action"], answer["names"], answer["how"], answer["total"], answer["segments"])
    return _Found(*known, exported, csv, less_sure)


def _find_here(library: Library, action: str, bounds: dict[str, Any], output: _Output) -> None:
    from search.actions.finding import find_segments
    from search.dates import recorded_bound
    from search.documents.segments import segment_document
    from search.types import SegmentQuery

    moments = {
        "recorded_after": recorded_bound(bounds["recorded_after"], is_end=False),
        "recorded_before": recorded_bound(bounds["recorded_before"], is_end=True),
    }
    query = SegmentQuery(actions=(action,), **{**bounds, **moments})
    found = find_segments(library, query)
    with library.read() as catalog:
        total, less_sure = found.count(catalog), 0
        if output.is_listed and query.min_confidence is None and found.on_the_fly is None:
            less_sure = catalog.actions.count_segments(replace(found.query, min_confidence=0.0)) - total
        segments = map(segment_document, found.segments(catalog))
        exported = _exported(catalog, found, output.export_format)
        csv = _exported(catalog, found, "csv")
        known = (found.action, list(found.names), found.how, total, segments)
        _print(_Found(*known, exported, csv, less_sure), output)


def _exported(catalog: Catalog, found: FoundSegments, kind: ExportFormat | None) -> Iterator[str]:
    """The segments as a text, in pieces; nothing is read before the first one is asked for."""
    if kind is not None:
        from search.actions.exporting import export_segments

        yield from export_segments(catalog, found, kind, _narrow)


def _print(found: _Found, output: _Output) -> None:
    from indexer.terminal.show_hits import show_mapping, show_segments

    show_mapping(found.action, found.names, found.how)
    if output.export is not None:
        _write_file(output.export, found.exported)
        none = "; no segment was found, so that it lists none" if not found.total else ""
        show.note(f"{show.counted(found.total, 'segment')} written to {output.export}{none}")
    if output.as_json:
        document: FoundAnswer = {
            "segments": list(found.segments),
            "total": found.total,
            "action": found.action,
            "names": found.names,
            "how": found.how,
        }
        print_json(document)
    elif output.as_csv:
        for line in found.csv:
            sys.stdout.write(line)
    elif output.export is None:
        show_segments(found.segments, found.total, is_narrowed=output.is_narrowed)
        if found.less_sure:
            show.note(f"{found.less_sure} more less surely: --min-confidence {LOOK_LOWER}")


def _write_file(path: Path, text: Iterable[str]) -> None:
    # As one piece at the end, so that a full disk leaves no half of a file that opens.
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            file.writelines(text)
        part.replace(path)
    except OSError as error:
        raise InvalidQueryError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


def _narrow(videos: list[Video]) -> str:
    return f"--path-prefix, for example to {min(video.path for video in videos)}"

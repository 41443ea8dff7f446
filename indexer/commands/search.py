"""`indexer search`: moments by words, pictures, footage or stored clips."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
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
from indexer.terminal.targets import PICTURE_ENDINGS, check_target, refuse_footage, whole_file

if TYPE_CHECKING:
    from indexer.terminal.own_server import OwnServer
    from search.documents.hits import SearchAnswer
    from search.hits import SearchResult
    from search.library import Library
    from search.types import QueryPart

_AVOIDED_WEIGHT = -0.5


class Group(StrEnum):
    clip = "clip"
    moment = "moment"
    video = "video"


TextArgument = Annotated[str | None, typer.Argument(metavar="[TEXT]", help="Words to look for.")]
ImageOption = Annotated[
    list[Path] | None, typer.Option(exists=True, dir_okay=False, help="Like this picture.")
]
ClipOption = Annotated[
    list[Path] | None, typer.Option(exists=True, dir_okay=False, help="Like this footage.")
]
LikeOption = Annotated[
    list[int] | None, typer.Option(metavar="CLIP_ID", min=1, max=2**63 - 1, help="Like this stored clip.")
]
AvoidOption = Annotated[
    list[str] | None, typer.Option("--not", metavar="TEXT", help="Away from these words.")
]
PathOption = Annotated[
    str | None, typer.Option(metavar="P", help="Only this folder or file; 'foot*' for what begins so.")
]
DurationOption = Annotated[
    float | None, typer.Option(metavar="S", min=0, help="Only clips at least this long.")
]
ActionOption = Annotated[str | None, typer.Option(metavar="NAME", help="Only clips that show this action.")]
ConfidenceOption = Annotated[float | None, typer.Option(min=0, max=1, metavar="P", help="That they show it.")]
CaptionOption = Annotated[
    str | None,
    typer.Option(metavar="WORDS", help="Only clips with a caption of all these words: `indexer caption`."),
]
LimitOption = Annotated[int, typer.Option("-k", "--limit", min=1, max=10_000, help="Most hits.")]
GroupOption = Annotated[
    Group, typer.Option(help="moment: merge neighbouring clips that pass; video: one hit a video.")
]
SheetOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", dir_okay=False, help="Also write the hits' key frames as a picture."),
]


def search(
    text: TextArgument = None,
    image: ImageOption = None,
    clip: ClipOption = None,
    like: LikeOption = None,
    avoid: AvoidOption = None,
    path_prefix: PathOption = None,
    min_duration: DurationOption = None,
    after: AfterOption = None,
    before: BeforeOption = None,
    action: ActionOption = None,
    min_confidence: ConfidenceOption = None,
    caption: CaptionOption = None,
    limit: LimitOption = 10,
    group: GroupOption = Group.clip,
    contact_sheet: SheetOption = None,
    library: LibraryOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
    no_server: NoServerOption = False,
) -> None:
    """Find moments by words, pictures, footage or stored clips; parts combine into one query.

    Filters such as --min-duration are of clips; --group moment then shows neighbouring ones as one span.
    """
    files = [*(image or ()), *(clip or ())]
    parts = _stored_parts(text, like or (), avoid or ())
    if not parts and not files:
        _refuse_filters_alone(action, caption)
    filters: dict[str, Any] = {
        "path_prefix": absolute_prefix(path_prefix),
        "min_duration_seconds": min_duration,
        "action": action,
        "min_confidence": min_confidence,
        "recorded_after": after,
        "recorded_before": before,
        "caption": caption,
    }
    answer = None
    # A server has a device of its own, reads one example at a time, and does not say what is footage.
    if not no_server and device is None and contact_sheet is None and len(files) <= 1:
        options = {"query": parts, "filters": filters, "limit": limit, "group_by": group.value}
        there = ask_server(partial(_search_there, options, files), library, verbose=verbose)
        if there is not None:
            answer, mapping = there
            _show_mapping(action, *mapping)
    if answer is None:
        with open_library(library, device) as opened:
            answer = _search_here(opened, parts, files, filters, limit, group, contact_sheet)
    if as_json:
        print_json(answer)
    else:
        from indexer.terminal.show_hits import show_hits

        show_hits(answer)


def _search_there(
    options: dict[str, Any], files: Sequence[Path], server: OwnServer
) -> tuple[SearchAnswer, tuple[Sequence[str], str]]:
    """Has the server search; what the filters' action was taken for comes beside the answer."""
    server.check_ready()
    if files:
        answer = server.upload("/v1/search/example", files[0], options)
    else:
        answer = server.post("/v1/search", options)
    action = options["filters"]["action"]
    if action is None:
        return answer, ((), "exact")
    known = server.get("/v1/segments", action=action, limit=1)
    return answer, (known["names"], known["how"])


def _search_here(
    library: Library,
    parts: Sequence[dict[str, Any]],
    files: Sequence[Path],
    filters: dict[str, Any],
    limit: int,
    group: Group,
    contact_sheet: Path | None,
) -> SearchAnswer:
    from search.actions.naming import read_known_actions
    from search.dates import recorded_bound
    from search.documents.hits import result_document
    from search.query.engine import SearchEngine
    from search.types import Filters, Query

    if contact_sheet is not None:
        check_target(contact_sheet, PICTURE_ENDINGS)
        with library.read() as catalog:
            refuse_footage(catalog, [contact_sheet])
    with show.status("loading the encoder"):
        query = Query((*map(_to_part, parts), *_read_examples(library, files)))
        bounds = {
            "recorded_after": recorded_bound(filters["recorded_after"], is_end=False),
            "recorded_before": recorded_bound(filters["recorded_before"], is_end=True),
        }
        wanted = Filters(**{**filters, **bounds})
        result = SearchEngine(library).search(query, wanted, limit=limit, group_by=group.value)
        library.index_keeper.save(bring_up=False)
    if wanted.action is not None:
        match = read_known_actions(library).match(wanted.action)
        _show_mapping(wanted.action, match.names, match.how)
    if contact_sheet is not None:
        _write_sheet(library, result, contact_sheet)
    return result_document(result)


def _stored_parts(text: str | None, like: Sequence[int], avoid: Sequence[str]) -> list[dict[str, Any]]:
    """The parts of a query that need no file to be read, as a server takes them."""
    words = [] if text is None else [{"text": text}]
    against = ({"text": one, "weight": _AVOIDED_WEIGHT} for one in avoid)
    return [*words, *({"clip_id": clip_id} for clip_id in like), *against]


def _to_part(part: dict[str, Any]) -> QueryPart:
    from search.types import ClipPart, TextPart

    return ClipPart(**part) if "clip_id" in part else TextPart(**part)


def _refuse_filters_alone(action: str | None, caption: str | None) -> None:
    if action is not None:
        raise InvalidQueryError(
            "say what to look for among what shows the action, in words or with --image, --clip or --like; "
            f'every segment of it: `indexer find --action "{action}"`'
        )
    if caption is not None:
        raise InvalidQueryError(
            "say what to look for among the clips with such captions, in words or with --image, --clip or "
            "--like"
        )


def _read_examples(library: Library, files: Sequence[Path]) -> list[QueryPart]:
    if not files:
        return []
    from indexer.examples.queries import read_example

    sampling, frame_size = library.record().sampling, library.encoder().frame_size
    return [read_example(str(path), sampling, frame_size, limits=None) for path in files]


def _show_mapping(action: str | None, names: Sequence[str], how: str) -> None:
    if action is not None:
        from indexer.terminal.show_hits import show_mapping

        show_mapping(action, names, how)


def _write_sheet(library: Library, result: SearchResult, file: Path) -> None:
    from indexer.terminal.contact_sheet import write_contact_sheet

    with library.read() as catalog, whole_file(file) as part:
        write_contact_sheet(part, result.hits, catalog.key_frame_jpeg)
    show.note(f"key frames written to {file}")

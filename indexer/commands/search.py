"""`indexer search`: moments by words, pictures, footage or stored clips."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
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
from indexer.terminal.targets import PICTURE_ENDINGS, check_target, refuse_footage, whole_file

if TYPE_CHECKING:
    from search.hits import SearchResult
    from search.library import Library
    from search.types import Filters, QueryPart

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
) -> None:
    """Find moments by words, pictures, footage or stored clips; parts combine into one query.

    Filters such as --min-duration are of clips; --group moment then shows neighbouring ones as one span.
    """
    from search.query.engine import SearchEngine
    from search.types import Query

    files = [*(image or ()), *(clip or ())]
    parts = _stored_parts(text, like or (), avoid or ())
    if not parts and not files:
        _refuse_filters_alone(action, caption)
    with open_library(library, device) as opened:
        if contact_sheet is not None:
            check_target(contact_sheet, PICTURE_ENDINGS)
            with opened.read() as catalog:
                refuse_footage(catalog, [contact_sheet])
        with show.status("loading the encoder"):
            query = Query((*parts, *_read_examples(opened, files)))
            filters = _filters(path_prefix, min_duration, after, before, action, min_confidence, caption)
            result = SearchEngine(opened).search(query, filters, limit=limit, group_by=group.value)
            opened.index_keeper.save(bring_up=False)
        if action is not None:
            _show_mapping(opened, action)
        if contact_sheet is not None:
            _write_sheet(opened, result, contact_sheet)
    _show(result, as_json)


def _stored_parts(text: str | None, like: Sequence[int], avoid: Sequence[str]) -> list[QueryPart]:
    """The parts of a query that need no file to be read."""
    from search.types import ClipPart, TextPart

    words = [] if text is None else [TextPart(text)]
    return [*words, *map(ClipPart, like), *(TextPart(one, _AVOIDED_WEIGHT) for one in avoid)]


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


def _filters(
    path_prefix: str | None,
    min_duration: float | None,
    after: str | None,
    before: str | None,
    action: str | None,
    min_confidence: float | None,
    caption: str | None,
) -> Filters:
    from search.dates import recorded_bound
    from search.types import Filters

    return Filters(
        path_prefix=absolute_prefix(path_prefix),
        min_duration_seconds=min_duration,
        action=action,
        min_confidence=min_confidence,
        recorded_after=recorded_bound(after, is_end=False),
        recorded_before=recorded_bound(before, is_end=True),
        caption=caption,
    )


def _show_mapping(library: Library, action: str) -> None:
    from indexer.terminal.show_hits import show_mapping
    from search.actions.naming import read_known_actions

    match = read_known_actions(library).match(action)
    show_mapping(action, match.names, match.how)


def _write_sheet(library: Library, result: SearchResult, file: Path) -> None:
    from indexer.terminal.contact_sheet import write_contact_sheet

    with library.read() as catalog, whole_file(file) as part:
        write_contact_sheet(part, result.hits, catalog.key_frame_jpeg)
    show.note(f"key frames written to {file}")


def _show(result: SearchResult, as_json: bool) -> None:
    if as_json:
        from search.documents.hits import result_document

        print_json(result_document(result))
    else:
        from indexer.terminal.show_hits import show_hits

        show_hits(result)

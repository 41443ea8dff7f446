"""Commands about what the library holds: `status`, `videos`, `remove`, `rebuild` and `tune`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from encoders.errors import NotFoundError
from indexer.terminal import show
from indexer.terminal.options import JsonOption, LibraryOption, absolute, open_library, print_json

if TYPE_CHECKING:
    from search.documents.videos import StatusAnswer
    from search.library import Library


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
        from indexer.terminal.show_library import show_status

        show_status(document, failed)


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
        from indexer.terminal.show_library import show_videos

        show_videos(found)


def remove(
    targets: Annotated[list[str], typer.Argument(metavar="PATH|ID...", help="Files, folders or video ids.")],
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget videos: their clips, vectors, key frames and previews. The files themselves are not touched."""
    from indexer.ingest.previews import forget_previews
    from indexer.terminal.show_ingest import show_examples_gone

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
    show_examples_gone(examples)
    for copy in copies:
        show.note(
            f"{copy} was kept before a migration and still holds what was removed; delete it to be sure"
        )


def rebuild(library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """Make the vector index anew from the catalog."""
    with open_library(library) as opened:
        with show.status("reading vectors"):
            opened.rebuild_index()
        document = _status_of(opened)
    if as_json:
        print_json(document)
    else:
        from indexer.terminal.show_library import show_status

        show_status(document, [])


def tune(
    recall: Annotated[
        float,
        typer.Option(
            help="Share of what comparing all clips finds, above 0 to 1.",
            min=1e-6,
            max=1.0,
        ),
    ] = 0.99,
    at: Annotated[int, typer.Option(help="Among how many results.", min=1, max=1000)] = 100,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how much searches find of what comparing all clips would, and read more if it is too little.

    Up to some ten thousand clips all are compared, and there is nothing to tune.
    """
    from search.query.tuning import tune as run_tune

    with open_library(library) as opened, show.status("comparing all clips"):
        tuning = run_tune(opened, recall, at)
        if tuning.after is not None:
            opened.index_keeper.save_effort()
    if as_json:
        print_json(tuning.as_json())
    else:
        from indexer.terminal.show_library import show_tuning

        show_tuning(tuning)
    if not tuning.is_reached:
        raise typer.Exit(1)


def _status_of(library: Library) -> StatusAnswer:
    """The document that `indexer status --json` prints."""
    from indexer.video.programs.confinement import describe_confinement

    return {**library.status(), "confinement": describe_confinement()}

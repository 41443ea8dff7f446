"""`indexer actions ...`: teaching actions, listing and correcting them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from encoders.errors import InvalidQueryError
from encoders.heads.action_names import normalise_action
from indexer.terminal import show
from indexer.terminal.options import DeviceOption, JsonOption, LibraryOption, open_library, print_json

if TYPE_CHECKING:
    from search.catalog.actions.lesson_examples import LessonExample
    from search.library import Library

actions_app = typer.Typer(
    name="actions",
    help="Teach actions from examples, list them, correct them.",
    no_args_is_help=True,
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The action, e.g. running.")]


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
    """Teach an action from examples, then tag the whole library with it.

    Any number is a lesson, 5 to 20 from as many videos are a good one. A lesson that could not be checked, or
    did not hold, is a draft: found only by its name. Further examples and corrections add to those of earlier
    lessons. Exit status: 0 learned, or a draft; 1 there is nothing to learn from; 2 wrong usage.
    """
    from search.actions.listing import count_found
    from search.actions.teaching import teach as teach_action

    began = False
    try:
        with open_library(library, device) as opened:
            given = _given(opened, name, examples, counterexamples, clips, not_clips, spans)
            with show.counting("videos tagged") as on_tagged:

                def on_tagging(done: int, total: int) -> None:
                    nonlocal began
                    began = True
                    on_tagged(done, total)

                card = teach_action(opened, name, given, replace_examples=replace, on_tagged=on_tagging)
            action = normalise_action(name)
            count = count_found(opened, action)
            borders = "" if spans is None or card["localiser"] else _too_few_for_borders(opened, action)
    except KeyboardInterrupt:
        kept = "the examples are kept, and nothing else" if began else "nothing"
        show.error(f"interrupted; {kept} was changed")
        raise typer.Exit(130) from None
    document = {"action": action, "report": card, "segments": count}
    if as_json:
        print_json(document)
    else:
        from indexer.terminal.show_actions import show_lesson

        show_lesson(document)
        _show_comparison(card)
    if borders:
        show.note(borders)


def _given(
    library: Library,
    name: str,
    examples: list[Path] | None,
    counterexamples: list[Path] | None,
    clips: str | None,
    not_clips: str | None,
    spans: Path | None,
) -> list[LessonExample]:
    """Reads all examples that the options of `teach` name."""
    from indexer.examples.lessons import examples_from_clips, examples_from_files, examples_from_spans

    given = examples_from_clips(library, _ids(clips, "--clips"), is_positive=True)
    given += examples_from_clips(library, _ids(not_clips, "--not-clips"), is_positive=False)
    if spans is not None:
        given += examples_from_spans(library, spans, name, say=show.note)
    # Last, because files must be decoded.
    for paths, is_positive in ((examples, True), (counterexamples, False)):
        if paths:
            with show.counting("examples") as on_progress:
                given += examples_from_files(
                    library,
                    [str(path) for path in paths],
                    is_positive=is_positive,
                    on_progress=on_progress,
                    say=show.note,
                )
    return given


def _too_few_for_borders(library: Library, name: str) -> str:
    """Says in a line why no borders were looked for."""
    with library.read() as catalog:
        labelled = [one for one in catalog.actions.examples(name) if one.origin == "spans"]
    videos = len({one.video_id for one in labelled})
    showing = len({one.video_id for one in labelled if one.is_positive})
    return (
        "borders are learned from ten labelled videos on, five of them with the action; here "
        f"{videos} and {showing}"
    )


def _show_comparison(report: Mapping[str, Any]) -> None:
    """Says in a line which head was kept of a lesson from labelled spans, and why."""
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
    from search.actions.listing import list_actions as read_actions

    with open_library(library) as opened:
        document = read_actions(opened)
    if as_json:
        print_json(document)
    else:
        from indexer.terminal.show_actions import show_actions

        show_actions(document)


@actions_app.command("show")
def show_action(name: NameArgument, library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """Show one taught action: its lesson's report and its examples."""
    from search.actions.listing import describe_action

    with open_library(library) as opened:
        document = describe_action(opened, name)
    _show_meant(name, document["action"])
    if as_json:
        print_json(document)
    else:
        from indexer.terminal.show_actions import show_action

        show_action(document)
        _show_comparison(document["report"] or {})


def _show_meant(typed: str, meant: str) -> None:
    """Says which action a typed name was taken for, where it is another one."""
    if meant not in (typed.strip(), normalise_action(typed)):
        show.note(f"{typed} -> {meant} (the taught action of that meaning)")


@actions_app.command()
def rename(
    name: NameArgument,
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")],
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give a taught action another name."""
    from search.actions.heads import rename_action
    from search.actions.naming import read_known_actions

    with open_library(library) as opened:
        was = read_known_actions(opened).find_head(name).name
        action = rename_action(opened, name, new)
    show.note(f"{was} is called {action} now")
    if as_json:
        print_json({"action": action, "was": was})


@actions_app.command()
def remove(name: NameArgument, library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """Forget an action: its head, its segments and its examples."""
    from search.actions.heads import remove_action

    with open_library(library) as opened:
        removed = remove_action(opened, name)
    examples = f" and {show.counted(removed.examples, 'example')}" if removed.examples else ""
    show.note(f"forgot {removed.action}{examples}")
    if as_json:
        print_json(asdict(removed))


@actions_app.command()
def retag(library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """Tag the whole library anew from its stored features; no video is decoded."""
    from search.actions.tagging import Tagger

    with open_library(library) as opened, show.counting("videos tagged") as on_progress:
        count = Tagger(opened).retag(on_progress=on_progress)
    if as_json:
        print_json({"videos": count})
    else:
        show.note(f"tagged {show.counted(count, 'video')}")


@actions_app.command()
def export(
    name: NameArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", dir_okay=False, help="E.g. running.safetensors.")],
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a taught action to a file, for another library with the same encoder."""
    from search.actions.heads import export_head
    from search.actions.naming import read_known_actions

    with open_library(library) as opened:
        content = export_head(opened, name)
        action = read_known_actions(opened).find_head(name).name
    try:
        file.write_bytes(content)
    except OSError as error:
        raise InvalidQueryError(f"{file} cannot be written: {error.strerror or error}") from error
    show.note(f"written to {file}")
    if as_json:
        print_json({"action": action, "file": str(file.absolute()), "size_bytes": len(content)})


@actions_app.command("import")
def import_action(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False)],
    replace: Annotated[
        bool, typer.Option("--replace", help="In the place of an action of that name; its examples stay.")
    ] = False,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take in an action that `export` wrote, and tag the library with it."""
    from search.actions.heads import import_head
    from search.actions.listing import count_found

    with open_library(library) as opened:
        with show.counting("videos tagged") as on_progress:
            head = import_head(opened, file.read_bytes(), on_progress, replace=replace)
        count = count_found(opened, head.name)
    found, names = show.counted(count, "segment"), head.actions
    show.note(f'{", ".join(names)} can be found now, {found} here: indexer find --action "{names[0]}"')
    if as_json:
        print_json({"action": head.name, "report": dict(head.card), "segments": count})


ClipArgument = Annotated[int, typer.Argument(metavar="CLIP_ID", min=1, max=2**63 - 1)]


@actions_app.command()
def confirm(
    clip_id: ClipArgument, name: NameArgument, library: LibraryOption = None, as_json: JsonOption = False
) -> None:
    """Say that a clip shows an action; it is learned again at once."""
    _correct(library, clip_id, name, is_positive=True, as_json=as_json)


@actions_app.command()
def reject(
    clip_id: ClipArgument, name: NameArgument, library: LibraryOption = None, as_json: JsonOption = False
) -> None:
    """Say that a clip does not show an action: the tag goes, and it is learned again at once."""
    _correct(library, clip_id, name, is_positive=False, as_json=as_json)


@actions_app.command()
def undo(name: NameArgument, library: LibraryOption = None, as_json: JsonOption = False) -> None:
    """Take the latest correction of an action back, and learn it again without."""
    from search.actions.correcting import find_last_correction, remove_example

    with open_library(library) as opened:
        with opened.read() as catalog:
            last = find_last_correction(catalog, name)
        assert last.id is not None
        left = remove_example(opened, name, last.id)
        what = "shows it" if last.is_positive else "does not show it"
        show.note(f"taken back: {last.source} {what}")
        card = _learn_again(opened, left.action)
    if as_json:
        print_json({**asdict(left), "report": card})


@actions_app.command()
def suggest(
    name: NameArgument,
    count: Annotated[int, typer.Option("-k", "--count", min=1, max=100, help="How many clips.")] = 10,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which clips to judge next: the most doubtful ones, none like another."""
    from search.actions.suggestions import suggest as suggest_clips

    with open_library(library) as opened:
        document = suggest_clips(opened, name, count)
    if as_json:
        print_json(document)
    else:
        from indexer.terminal.show_actions import show_suggestions

        show_suggestions(document)


def _correct(library: Path | None, clip_id: int, name: str, *, is_positive: bool, as_json: bool) -> None:
    from search.actions.correcting import correct_clip
    from search.actions.naming import read_known_actions

    with open_library(library) as opened:
        kept = correct_clip(opened, clip_id, name, is_positive=is_positive)
        is_taught = read_known_actions(opened).is_taught(kept.action)
        _show_meant(name, kept.action)
        examples = show.counted(kept.positive, "example")
        if is_taught:
            verb = "is" if (kept.positive, kept.negative) in ((1, 0), (0, 1)) else "are"
            show.note(
                f"kept; {examples} of {kept.action} and {kept.negative} of what it is not "
                f'{verb} known; `indexer actions undo "{kept.action}"` takes it back'
            )
        else:
            against = f", {kept.negative} of what it is not" if kept.negative else ""
            show.note(f"kept for a first lesson: {kept.action} is not taught yet, {examples} so far{against}")
        if kept.note:
            show.note(f"note: {kept.note}")
        card = _learn_again(opened, kept.action) if is_taught else None
    if as_json:
        print_json({**asdict(kept), "taught": is_taught, "report": card})


def _learn_again(library: Library, action: str) -> dict[str, Any] | None:
    """Learns a taught action again after a correction, and says what came of it."""
    from search.actions.listing import count_found
    from search.actions.naming import read_known_actions
    from search.actions.teaching import learn_again

    if not read_known_actions(library).is_taught(action):
        return None
    card = learn_again(library, action)
    if card is None:
        show.note(f'not learned again by itself; `indexer actions teach "{action}"` does')
    else:
        from indexer.terminal.show_actions import describe_figures

        what = "a draft, learned again" if card["is_draft"] else "learned again"
        segments = show.counted(count_found(library, action), "segment")
        show.note(f"{what} in {card['seconds']:.1f} s: {describe_figures(card)}; {segments}")
    return card

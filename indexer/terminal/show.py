"""What the command line shows to people; machines read `--json` instead."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
)
from rich.table import Table

from encoders.heads.action_names import normalise_action
from encoders.types import TextReading
from search.file_names import shown_path

if TYPE_CHECKING:
    from encoders import EncoderInfo
    from indexer.ingest.pipeline import IngestProgress, IngestSummary
    from search.types import Hit, SearchResult, Segment, Video

SHOWN_FAILURES = 50
SHOWN_NAMES = 8
WIDE = 10_000


def _stderr() -> Console:
    return Console(stderr=True, highlight=False)


def printable(text: str) -> str:
    """A text as one line: control characters and, in names of files, bytes of no text are shown escaped."""
    return "".join(
        character if character.isprintable() else repr(character)[1:-1] for character in shown_path(text)
    )


def printable_path(path: str) -> str:
    r"""A path as one line, and only one path: a newline in a name is \n, a backslash is two."""
    return printable(path.replace("\\", "\\\\"))


def short_path(path: str) -> str:
    """The path from here or from home, where that is shorter; it still opens the file."""
    here = os.path.relpath(path) if path.startswith(os.getcwd() + os.sep) else path
    home = (
        "~" + path.removeprefix(os.path.expanduser("~"))
        if path.startswith(os.path.expanduser("~/"))
        else path
    )
    return min(path, here, home, key=len)


def error(message: str) -> None:
    """One line on stderr."""
    _stderr().print(f"[bold red]error:[/] {escape(printable(message))}", soft_wrap=True)


def note(message: str) -> None:
    """One line on stderr."""
    _stderr().print(escape(printable(message)), soft_wrap=True)


def clock(seconds: float) -> str:
    """Seconds as people read them on a player: 2:05.3, 1:02:05.3."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    tail = f"{rest // 10:02d}.{rest % 10}"
    return f"{hours}:{minutes:02d}:{tail}" if hours else f"{minutes}:{tail}"


@contextmanager
def status(message: str) -> Iterator[None]:
    """A spinner on a terminal, nothing elsewhere."""
    console = _stderr()
    if not console.is_terminal:
        yield
        return
    with console.status(message):
        yield


@contextmanager
def ingest_progress() -> Iterator[Callable[[IngestProgress], None]]:
    """A progress bar on a terminal, nothing elsewhere."""
    console = _stderr()
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("videos"),
        TextColumn("{task.fields[hours]}"),
        TextColumn("{task.fields[speed]}"),
        TextColumn("{task.fields[eta]}"),
        TextColumn("[dim]{task.fields[name]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None, hours="", speed="", eta="", name="beginning")

        def on_progress(state: IngestProgress) -> None:
            speed = state.video_seconds / state.wall_seconds if state.wall_seconds > 1 else 0.0
            remaining = ""
            if state.files_done and state.files_done < state.files_total and state.wall_seconds > 5:
                left = state.files_total - state.files_done
                remaining = f"{clock(state.wall_seconds / state.files_done * left)[:-2]} left"
            progress.update(
                task,
                total=state.files_total or None,
                completed=state.files_done,
                hours=f"{state.video_seconds / 3600:.2f} h",
                speed=f"{speed:.1f}x realtime" if speed else "",
                eta=remaining,
                name=escape(printable(state.stage or (state.path or "").rsplit("/", 1)[-1])[:40]),
            )

        yield on_progress


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal, for things of which so many of so many are done."""
    console = _stderr()
    if not console.is_terminal:
        yield lambda done, total: None
        return
    columns = (SpinnerColumn(), BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn(what))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)

        def on_progress(done: int, total: int) -> None:
            progress.update(task, total=total, completed=done)

        yield on_progress


def ingest_summary(summary: IngestSummary) -> None:
    """Failures, each with its reason, and one line of counts; on stderr."""
    console = _stderr()
    for what, files in (("[yellow]note[/]", summary.damaged), ("[red]failed[/]", summary.failed)):
        for path, reason in files:
            console.print(
                f"{what} {escape(printable_path(path))}: {escape(printable(reason))}", soft_wrap=True
            )
    parts = [f"{summary.indexed} indexed", f"{summary.unchanged} unchanged"]
    for count, name in (
        (summary.moved, "moved"),
        (summary.missing, "missing"),
        (summary.pruned, "removed"),
        (len(summary.failed), "failed"),
    ):
        if count:
            parts.append(f"{count} {name}")
    line = ", ".join(parts)
    if summary.clips:
        line += f"; {counted(summary.clips, 'clip')} from {clock(summary.video_seconds)} of video"
    if summary.indexed and summary.wall_seconds:
        speed = summary.video_seconds / summary.wall_seconds
        line += f" in {summary.wall_seconds:.1f} s ({speed:.1f}x realtime)"
    console.print(line, soft_wrap=True)
    examples_gone(summary.examples_gone)


def examples_gone(counts: Mapping[str, int]) -> None:
    """Which examples of actions were spans of videos that went; on stderr, a line a name."""
    for name, count in sorted(counts.items()):
        note(f"{counted(count, 'example')} of {name} went with it")


def search_result(result: SearchResult) -> None:
    """Hits as a table on stdout: score, band, time, place, key-frame times (best first), path."""
    console = Console(highlight=False)
    for reading in result.understood:
        console.print(f"[dim]{escape(printable(understood(reading)))}[/]", soft_wrap=True)
    if not result.hits:
        console.print("nothing found: no clip passes the filters")
        return
    if result.best_band == "unlikely":
        console.print("[yellow]nothing here looks like that[/]; the least unlike:")
    elif result.best_band == "maybe":
        console.print("[yellow]no sure match[/]; closest results:")
    table = Table(box=None, pad_edge=False)
    table.add_column("score", justify="right")
    table.add_column("", no_wrap=True)
    table.add_column("time", no_wrap=True)
    table.add_column("clip", justify="right")
    table.add_column("key frames at", no_wrap=True)
    with_actions = any(hit.actions for hit in result.hits)
    if with_actions:
        table.add_column("actions")
    with_pieces = any(hit.matches for hit in result.hits)
    if with_pieces:
        table.add_column("of the example", no_wrap=True)
    with_captions = any(hit.caption for hit in result.hits)
    if with_captions:
        table.add_column("caption", overflow="fold")
    table.add_column("video", overflow="fold")
    for hit in result.hits:
        style = "dim" if hit.band == "unlikely" else None
        table.add_row(
            f"{hit.score:.3f}",
            hit.band,
            f"{clock(hit.start_seconds)}-{clock(hit.end_seconds)}",
            str(hit.clip_id),
            _key_frame_times(hit.key_frames),
            *([_action_names(hit)] if with_actions else []),
            *([_pieces(hit)] if with_pieces else []),
            *([escape(printable(hit.caption or ""))] if with_captions else []),
            escape(printable_path(short_path(hit.path))),
            style=style,
        )
    console.print(table)
    how = "exact" if result.exact else "approximate"
    console.print(
        f"[dim]{counted(len(result.hits), 'hit')}, {result.took_ms:.0f} ms, {how}, {result.encoder}[/]"
    )


def understood(reading: TextReading) -> str:
    """What words were taken for, in a line: "dog: 118 kinds; knows nothing of: quarterly, earnings".

    Words that say nothing by themselves, an article alone, are said to.
    """
    parts = []
    for concept in reading.concepts:
        name = concept.words
        if concept.meaning.casefold() != concept.words.casefold():
            name += f" ({concept.meaning})"
        parts.append(f"{name}: {counted(concept.kinds, 'kind')}" if concept.kinds else f"{name}: by likeness")
    if reading.unknown:
        parts.append(f"knows nothing of: {', '.join(reading.unknown)}")
    return "; ".join(parts) or f"{reading.text.strip()}: says nothing by itself"


def _pieces(hit: Hit) -> str:
    """Which part of an example a hit shows: its best piece, how that was changed, how many more there are."""
    match = hit.match
    if match is None:
        return ""
    shown = f"{clock(match.query_start_seconds)}-{clock(match.query_end_seconds)}"
    if abs(match.speed - 1) > 0.1:
        shown += f" {match.speed:.2f}x"
    shown += " mirrored" * match.mirrored + " backwards" * match.reversed
    more = len(hit.matches) - 1
    return shown + (f" (+{more})" if more else "")


def _action_names(hit: Hit) -> str:
    shown = [
        f"{tag.action} {tag.confidence:.2f}" + (f" ({tag.head})" if tag.is_draft else "")
        for tag in hit.actions[:2]
    ]
    return escape(printable(", ".join(shown))) + (" ..." if len(hit.actions) > 2 else "")


def _key_frame_times(frames: Sequence[Any]) -> str:
    shown = [clock(frame.time_seconds) for frame in frames[:3]]
    return " ".join(shown) + (" ..." if len(frames) > 3 else "")


def mapping(action: str, names: Sequence[str], how: str) -> None:
    """Which names were looked for, where they are not the one that was typed; on stderr.

    Args:
        action: What was typed.
        names: What it was taken for.
        how: As in `search.actions.actions.FoundSegments`; "exact" also for another form of the same words.
    """
    if how in ("zero-shot", "none"):
        note(f"{action}: no head knows it; told by the words alone (zero-shot)")
    elif how != "exact" or list(names) != [normalise_action(action)]:
        shown = ", ".join(names[:SHOWN_NAMES]) + (", ..." if len(names) > SHOWN_NAMES else "")
        why = {
            "exact": "the same word in another form or spelling",
            "synonym": "synonyms",
            "words": "names that hold these words",
        }[how]
        note(f"{action} -> {shown} ({why})")


def counted(number: int, what: str) -> str:
    """So many of something, in its singular or plural."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def segments(found: Iterable[Segment], total: int, *, is_narrowed: bool = False) -> None:
    """Segments as a table on stdout; `is_narrowed` where bounds of the query may be why there is none."""
    console = Console(highlight=False)
    if not total and is_narrowed:
        console.print("no segment: the action is known, and nothing here shows it within what was asked for")
        return
    if not total:
        console.print("no segment: the action is known, and nothing here shows it surely enough")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("confidence", justify="right")
    table.add_column("time", no_wrap=True)
    table.add_column("action")
    table.add_column("head")
    table.add_column("video", overflow="fold")
    for segment in found:
        table.add_row(
            f"{segment.confidence:.2f}",
            f"{clock(segment.start_seconds)}-{clock(segment.end_seconds)}",
            escape(printable(segment.action)),
            escape(segment.head),
            escape(printable_path(short_path(segment.path))),
        )
    console.print(table)
    console.print(f"[dim]{counted(total, 'segment')}[/]")


def lesson(document: dict[str, Any]) -> None:
    """What a lesson came to."""
    report = document["report"]
    console = Console(highlight=False)
    name = escape(document["action"])
    others = f"{report['negatives']} of what it is not, {report['background']} from the library"
    learned = "a draft of" if report["is_draft"] else "learned"
    examples = f"{counted(report['positives'], 'example')} of {counted(report['videos'], 'video')}"
    console.print(f"{learned} [bold]{name}[/] from {examples} ({others})")
    console.print(f"held out: {figures(report)}", soft_wrap=True)
    for line in _lesson_notes(report):
        console.print(f"[yellow]{line}[/]", soft_wrap=True)
    console.print(
        f'{counted(document["segments"], "segment")} in this library: indexer find --action "{name}"'
    )
    if report["is_draft"]:
        console.print(f'most would help: more videos, and answers to indexer actions suggest "{name}"')


def figures(report: Mapping[str, Any]) -> str:
    """Precision and recall of a lesson with their intervals, and what they are from."""
    if report.get("precision") is None:
        return "nothing could be held out to check it by"
    shares = []
    for name in ("precision", "recall"):
        low, high = report.get(f"{name}_low"), report.get(f"{name}_high")
        likely = "" if low is None else f" (likely {low:.2f} to {high:.2f})"
        shares.append(f"{name} {report[name]:.2f}{likely}")
    videos = f", from {counted(report['videos'], 'video')}" if report.get("videos") else ""
    return ", ".join(shares) + videos


def _lesson_notes(report: dict[str, Any]) -> list[str]:
    notes = []
    if report["is_draft"]:
        notes.append(f"a draft, found by its name alone: {report['reason']}")
    if not report["by_source"] and report["precision"] is not None:
        notes.append("the examples are from too few videos to hold out whole ones: the figures flatter")
    if report["set_aside"]:
        verb = "looks" if report["set_aside"] == 1 else "look"
        clips = counted(report["set_aside"], "clip")
        notes.append(f"{clips} of the library {verb} like it too, and count for nothing")
    return notes


def suggestions(document: dict[str, Any]) -> None:
    """Clips that are worth judging, as a table, and how to judge them."""
    console = Console(highlight=False)
    if not document["suggestions"]:
        console.print("no clip is left that nobody has judged")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("clip", "confidence", "time", "video"):
        table.add_column(name, justify="right" if name in ("clip", "confidence") else "left", overflow="fold")
    for row in document["suggestions"]:
        table.add_row(
            str(row["clip_id"]),
            f"{row['confidence']:.2f}",
            f"{clock(row['start_seconds'])}-{clock(row['end_seconds'])}",
            escape(printable_path(short_path(row["path"]))),
        )
    console.print(table)
    console.print(f'[dim]indexer actions confirm CLIP "{escape(document["action"])}", or reject[/]')


def actions(
    rows: Sequence[dict[str, Any]],
    heads: Sequence[dict[str, Any]],
    untaught: Sequence[dict[str, Any]] = (),
) -> None:
    """The known actions as a table on stdout, and what was only corrected so far."""
    console = Console(highlight=False)
    if rows:
        table = Table(box=None, pad_edge=False)
        for name in ("action", "head", "segments", "time", "examples", "precision", "recall"):
            table.add_column(name, justify="left" if name in ("action", "head") else "right")
        for row in rows:
            report = row["report"] or {}
            examples = row["examples"]
            table.add_row(
                escape(row["action"]),
                escape(row["head"]) + (", imported" if report.get("imported") else ""),
                str(row["segments"]),
                clock(row["seconds"]),
                f"{examples['positive']} + {examples['negative']} not" if examples else "",
                _with_interval(report, "precision"),
                _with_interval(report, "recall"),
            )
        console.print(table)
    for head in heads:
        console.print(f"[dim]{escape(head['head'])} knows {head['names']} names[/]")
    if not rows and not heads:
        console.print("no action is known yet: indexer actions teach NAME --from FOLDER")
    if untaught:
        kept = ", ".join(f"{row['action']} ({row['positive']} + {row['negative']} not)" for row in untaught)
        console.print(f"[dim]corrected, and not taught yet: {escape(kept)}[/]", soft_wrap=True)


def _with_interval(report: Mapping[str, Any], name: str) -> str:
    """A figure as a cell: "0.83 (0.55-0.95)"; empty where it was not measured."""
    if report.get(name) is None:
        return ""
    low, high = report.get(f"{name}_low"), report.get(f"{name}_high")
    return f"{report[name]:.2f}" + ("" if low is None else f" ({low:.2f}-{high:.2f})")


def action(document: dict[str, Any]) -> None:
    """One action: its report and its examples."""
    console = Console(highlight=False)
    report = document["report"]
    console.print(f"[bold]{escape(document['action'])}[/], {escape(document['head'])}")
    console.print(
        f"{counted(document['segments'], 'segment')} at a confidence of {document['threshold']:.2f} or more"
    )
    if document["head"] in ("taught", "draft"):
        console.print(f"  held out: {figures(report)}", soft_wrap=True)
    for name, value in report.items():
        # Said above, or, as the average, no figure to stand without an interval.
        is_left_out = "precision" in name or name.startswith("recall") or name == "videos"
        if isinstance(value, int | float | str) and not is_left_out:
            console.print(f"  {name.replace('_', ' ')}: {value}")
    for example in document["examples"]:
        sign = "[green]+[/]" if example["positive"] else "[red]-[/]"
        console.print(
            f"  {sign} {escape(printable(example['source']))} ({example['origin']})", soft_wrap=True
        )


def library_status(document: dict[str, Any], failed: Sequence[Video]) -> None:
    """The library's counts, and what failed and why."""
    # Nothing is cut where no terminal has a width of its own.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
    videos, index = document["videos"], document["index"]
    rows = [
        ("library", document["library"]),
        ("catalog", document["database"]),
        ("encoder", document["encoder"] or "none yet: chosen by the first ingest"),
        ("videos", ", ".join(f"{count} {name}" for name, count in videos.items())),
        ("clips", str(document["clips"])),
        ("index", f"{index['kind'] or 'none'}{'' if index['up_to_date'] else ', behind the catalog'}"),
        ("decoders", f"confined by {document['confinement']}"),
    ]
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(f"[bold]{name}", escape(printable(str(value))))
    console.print(table)
    for video in failed[:SHOWN_FAILURES]:
        console.print(
            f"[red]failed[/] {escape(printable_path(video.path))}: {escape(printable(video.error or ''))}",
            soft_wrap=True,
        )


def videos(found: Sequence[Video]) -> None:
    """One line a video, in columns that `cut` and `awk` take apart; the reason of a failed one follows."""
    console = Console(highlight=False)
    console.print("     id  status     duration  path", style="dim", soft_wrap=True)
    for video in found:
        lasting = clock(video.duration_seconds) if video.duration_seconds is not None else "-"
        why = f"  [red]{escape(printable(video.error))}[/]" if video.error else ""
        console.print(
            f"{video.id:7d}  {video.status:8s}  {lasting:>9}  {escape(printable_path(video.path))}{why}",
            soft_wrap=True,
        )


def encoders(found: Sequence[EncoderInfo]) -> None:
    """The list of encoders."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    table = Table(box=None, pad_edge=False)
    for name in ("encoder", "dim", "size", "licence", "here", "weights", "paper"):
        table.add_column(name, justify="right" if name in ("dim", "size") else "left", overflow="fold")
    for info in found:
        table.add_row(
            info.spec,
            str(info.dim),
            f"{info.size_bytes / 1e6:.0f} MB",
            info.licence,
            "[green]yes[/]" if info.available else f"[dim]no: {escape(info.reason)}[/]",
            escape(info.weights),
            escape(info.paper),
        )
    console.print(table)

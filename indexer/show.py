"""What the command line shows to people; machines read `--json` instead."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
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

if TYPE_CHECKING:
    from encoders import EncoderInfo
    from indexer.pipeline import IngestProgress, IngestSummary
    from search.types import SearchResult, Video

SHOWN_FAILURES = 50


def _stderr() -> Console:
    return Console(stderr=True, highlight=False)


def printable(name: str) -> str:
    """A path as one line: control characters (a newline in a name) are shown escaped."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in name)


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
        task = progress.add_task("", total=None, hours="", speed="", eta="", name="looking for videos")

        def on_progress(state: IngestProgress) -> None:
            speed = state.video_seconds / state.wall_seconds if state.wall_seconds > 1 else 0.0
            remaining = ""
            if state.files_done and state.files_done < state.files_total and state.wall_seconds > 5:
                left = state.files_total - state.files_done
                remaining = f"{clock(state.wall_seconds / state.files_done * left)[:-2]} left"
            progress.update(
                task,
                total=state.files_total,
                completed=state.files_done,
                hours=f"{state.video_seconds / 3600:.2f} h",
                speed=f"{speed:.1f}x realtime" if speed else "",
                eta=remaining,
                name=escape(printable((state.path or "").rsplit("/", 1)[-1])[:40]),
            )

        yield on_progress


def ingest_summary(summary: IngestSummary) -> None:
    """Failures, each with its reason, and one line of counts; on stderr."""
    console = _stderr()
    for path, reason in summary.failed:
        console.print(
            f"[red]failed[/] {escape(printable(path))}: {escape(printable(reason))}", soft_wrap=True
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
        line += f"; {summary.clips} clips from {clock(summary.video_seconds)} of video"
    if summary.indexed and summary.wall_seconds:
        speed = summary.video_seconds / summary.wall_seconds
        line += f" in {summary.wall_seconds:.1f} s ({speed:.1f}x realtime)"
    console.print(line, soft_wrap=True)


def search_result(result: SearchResult) -> None:
    """Hits as a table on stdout: score, time, place, key-frame times, path."""
    console = Console(highlight=False)
    if not result.hits:
        console.print("nothing found: no clip passes the filters")
        return
    if all(hit.weak for hit in result.hits):
        console.print("[yellow]nothing here looks like that[/]; the least unlike:")
    table = Table(box=None, pad_edge=False)
    table.add_column("score", justify="right")
    table.add_column("time", no_wrap=True)
    table.add_column("clip", justify="right")
    table.add_column("key frames at", no_wrap=True)
    table.add_column("video", overflow="fold")
    for hit in result.hits:
        style = "dim" if hit.weak else None
        table.add_row(
            f"{hit.score:.3f}{' weak' if hit.weak else ''}",
            f"{clock(hit.start_seconds)}-{clock(hit.end_seconds)}",
            str(hit.clip_id),
            _key_frame_times(hit.key_frames),
            escape(printable(short_path(hit.path))),
            style=style,
        )
    console.print(table)
    how = "exact" if result.exact else "approximate"
    console.print(f"[dim]{len(result.hits)} hits, {result.took_ms:.0f} ms, {how}, {result.encoder}[/]")


def _key_frame_times(frames: Sequence[Any]) -> str:
    shown = [clock(frame.time_seconds) for frame in frames[:3]]
    return " ".join(shown) + (" ..." if len(frames) > 3 else "")


def library_status(document: dict[str, Any], failed: Sequence[Video]) -> None:
    """The library's counts, and what failed and why."""
    console = Console(highlight=False)
    videos, index = document["videos"], document["index"]
    rows = [
        ("library", document["library"]),
        ("catalog", document["database"]),
        ("encoder", document["encoder"] or "none yet: chosen by the first ingest"),
        ("videos", ", ".join(f"{count} {name}" for name, count in videos.items())),
        ("clips", str(document["clips"])),
        ("index", f"{index['kind'] or 'none'}{'' if index['up_to_date'] else ', behind the catalog'}"),
    ]
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in rows:
        table.add_row(f"[bold]{name}", escape(printable(str(value))))
    console.print(table)
    for video in failed[:SHOWN_FAILURES]:
        console.print(
            f"[red]failed[/] {escape(printable(video.path))}: {escape(printable(video.error or ''))}",
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

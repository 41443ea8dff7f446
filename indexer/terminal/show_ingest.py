"""The progress and the outcome of an ingest on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from indexer.terminal.show import clock, counted, note, printable, printable_path

if TYPE_CHECKING:
    from indexer.ingest.types import IngestProgress, IngestSummary


@contextmanager
def show_ingest_progress() -> Iterator[Callable[[IngestProgress], None]]:
    """A progress bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True, highlight=False)
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


def show_ingest_summary(summary: IngestSummary) -> None:
    """Failures, each with its reason, and one line of counts; on stderr."""
    console = Console(stderr=True, highlight=False)
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
    show_examples_gone(summary.examples_gone)


def show_examples_gone(counts: Mapping[str, int]) -> None:
    """Prints how many examples of actions were spans of videos that went; on stderr, a line a name."""
    for name, count in sorted(counts.items()):
        note(f"{counted(count, 'example')} of {name} went with it")

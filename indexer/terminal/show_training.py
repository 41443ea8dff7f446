"""Training, evaluation and prediction on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
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
    TimeRemainingColumn,
)
from rich.table import Table

from indexer.terminal.show import counted, printable

if TYPE_CHECKING:
    from encoders.evaluation.reports import EvaluationReport
    from encoders.training.run import Progress as State

MOST_NAMED = 10


@contextmanager
def show_training() -> Iterator[Callable[[State], None]]:
    """A bar for each epoch on a terminal; a line after each epoch everywhere, on stderr."""
    console = Console(stderr=True, highlight=False)

    def line(state: State) -> None:
        if state.top1 is not None:
            console.print(
                f"epoch {state.epoch + 1}/{state.epochs}: loss {state.loss:.3f}, top-1 {state.top1:.1%} "
                "on the validation clips"
            )

    if not console.is_terminal:
        yield line
        return
    columns = (
        SpinnerColumn(),
        TextColumn("epoch {task.fields[epoch]}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None, epoch="", loss="", speed="")

        def on_progress(state: State) -> None:
            if state.top1 is None:
                progress.update(
                    task,
                    total=state.steps,
                    completed=state.step,
                    epoch=f"{state.epoch + 1}/{state.epochs}",
                    loss=f"loss {state.loss:.3f}",
                    speed=f"{state.clips_per_second:.1f} clips/s",
                )
            line(state)

        yield on_progress


def show_trained(document: dict[str, Any]) -> None:
    """Prints the outcome of a run."""
    console = Console(highlight=False)
    console.print(
        f"top-1 [bold]{document['top1']:.1%}[/] on the validation clips, "
        f"{counted(document['epochs'], 'epoch')}, {document['seconds']:.0f} s"
    )
    console.print(f"best: {escape(printable(document['best']))}", soft_wrap=True)
    _damaged(document["damaged"])
    console.print(
        f"Next: indexer evaluate {escape(printable(document['best']))} --data DIR, or "
        f"indexer ingest PATH --actions model:{escape(printable(document['best']))}",
        soft_wrap=True,
    )


def show_trained_importance(document: dict[str, Any]) -> None:
    """Prints the outcome of a run for an importance head."""
    console = Console(highlight=False)
    console.print(
        f"{document['figure']} [bold]{document['value']:.3f}[/] on the validation videos, after epoch "
        f"{document['epoch']}"
    )
    console.print(f"best: {escape(printable(document['best']))}", soft_wrap=True)
    _damaged(document["damaged"])
    console.print(
        f"Next: indexer evaluate {escape(printable(document['best']))} --data DIR, or "
        f"indexer summarize VIDEO --importance {escape(printable(document['best']))}",
        soft_wrap=True,
    )


def show_evaluation(report: EvaluationReport) -> None:
    """Figures with their intervals, then the classes, the weakest first."""
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False)
    for name in ("figure", "value", "95 % interval", "of"):
        table.add_column(name, justify="left" if name == "figure" else "right")
    for row in report.rows():
        table.add_row(*(escape(cell) for cell in row))
    console.print(table)
    if rows := report.class_rows():
        classes = Table(box=None, pad_edge=False, title_justify="left")
        for name in ("class", report.class_figure, "95 % interval", "of"):
            classes.add_column(name)
        for row in rows[: 2 * MOST_NAMED]:
            classes.add_row(*(escape(printable(cell)) for cell in row))
        console.print(classes)
        if len(rows) > 2 * MOST_NAMED:
            console.print(f"[dim]and {len(rows) - 2 * MOST_NAMED} more classes: --json has all[/]")
    _damaged([{"path": name, "reason": why} for name, why in report.skipped.items()])


def show_predictions(document: dict[str, Any]) -> None:
    """A model's classes for one video."""
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False)
    table.add_column("share", justify="right")
    table.add_column("class")
    for row in document["classes"]:
        table.add_row(f"{row['probability']:.3f}", escape(printable(row["label"])))
    console.print(table)


def show_models(rows: list[dict[str, Any]]) -> None:
    """Prints the models that can be trained."""
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False)
    for name in ("model", "clip", "stride", "flow", "paper"):
        table.add_column(name)
    for row in rows:
        clip = f"{row['frames']} x {row['size']}"
        table.add_row(
            row["model"], clip, str(row["stride"]), "yes" if row["flow"] else "", escape(row["paper"])
        )
    console.print(table)


def _damaged(files: list[dict[str, str]]) -> None:
    if not files:
        return
    console = Console(stderr=True, highlight=False)
    are = "file was" if len(files) == 1 else "files were"
    console.print(f"[yellow]{len(files)} damaged {are} left out:[/]")
    for row in files[:MOST_NAMED]:
        console.print(
            f"  {escape(printable(row['path']))}: {escape(printable(row['reason']))}", soft_wrap=True
        )
    if len(files) > MOST_NAMED:
        sys.stderr.write(f"  and {len(files) - MOST_NAMED} more: --json has all\n")

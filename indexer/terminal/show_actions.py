"""Actions on a terminal: lessons, suggestions, and what is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from indexer.terminal.show import clock, clock_span, counted, printable, printable_path, short_path

if TYPE_CHECKING:
    from search.documents.actions import ActionDescriptionAnswer, ActionsAnswer, SuggestionsAnswer


def show_lesson(document: dict[str, Any]) -> None:
    """Prints the outcome of a lesson."""
    report = document["report"]
    console = Console(highlight=False)
    name = escape(document["action"])
    others = f"{report['negatives']} of what it is not, {report['background']} from the library"
    learned = "a draft of" if report["is_draft"] else "learned"
    examples = f"{counted(report['positives'], 'example')} of {counted(report['videos'], 'video')}"
    console.print(f"{learned} [bold]{name}[/] from {examples} ({others})")
    console.print(f"held out: {describe_figures(report)}", soft_wrap=True)
    for line in _lesson_notes(report):
        console.print(f"[yellow]{line}[/]", soft_wrap=True)
    console.print(
        f'{counted(document["segments"], "segment")} in this library: indexer find --action "{name}"'
    )
    if report["is_draft"]:
        console.print(f'most would help: more videos, and answers to indexer actions suggest "{name}"')


def describe_figures(report: Mapping[str, Any]) -> str:
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


def show_suggestions(document: SuggestionsAnswer) -> None:
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
            clock_span(row["start_seconds"], row["end_seconds"]),
            escape(printable_path(short_path(row["path"]))),
        )
    console.print(table)
    console.print(f'[dim]indexer actions confirm CLIP "{escape(document["action"])}", or reject[/]')


def show_actions(document: ActionsAnswer) -> None:
    """Prints the known actions as a table on stdout, and what was only corrected so far."""
    console = Console(highlight=False)
    rows, heads, untaught = document["actions"], document["heads"], document["untaught"]
    if rows:
        table = Table(box=None, pad_edge=False)
        for name in ("action", "head", "segments", "time", "examples", "precision", "recall"):
            table.add_column(name, justify="left" if name in ("action", "head") else "right")
        for row in rows:
            report: Mapping[str, Any] = row["report"] or {}
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


def show_action(document: ActionDescriptionAnswer) -> None:
    """Prints one known action: its report and its examples."""
    console = Console(highlight=False)
    report: Mapping[str, Any] = document["report"] or {}
    console.print(f"[bold]{escape(document['action'])}[/], {escape(document['head'] or '')}")
    console.print(
        f"{counted(document['segments'], 'segment')} at a confidence of {document['threshold']:.2f} or more"
    )
    if document["head"] in ("taught", "draft"):
        console.print(f"  held out: {describe_figures(report)}", soft_wrap=True)
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

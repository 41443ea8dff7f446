"""A library on a terminal: its counts and its videos; and the encoders that there are."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from indexer.terminal.show import aside, clock, printable, printable_path, styled, uncut_console

if TYPE_CHECKING:
    from encoders import EncoderInfo
    from search.documents.videos import StatusAnswer
    from search.query.tuning import Tuning
    from search.types import Video

SHOWN_FAILURES = 50


def show_status(document: StatusAnswer, failed: Sequence[Video]) -> None:
    """Prints the library's counts, and what failed and why."""
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
    for name, value in rows:
        print(f"{styled(f'{name:8}', 'bold', sys.stdout)}  {printable(str(value))}")
    for video in failed[:SHOWN_FAILURES]:
        why = f"{printable_path(video.path)}: {printable(video.error or '')}"
        print(f"{styled('failed', 'red', sys.stdout)} {why}")


def show_tuning(tuning: Tuning) -> None:
    """Prints what searches found before and after, kind by kind."""
    print(f"{styled('index', 'bold', sys.stdout)}  {tuning.kind}")
    if tuning.before is None or tuning.after is None:
        print("all clips are compared: nothing to tune")
        return
    print(f"of the first {tuning.at} among {tuning.clips} clips, searches find")
    for kind, found in tuning.after.recall.items():
        before, took = tuning.before.recall[kind], tuning.after.milliseconds[kind]
        print(f"  {kind:6} {found:.4f} (before: {before:.4f}), {took:.1f} ms each in the index")
    if not tuning.is_reached:
        print(f"that is less than {tuning.wanted:g}, and no greater effort is tried")


def show_videos(found: Sequence[Video]) -> None:
    """One line a video, in columns that `cut` and `awk` take apart; the reason of a failed one follows."""
    aside("     id  status     duration  path")
    for video in found:
        lasting = clock(video.duration_seconds) if video.duration_seconds is not None else "-"
        why = f"  {styled(printable(video.error), 'red', sys.stdout)}" if video.error else ""
        print(f"{video.id:7d}  {video.status:8s}  {lasting:>9}  {printable_path(video.path)}{why}")


def show_encoders(found: Sequence[EncoderInfo]) -> None:
    """Prints the list of encoders."""
    from rich.markup import escape
    from rich.table import Table

    console = uncut_console(160)
    table = Table(box=None, pad_edge=False)
    for name in ("encoder", "dim", "size", "licence", "here", "weights", "paper"):
        table.add_column(name, justify="right" if name in ("dim", "size") else "left", overflow="fold")
    for info in found:
        table.add_row(
            escape(info.spec),
            str(info.dim),
            f"{info.size_bytes / 1e6:.0f} MB",
            escape(info.licence),
            "[green]yes[/]" if info.available else f"[dim]no: {escape(info.reason)}[/]",
            escape(info.weights),
            escape(info.paper),
        )
    console.print(table)

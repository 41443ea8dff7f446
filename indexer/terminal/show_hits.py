"""Results on a terminal: hits, segments, and what words were taken for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from indexer.terminal.show import (
    aside,
    clock,
    clock_span,
    columns,
    counted,
    note,
    printable,
    printable_path,
    short_path,
    uncut_console,
)

if TYPE_CHECKING:
    from search.documents.hits import HitAnswer, KeyFrameAnswer, ReadingAnswer, SearchAnswer
    from search.documents.segments import SegmentAnswer

SHOWN_NAMES = 8


def show_hits(result: SearchAnswer) -> None:
    """Hits as a table on stdout: score, band, time, place, key-frame times (best first), path."""
    from rich.markup import escape
    from rich.table import Table

    console = uncut_console()
    for reading in result["understood"]:
        console.print(f"[dim]{escape(printable(_describe_reading(reading)))}[/]", soft_wrap=True)
    if not result["hits"]:
        console.print("nothing found: no clip passes the filters")
        return
    bands = {hit["band"] for hit in result["hits"]}
    if bands == {"unlikely"}:
        console.print("[yellow]nothing here looks like that[/]; the least unlike:")
    elif "match" not in bands:
        console.print("[yellow]no sure match[/]; closest results:")
    table = Table(box=None, pad_edge=False)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("time", no_wrap=True)
    table.add_column("clip", justify="right", no_wrap=True)
    table.add_column("key frames at", no_wrap=True)
    with_actions = any(hit["actions"] for hit in result["hits"])
    if with_actions:
        table.add_column("actions")
    with_pieces = any(hit["matches"] for hit in result["hits"])
    if with_pieces:
        table.add_column("of the example", no_wrap=True)
    with_captions = any(hit["caption"] for hit in result["hits"])
    if with_captions:
        table.add_column("caption", overflow="fold")
    table.add_column("video", overflow="fold")
    for hit in result["hits"]:
        style = "dim" if hit["band"] == "unlikely" else None
        table.add_row(
            f"{hit['score']:.3f}",
            hit["band"],
            clock_span(hit["start_seconds"], hit["end_seconds"]),
            str(hit["clip_id"]),
            _key_frame_times(hit["key_frames"]),
            *([_action_names(hit)] if with_actions else []),
            *([_pieces(hit)] if with_pieces else []),
            *([escape(printable(hit["caption"] or ""))] if with_captions else []),
            escape(printable_path(short_path(hit["path"]))),
            style=style,
        )
    console.print(table)
    how = "exact" if result["exact"] else "approximate"
    hits, took = counted(len(result["hits"]), "hit"), f"{result['took_ms']:.0f} ms"
    console.print(f"[dim]{hits}, {took}, {how}, {result['encoder']}[/]")


def _describe_reading(reading: ReadingAnswer) -> str:
    """A line on what words were taken for: "dog: 118 kinds; knows nothing of: quarterly, earnings".

    Words that say nothing by themselves, an article alone, are said to.
    """
    parts = []
    for concept in reading["concepts"]:
        name = concept["words"]
        if concept["meaning"].casefold() != concept["words"].casefold():
            name += f" ({concept['meaning']})"
        kinds = concept["kinds"]
        parts.append(f"{name}: {counted(kinds, 'kind')}" if kinds else f"{name}: by likeness")
    if reading["unknown"]:
        parts.append(f"knows nothing of: {', '.join(reading['unknown'])}")
    return "; ".join(parts) or f"{reading['text'].strip()}: says nothing by itself"


def _pieces(hit: HitAnswer) -> str:
    """The part of an example that a hit shows: its best piece, how that was changed, how many more."""
    match = hit["match"]
    if match is None:
        return ""
    shown = clock_span(match["query_start_seconds"], match["query_end_seconds"])
    if abs(match["speed"] - 1) > 0.1:
        shown += f" {match['speed']:.2f}x"
    shown += " mirrored" * match["mirrored"] + " backwards" * match["reversed"]
    more = len(hit["matches"]) - 1
    return shown + (f" (+{more})" if more else "")


def _action_names(hit: HitAnswer) -> str:
    from rich.markup import escape

    shown = [
        f"{tag['action']} {tag['confidence']:.2f}" + (f" ({tag['head']})" if tag["head"] == "draft" else "")
        for tag in hit["actions"][:2]
    ]
    return escape(printable(", ".join(shown))) + (" ..." if len(hit["actions"]) > 2 else "")


def _key_frame_times(frames: Sequence[KeyFrameAnswer]) -> str:
    shown = [clock(frame["time_seconds"]) for frame in frames[:3]]
    return " ".join(shown) + (" ..." if len(frames) > 3 else "")


def show_mapping(action: str, names: Sequence[str], how: str) -> None:
    """Prints the names that were looked for, where they are not the one that was typed; on stderr.

    Args:
        action: What was typed.
        names: What it was taken for.
        how: As in `search.actions.finding.FoundSegments`; "exact" also for another form of the same words.
    """
    if how in ("zero-shot", "none"):
        note(f"{action}: no head knows it; told by the words alone (zero-shot)")
        return
    from encoders.heads.action_names import normalise_action

    if how != "exact" or list(names) != [normalise_action(action)]:
        shown = ", ".join(names[:SHOWN_NAMES]) + (", ..." if len(names) > SHOWN_NAMES else "")
        why = {
            "exact": "the same word in another form or spelling",
            "synonym": "synonyms",
            "words": "names that hold these words",
        }[how]
        note(f"{action} -> {shown} ({why})")


def show_segments(found: Iterable[SegmentAnswer], total: int, *, is_narrowed: bool = False) -> None:
    """Segments as a table on stdout; `is_narrowed` where bounds of the query may be why there is none."""
    if not total:
        within = "within what was asked for" if is_narrowed else "surely enough"
        print(f"no segment: the action is known, and nothing here shows it {within}")
        return
    rows = (
        (
            f"{segment['confidence']:.2f}",
            clock_span(segment["start_seconds"], segment["end_seconds"]),
            printable(segment["action"]),
            segment["head"],
            printable_path(short_path(segment["path"])),
        )
        for segment in found
    )
    columns(rows, head=("confidence", "time", "action", "head", "video"), right=("confidence",))
    aside(counted(total, "segment"))

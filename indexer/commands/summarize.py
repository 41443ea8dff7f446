"""The command `indexer summarize`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from encoders.errors import InvalidQueryError, NotFoundError
from indexer.terminal import show
from indexer.terminal.options import JsonOption, LibraryOption, absolute, open_library, print_json
from indexer.terminal.targets import PICTURE_ENDINGS, check_target, refuse_footage, whole_file

if TYPE_CHECKING:
    from indexer.keeping.summaries import VideoSummary
    from indexer.video.making.renditions import Rendition
    from indexer.video.making.storyboard import StillPicture
    from search.catalog.catalog import Catalog
    from search.summary.budget import Budget
    from search.types import Video

DEFAULT_SHARE = "15%"
SLIDE_SECONDS = 0.8


def summarize(
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="Path or id of an indexed video.")],
    budget: Annotated[
        str | None,
        typer.Option(metavar="SHARE", help="How much of its time, say 15% or 0.15. Default: 15%."),
    ] = None,
    frames: Annotated[
        int | None, typer.Option(metavar="N", min=1, max=10_000, help="How many key frames instead.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(metavar="P", min=0, max=1, help="Only what is more important; 0.5 is the average."),
    ] = None,
    per_shot: Annotated[
        bool, typer.Option("--per-shot", help="One frame of every shot first, even where two look alike.")
    ] = False,
    storyboard: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="Write the frames as one picture (.jpg, .png)."),
    ] = None,
    gif: Annotated[
        Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Write a moving picture (.gif).")
    ] = None,
    video_file: Annotated[
        Path | None,
        typer.Option("--video", metavar="FILE", dir_okay=False, help="Write the pieces as a film (.mp4)."),
    ] = None,
    importance: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKPOINT",
            exists=True,
            help="A trained importance head. Default: representativeness.",
        ),
    ] = None,
    library: LibraryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a video shows: its key frames by importance, no two alike, sharp ones preferred."""
    from indexer.keeping.summaries import describe_summary, open_scorer
    from indexer.keeping.summaries import summarize as choose_frames

    wanted = read_budget(budget, frames, threshold, per_shot)
    for path, endings in ((storyboard, PICTURE_ENDINGS), (gif, (".gif",)), (video_file, (".mp4",))):
        check_target(path, endings)
    with open_library(library) as opened, opened.read() as catalog:
        shown = _video(catalog, video)
        refuse_footage(catalog, [path for path in (storyboard, gif, video_file) if path is not None])
        found = choose_frames(catalog, shown.id, wanted, open_scorer(importance) if importance else None)
        if not found.frames:
            raise InvalidQueryError(f"{'; '.join(found.notes)}: lower the threshold")
        stills = _stills(catalog, found) if storyboard or gif else []
    written: list[Path] = []
    if storyboard is not None:
        _write_storyboard(storyboard, stills, found)
        written.append(storyboard)
    for target in (gif, video_file):
        if target is not None:
            _write_motion(target, found, stills)
            written.append(target)
    for line in found.notes:
        show.note(f"note: {line}")
    for target in written:
        show.note(f"written: {target}")
    if as_json:
        print_json(describe_summary(found, written))
    else:
        show_summary(found)


def read_budget(share: str | None, frames: int | None, threshold: float | None, per_shot: bool) -> Budget:
    """The options as a budget; 15 % of the video where none is given.

    Raises:
        InvalidQueryError: The share is none, or goes with another.
    """
    from search.summary.budget import Budget

    if share is None:
        if frames is None and threshold is None:
            return read_budget(DEFAULT_SHARE, None, None, per_shot)
        return Budget(None, frames, threshold, per_shot)
    matched = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*", share)
    if matched is None:
        raise InvalidQueryError(f"a budget is a share of the video such as 15% or 0.15, got {share!r}")
    value = float(matched[1]) / (100 if matched[2] else 1)
    return Budget(value, frames, threshold, per_shot)


def _video(catalog: Catalog, name: str) -> Video:
    """The video of this path or id. Raises NotFoundError."""
    found = catalog.videos_named(absolute(name))
    if len(found) == 1:
        return found[0]
    if name.isdecimal() and int(name) < 2**63:
        return catalog.video(int(name))
    hint = f"`indexer ingest {name}` takes it in" if os.path.exists(os.path.expanduser(name)) else (
        "`indexer videos` lists what is"
    )  # fmt: skip
    raise NotFoundError(f"{name} is not in this library; {hint}")


def _stills(catalog: Catalog, found: VideoSummary) -> list[StillPicture]:
    from indexer.video.making.storyboard import StillPicture

    frames = (frame.key_frame for frame in found.frames)
    return [StillPicture(frame.time_seconds, catalog.key_frame_jpeg(frame.id)) for frame in frames]


def _write_storyboard(path: Path, stills: list[StillPicture], found: VideoSummary) -> None:
    from indexer.video.making.storyboard import MAX_FRAMES, storyboard

    if len(stills) > MAX_FRAMES:
        raise InvalidQueryError(
            f"a storyboard shows at most {MAX_FRAMES} frames, got {len(stills)}: ask for fewer with --frames"
        )
    with whole_file(path) as part:
        storyboard(stills, origin_seconds=found.start_seconds).save(part, quality=88)


def _write_motion(path: Path, found: VideoSummary, stills: list[StillPicture]) -> None:
    """The pieces as a film or a GIF; without the file, a GIF shows the stored key frames."""
    from indexer.video.making.renditions import Rendition

    path = path.expanduser()
    is_gif = path.suffix.lower() == ".gif"
    if not os.path.isfile(found.video.path):
        if not is_gif:
            raise NotFoundError(
                f"a film needs the video, and {found.video.path} is not there now: it was moved or its "
                "drive is offline; --storyboard and --gif work from stored key frames"
            )
        from indexer.video.making.storyboard import slides, write_gif

        show.note(f"note: {found.video.path} is not there now: the GIF shows stored key frames")
        with whole_file(path) as part:
            write_gif(str(part), slides(stills), [SLIDE_SECONDS] * len(stills))
        return
    spans = tuple((frame.start_seconds, frame.end_seconds) for frame in found.frames)
    spans = tuple(span for span in spans if span[1] > span[0])
    rendition = Rendition(spans, kind="gif" if is_gif else "mp4", sound=not is_gif)
    with show.status(f"writing {path.name}"):
        _render(found.video.path, path, rendition)


def _render(source: str, target: Path, rendition: Rendition) -> None:
    from indexer.video.programs.worker import DecodeWorker

    with (
        whole_file(target) as part,
        DecodeWorker() as worker,
    ):
        worker.render(source, str(part), rendition)


def show_summary(found: VideoSummary) -> None:
    """A table of what was chosen."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("time", "piece", "importance", "key frame"):
        table.add_column(title, justify="right" if title in ("time", "key frame") else "left")
    for frame in found.frames:
        bar = "▪" * round(10 * frame.importance)
        table.add_row(
            show.clock(frame.key_frame.time_seconds),
            show.clock_span(frame.start_seconds, frame.end_seconds),
            f"{frame.importance:.2f} [cyan]{bar}[/]",
            str(frame.key_frame.id),
        )
    console.print(table)
    whole = found.end_seconds - found.start_seconds
    share = found.shown_seconds / whole if whole > 0 else 1.0
    console.print(
        f"{show.counted(len(found.frames), 'key frame')} of "
        f"{escape(show.printable_path(show.short_path(found.video.path)))}, {found.shown_seconds:.1f} of "
        f"{whole:.1f} s ({share:.0%}), by {found.by}",
        style="dim",
        soft_wrap=True,
    )

"""`indexer caption`: sentences about the stored key frames, to be searched as text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from encoders.captioning.captioner import DEFAULT_CAPTIONER
from indexer.terminal import show
from indexer.terminal.options import (
    DeviceOption,
    JsonOption,
    LibraryOption,
    absolute,
    open_library,
    print_json,
)


def caption(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH...]", help="Indexed files and folders; default: all."),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            metavar="SPEC", help="coca:<arch>/<tag or checkpoint>, or transformers:<folder or hub name>."
        ),
    ] = DEFAULT_CAPTIONER,
    library: LibraryOption = None,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Caption the key frames of indexed videos, for `indexer search --caption WORDS`.

    Goes on where it was stopped; another model's captions take the place of those that are there. Exit
    status: 0 also when some key frames are broken (they are counted), 1 when the model cannot be had:
    then there are no captions, and all else works as before.
    """
    from encoders.captioning.registry import open_captioner
    from indexer.keeping.captions import caption_videos

    with open_library(library, device) as opened:
        opened.record()  # before a model is loaded, or fetched, for nothing
        with show.status("loading the captioner"):
            captioner = open_captioner(model, device=opened.device)
        with show.counting("key frames captioned") as on_progress:
            summary = caption_videos(
                opened,
                captioner,
                [absolute(str(path)) for path in paths] if paths else None,
                on_progress=on_progress,
            )
    if summary.broken:
        are = "is broken and has" if summary.broken == 1 else "are broken and have"
        show.note(f"{show.counted(summary.broken, 'key frame')} {are} no caption")
    kept = f", {summary.kept} had one already" if summary.kept else ""
    show.note(
        f"captioned {show.counted(summary.captioned, 'key frame')} of "
        f"{show.counted(summary.videos, 'video')}{kept} ({summary.model})"
    )
    if as_json:
        print_json(summary.as_json())

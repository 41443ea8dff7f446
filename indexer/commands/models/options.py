"""Options that the commands about models share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from encoders.errors import InvalidQueryError

if TYPE_CHECKING:
    from indexer.datasets.layouts import Split
    from indexer.video.clips.array_cache import ArrayCache

DataOption = Annotated[
    Path,
    typer.Option("--data", metavar="DIR", help="Folder per class, UCF-101, Kinetics, ..."),
]
LayoutOption = Annotated[
    str, typer.Option(metavar="NAME", help="Of the data: folders, ucf101, kinetics, something, activitynet.")
]
CacheOption = Annotated[
    float, typer.Option(min=0, help="Decoded frames and flow kept on disk, in GB at most; 0 for none.")
]


def open_cache(gigabytes: float) -> ArrayCache | None:
    """Opens the cache of decoded clips, in REELSEEK_CACHE or the user's; None for one of no size."""
    from platformdirs import user_cache_path

    from indexer.video.clips.array_cache import ArrayCache

    if not gigabytes:
        return None
    folder = Path(os.environ.get("REELSEEK_CACHE") or user_cache_path("reelseek")) / "training"
    try:
        return ArrayCache(folder, int(gigabytes * 1e9))
    except OSError as error:
        raise InvalidQueryError(
            f"decoded clips cannot be kept in {folder}: {error.strerror}; set REELSEEK_CACHE, or --cache-gb 0"
        ) from error


def read_split(name: str) -> Split:
    """Reads the name of a split. Raises InvalidQueryError for any other word."""
    from indexer.datasets.types import SPLITS

    if name not in SPLITS:
        raise InvalidQueryError(f"the split must be one of {', '.join(SPLITS)}, got {name!r}")
    return name

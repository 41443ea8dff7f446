"""Settings from the environment; command-line options override them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """`REELSEEK_LIBRARY`, `_DATABASE_URL`, `_DEVICE` and `_INDEX`; an empty one counts as not set.

    Attributes:
        library: Folder of the library.
        database_url: Of the catalog, where it is no file in that folder.
        device: To encode on.
        index: The kind of vector index.
    """

    library: Path
    database_url: str | None
    device: str
    index: str


def read_settings() -> Settings:
    """Reads the settings."""
    return Settings(
        library=Path(os.environ.get("REELSEEK_LIBRARY") or _usual_folder()),
        database_url=os.environ.get("REELSEEK_DATABASE_URL") or None,
        device=os.environ.get("REELSEEK_DEVICE") or "auto",
        index=os.environ.get("REELSEEK_INDEX") or "faiss",
    )


def _usual_folder() -> Path:
    from platformdirs import user_data_path

    return user_data_path("reelseek", appauthor=False)

"""Settings from the environment; command-line options override them."""

from __future__ import annotations

from pathlib import Path

from platformdirs import user_data_path
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """`REELSEEK_LIBRARY`, `REELSEEK_DATABASE_URL`, `REELSEEK_DEVICE` and `REELSEEK_INDEX`."""

    model_config = SettingsConfigDict(env_prefix="REELSEEK_", env_ignore_empty=True)

    library: Path = Field(default_factory=lambda: user_data_path("reelseek", appauthor=False))
    database_url: str | None = None
    device: str = "auto"
    index: str = "faiss"

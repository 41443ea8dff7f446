"""Settings of the server from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServerSettings(BaseSettings):
    """Limits of the server, each from `REELSEEK_<NAME>`.

    Attributes:
        max_upload_bytes: Largest example that is taken.
        max_body_bytes: Largest JSON body that is taken.
        frame_cache_bytes: Memory for frames that were decoded on request.
        preview_cache_bytes: Room on disk for previews and cuts, below the library's folder.
        importance: A checkpoint of an importance head, for key frames and storyboards.
    """

    model_config = SettingsConfigDict(env_prefix="REELSEEK_", env_ignore_empty=True)

    max_upload_bytes: int = Field(default=512 * 2**20, ge=1)
    max_body_bytes: int = Field(default=2**20, ge=1)
    frame_cache_bytes: int = Field(default=64 * 2**20, ge=0)
    preview_cache_bytes: int = Field(default=2 * 2**30, ge=0)
    importance: Path | None = None

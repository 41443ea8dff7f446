"""Settings of the server from the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from indexer.video.limits import WorkerLimits


class ServerSettings(BaseSettings):
    """Limits of the server, each from `REELSEEK_<NAME>`.

    Attributes:
        max_upload_bytes: Largest example that is taken.
        max_upload_seconds: Longest one, in seconds of footage.
        max_upload_pixels: Of one of its frames.
        max_upload_frames: In all.
        upload_limit_seconds: How long it may be worked on, from decoding to the answer, without waiting.
        upload_memory_bytes: What its decoder may take beyond what it starts with.
        max_body_bytes: Largest JSON body that is taken.
        frame_cache_bytes: Memory for frames that were decoded on request.
        preview_cache_bytes: Room on disk for previews and cuts, below the library's folder.
        importance: A checkpoint of an importance head, for key frames and storyboards.
        require_keys: Whether keys are asked for on loopback as well.
        roots: Folders, with ":" between them in the environment, below which alone the server indexes files
            and serves them.
        rate_per_second: Requests that a key, or an address without one, may send on average; 0 for no limit.
            None means 50, and no limit on an open loopback.
        rate_burst: Requests that may come at once.
        requests_at_once: Requests of a key, or of an address without one, that are under way at a time; None
            means 64, and no limit on an open loopback.
        all_requests_at_once: Those of all who are known; 0 for no limit. Strangers have a limit of their own.
        grace_seconds: How long requests under way may take when the server is stopped.
        log_level: From where on the server logs.
        log_paths: Whether addresses are logged with their paths and queries, not as routes only.
        oidc_issuer: Of the JWTs that are taken beside keys, as in their `iss`; None takes none.
        oidc_audience: That they must be for.
        oidc_jwks_url: Where the issuer's keys are; None asks its discovery document.
        oidc_role_claim: Which claim names the role; dots lead into objects.
    """

    model_config = SettingsConfigDict(env_prefix="REELSEEK_", env_ignore_empty=True)

    max_upload_bytes: int = Field(default=512 * 2**20, ge=1)
    max_upload_seconds: float = Field(default=3600.0, gt=0)
    max_upload_pixels: int = Field(default=8192 * 4352, ge=1)
    max_upload_frames: int = Field(default=432_000, ge=1)
    upload_limit_seconds: float = Field(default=120.0, gt=0)
    upload_memory_bytes: int = Field(default=2**30, ge=2**27)
    max_body_bytes: int = Field(default=2**20, ge=1)
    frame_cache_bytes: int = Field(default=64 * 2**20, ge=0)
    preview_cache_bytes: int = Field(default=2 * 2**30, ge=0)
    importance: Path | None = None
    require_keys: bool = False
    roots: Annotated[tuple[str, ...], NoDecode] = ()
    rate_per_second: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    rate_burst: int = Field(default=400, ge=1)
    requests_at_once: int | None = Field(default=None, ge=1)
    all_requests_at_once: int = Field(default=1000, ge=0)
    grace_seconds: int = Field(default=25, ge=0)
    log_level: Literal["debug", "info", "warning"] = "warning"
    log_paths: bool = False
    oidc_issuer: str | None = None
    oidc_audience: str | None = None
    oidc_jwks_url: str | None = None
    oidc_role_claim: str = "reelseek_role"

    @property
    def upload_limits(self) -> WorkerLimits:
        """Limits of the program that decodes an example."""
        return WorkerLimits(
            memory_bytes=self.upload_memory_bytes,
            cpu_seconds=2 * self.upload_limit_seconds,
            max_pixels=self.max_upload_pixels,
            max_seconds=self.max_upload_seconds,
            max_frames=self.max_upload_frames,
        )

    @field_validator("roots", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(path for path in value.split(os.pathsep) if path)
        return value

"""Requests to index files of the server."""

from __future__ import annotations

import os
import re
from typing import Annotated

from pydantic import Field, model_validator

from api.schemas.strict import StrictRequest, examples


class IngestRequest(StrictRequest):
    """Files and folders of the server to index."""

    model_config = examples({"paths": ["/archive/2024"], "prune": False})

    paths: list[Annotated[str, Field(min_length=1, max_length=4096)]] = Field(
        min_length=1, max_length=1000, fail_fast=True, description="Absolute paths on the server."
    )
    prune: bool = Field(
        default=False, description="Remove videos whose file has vanished; takes a key of role `admin`."
    )
    patience: float = Field(
        default=1.0,
        ge=0.1,
        le=1e6,
        allow_inf_nan=False,
        description="Of the processor time that a file may usually take, this many times; beyond, it is left "
        "out. Above 1, what was left out for that before is read again.",
    )

    @model_validator(mode="after")
    def _absolute(self) -> IngestRequest:
        for path in self.paths:
            if not path.startswith("/") or "\0" in path:
                raise ValueError(f"a path must be absolute, got {path!r}")
            # The same file under another name would be indexed once more.
            if re.match("//|/proc(/|$)", os.path.abspath(path)):
                raise ValueError(f"a path must be the file's own, not by way of /proc or //, got {path!r}")
        return self

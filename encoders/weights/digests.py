"""Weight files: which are accepted, and what names them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from encoders.errors import EncoderUnavailableError

TRAINED_PREFIX = "model:"  # of the spec of what `indexer train` made
CLASSIFIER_PREFIXES = ("kinetics:", TRAINED_PREFIX)  # of specs that name actions from frames
CHECKPOINT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")


def is_checkpoint_path(weights: str) -> bool:
    """Tells a file from a tag; tags hold no dots, slashes or tildes."""
    return (
        weights.endswith(CHECKPOINT_SUFFIXES)
        or re.search(r"[/\\~]", weights) is not None
        or Path(weights).is_file()
    )


def check_checkpoint(path: Path) -> Path:
    """Refuses what is no checkpoint file, before a library tries to make sense of it.

    Raises:
        EncoderUnavailableError: No such file, or of a kind that is not read.
    """
    if not path.is_file():
        raise EncoderUnavailableError(
            f"there is no checkpoint {path}; give the path of a file that holds the weights"
        )
    if path.suffix not in CHECKPOINT_SUFFIXES:
        raise EncoderUnavailableError(
            f"the checkpoint {path.name} has the suffix {path.suffix or '(none)'}, expected one of "
            f"{', '.join(CHECKPOINT_SUFFIXES)}; save it as safetensors"
        )
    return path


def file_digest(path: Path) -> str:
    """SHA-256 of a file in hexadecimal.

    The hub's cache stores a large file under its SHA-256 and links to it: then the name is enough.
    """
    stored = path.resolve()
    if stored.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", stored.name):
        return stored.name
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def first_line(error: BaseException, limit: int = 200) -> str:
    """The gist of a library's error: the first line that says something, cut to `limit` letters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2]) or type(error).__name__
    return text if len(text) <= limit else text[: limit - 3] + "..."


def read_model_config(path: Path) -> dict[str, Any]:
    """A model's configuration: a JSON object.

    Raises:
        EncoderUnavailableError: It cannot be read so.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EncoderUnavailableError(
            f"the model configuration {path} cannot be read: {first_line(error)}"
        ) from error
    if not isinstance(content, dict):
        raise EncoderUnavailableError(f"the model configuration {path} is no JSON object")
    return content

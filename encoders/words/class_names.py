"""Embeddings of the 1,000 ImageNet class names, computed once per user and kept in a cache file."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.util
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from encoders.errors import EncoderUnavailableError
from encoders.words.minilm import TEXT_DIM

CLASS_COUNT = 1000
CLASS_PROMPT = "a {}"
NAMES_SHA256 = "0b0f9fee7c952f257418d62aa701f023a9da13b443a14f5c4291e5724d92967c"
DIGEST_BYTES = 32


def class_names() -> tuple[str, ...]:
    """The 1,000 names in the order of the classifier's outputs, as torchvision ships them.

    Raises:
        EncoderUnavailableError: This torchvision names the classes otherwise.
    """
    names = _names_in_source()
    if names is None:
        from torchvision.models import EfficientNet_B0_Weights

        names = tuple(EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"])
    got = hashlib.sha256("\n".join(names).encode()).hexdigest()
    if got != NAMES_SHA256:
        raise EncoderUnavailableError(
            f"torchvision's list of ImageNet class names has SHA-256 {got}, expected "
            f"{NAMES_SHA256}; install the version of torchvision that Reelseek's lock file names"
        )
    return names


def _names_in_source() -> tuple[str, ...] | None:
    """The names as torchvision's source lists them, which is read and not run: torch would be imported.

    None where this torchvision keeps them elsewhere.
    """
    found = importlib.util.find_spec("torchvision")
    for folder in (found.submodule_search_locations or ()) if found else ():
        with contextlib.suppress(OSError, ValueError, SyntaxError):
            for statement in ast.parse(
                (Path(folder) / "models" / "_meta.py").read_text(encoding="utf-8")
            ).body:
                match statement:
                    case ast.Assign([ast.Name("_IMAGENET_CATEGORIES")], value):
                        return tuple(ast.literal_eval(value))
    return None


def class_embeddings(
    encode: Callable[[list[str]], NDArray[np.float32]], weights_digest: str
) -> NDArray[np.float32]:
    """Unit vectors of the class names: float32 (1000, 384).

    Encoding a thousand names takes seconds, which every search by words would pay: the result is
    kept in the user's cache folder. A cache file that is missing, broken or cannot be written does
    no harm.

    Args:
        encode: The text tower: N texts -> float32 (N, 384).
        weights_digest: Names the text tower; with the names' digest it names the cache file.
    """
    path = cache_path(weights_digest)
    cached = _read_cache(path)
    if cached is not None:
        return cached
    embeddings = encode([CLASS_PROMPT.format(name) for name in class_names()])
    with contextlib.suppress(OSError):
        _write_cache(path, embeddings)
    return embeddings


def cache_path(weights_digest: str) -> Path:
    """The file in which the embeddings of these names by this text tower are kept."""
    key = hashlib.sha256(f"{weights_digest} {NAMES_SHA256} {CLASS_PROMPT}".encode()).hexdigest()
    return user_cache_path("reelseek", appauthor=False) / f"class-embeddings-{key[:16]}.bin"


def _read_cache(path: Path) -> NDArray[np.float32] | None:
    """The file is the SHA-256 of its body, then the body: little-endian float32."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, body = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if len(body) != 4 * CLASS_COUNT * TEXT_DIM or hashlib.sha256(body).digest() != digest:
        return None
    return np.frombuffer(body, dtype="<f4").reshape(CLASS_COUNT, TEXT_DIM).astype(np.float32)


def _write_cache(path: Path, embeddings: NDArray[np.float32]) -> None:
    """Writes beside the place and renames, so that no reader ever sees half a file."""
    body = embeddings.astype("<f4").tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(hashlib.sha256(body).digest() + body)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise

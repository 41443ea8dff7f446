"""Small models as safetensors: arrays, with what they mean in the metadata."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.errors import HeadFileError

DIGEST = "sha256"  # in the card; files from before it was written have none


def pack(tensors: dict[str, NDArray[Any]], **card: Any) -> bytes:
    """Arrays and their card (anything that JSON holds) as one file's content, with a digest of both."""
    from safetensors.numpy import save

    contiguous = {name: np.ascontiguousarray(values) for name, values in tensors.items()}
    card = {**card, DIGEST: _digest(contiguous, card)}
    return save(contiguous, metadata={"reelseek": json.dumps(card, sort_keys=True)})


def _digest(tensors: dict[str, NDArray[Any]], card: dict[str, Any]) -> str:
    """SHA-256 of the arrays and of the card without its digest, 64 hex digits."""
    found = hashlib.sha256(json.dumps(card, sort_keys=True).encode())
    for name in sorted(tensors):
        values = np.ascontiguousarray(tensors[name])
        found.update(f"\n{name} {values.dtype.str} {values.shape}\n".encode())
        found.update(values.tobytes())
    return found.hexdigest()


def unpack(
    content: bytes, kind: str | None, expected: dict[str, tuple[type, int]]
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Reads what `pack` was given.

    Args:
        content: Of the file.
        kind: What its card must say under "kind"; None takes any.
        expected: For each array its dtype and number of dimensions.

    Raises:
        HeadFileError: Not such a file, or not of this kind, or changed since it was written.
    """
    card = read_card(content)
    if kind is not None and card.get("kind") != kind:
        raise HeadFileError(f"the file holds a head of kind {card.get('kind')!r}, expected {kind!r}")
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise HeadFileError(f"the head's file is damaged ({error}): export it again") from error
    written = card.pop(DIGEST, None)
    if written is not None and written != _digest(tensors, card):
        raise HeadFileError("the head's file was damaged on its way (its digest differs): export it again")
    for name, (dtype, dimensions) in expected.items():
        found = tensors.get(name)
        if found is None or found.dtype != dtype or found.ndim != dimensions:
            got = "nothing" if found is None else f"{found.dtype} of {found.ndim} dimensions"
            raise HeadFileError(f"the head's file should hold {name!r}, got {got}: export it again")
        if np.issubdtype(found.dtype, np.floating) and not np.isfinite(found).all():
            raise HeadFileError(f"{name!r} in the head's file is not finite: export it again")
    return tensors, card


def with_card(content: bytes, **more: Any) -> bytes:
    """The same arrays, with more in their card. Raises HeadFileError."""
    tensors, card = unpack(content, None, {})
    return pack(tensors, **{**card, **more})


def read_card(content: bytes) -> dict[str, Any]:
    """The card alone. Raises HeadFileError."""
    try:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + min(length, 1 << 20)])
        card = json.loads(header["__metadata__"]["reelseek"])
        if not isinstance(card, dict):
            raise TypeError("the card is no object")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise HeadFileError(
            "this is no head of Reelseek; expected a file that `indexer actions export` wrote"
        ) from error
    return card

"""Pixels or words in, vectors out.

Importing this package is cheap: names are imported when they are first used (PEP 562), torch and the models
when an encoder needs them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from encoders.embedding.encoder import POOLINGS, Encoder, Pooling, encode_together, pool_features
    from encoders.embedding.listing import EncoderInfo, list_encoders
    from encoders.embedding.registry import open_encoder, resolve_spec
    from encoders.types import Concept, EmbeddingBatch, FrameBatch, TextReading, normalise
    from encoders.weights.device import shared_cores

__all__ = [
    "POOLINGS",
    "Concept",
    "EmbeddingBatch",
    "Encoder",
    "EncoderInfo",
    "FrameBatch",
    "Pooling",
    "TextReading",
    "encode_together",
    "list_encoders",
    "normalise",
    "open_encoder",
    "pool_features",
    "resolve_spec",
    "shared_cores",
]

_NAMES = {
    "encoders.embedding.encoder": (
        "POOLINGS",
        "Encoder",
        "Pooling",
        "encode_together",
        "pool_features",
    ),
    "encoders.embedding.listing": (
        "EncoderInfo",
        "list_encoders",
    ),
    "encoders.embedding.registry": (
        "open_encoder",
        "resolve_spec",
    ),
    "encoders.types": (
        "Concept",
        "EmbeddingBatch",
        "FrameBatch",
        "TextReading",
        "normalise",
    ),
    "encoders.weights.device": ("shared_cores",),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Imports what is asked for, and NumPy with it, when it is first asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
    return found

"""Pixels or words in, vectors out.

Importing this package is cheap: torch and the models load when an encoder first needs them.
"""

from encoders.device import shared_cores
from encoders.encoder import POOLINGS, Encoder, Pooling, encode_together, pool_features
from encoders.listing import EncoderInfo, list_encoders
from encoders.registry import open_encoder, resolve_spec
from encoders.types import Concept, EmbeddingBatch, FrameBatch, TextReading, normalise

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

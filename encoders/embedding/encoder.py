"""The seam between pixels or words and vectors: `Encoder`, and pooling over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from encoders.budget import check_budget
from encoders.errors import EncoderError, EncoderUnavailableError, InvalidQueryError
from encoders.types import EmbeddingBatch, FrameBatch, TextReading, normalise
from encoders.words.concepts import Concepts
from encoders.words.things import Things, no_things

Pooling = Literal["mean", "max", "attention"]
Pool = Callable[[NDArray[np.floating]], NDArray[np.float32]]
POOLINGS: tuple[Pooling, ...] = ("mean", "max", "attention")


class Encoder(Protocol):
    """Turns frames or words into vectors of one space.

    A class that inherits from it has what an encoder does that encodes words as a whole.

    Attributes:
        encoder_id: Names everything that changes the vector space: family, architecture, weights
            digest, preprocessing, pooling. Two encoders with the same id are interchangeable.
        spec: What `open_encoder` was called with, resolved (never "auto").
        dim: D, the length of a feature and of an embedding.
        frame_size: Short side in pixels at which frames lose nothing: larger ones are scaled down
            by `encode_frames` anyway, frames of exactly this short side are not resized again.
        has_text: Whether `encode_text` works.
        tags_by_name: Whether its words are good enough to tag actions by their names alone.
        logit_scale: What cosines of words and frames are multiplied by before a softmax over words.
        device: The torch device it runs on, e.g. "cpu", "cuda:0".
    """

    encoder_id: str
    spec: str
    dim: int
    frame_size: int
    has_text: bool
    tags_by_name: bool
    logit_scale: float

    @property
    def device(self) -> str: ...

    def encode_frames(self, batch: FrameBatch) -> NDArray[np.float32]:
        """Features h_t, one per frame: float32 (T, D), each of L2 norm 1."""
        ...

    def pool(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """One embedding for a clip: float (T, D), T >= 1 -> float32 (D,) of L2 norm 1."""
        ...

    def encode_text(self, texts: list[str]) -> EmbeddingBatch:
        """One embedding per text.

        Raises:
            InvalidQueryError: A text is empty or blank.
            UnsupportedQueryError: `has_text` is false.
        """
        ...

    def read_text(self, text: str) -> TextReading | None:
        """Explains how words are understood; None where they are only encoded as a whole."""
        return None

    def best_score(self, text: NDArray[np.float32]) -> float:
        """The cosine that a frame which clearly shows one thing has with words for that thing.

        Args:
            text: float32 (D,), an embedding by `encode_text`.

        Returns:
            Above 0; 1 where the encoder cannot tell.
        """
        return 1.0

    def encode_things(self, text: str) -> Things:
        """Encodes the things that words name, one by one; none where they are only encoded as a whole.

        Its vectors add up to the words' embedding, but for what is not understood.
        """
        return no_things(self.dim)

    def concepts(self) -> Concepts | None:
        """Sets of what it recognises, for lessons to generalise by; None where it recognises nothing."""
        return None


def clean_texts(texts: list[str]) -> list[str]:
    """Texts as a tokenizer takes them: trimmed, and valid Unicode.

    A shell hands over bytes that are no UTF-8 as lone surrogates, on which tokenizers break.

    Raises:
        InvalidQueryError: A text is empty or blank.
    """
    cleaned = [text.encode("utf-8", "replace").decode("utf-8").strip() for text in texts]
    for text, original in zip(cleaned, texts, strict=True):
        if not text:
            raise InvalidQueryError(f"the query text {original!r} is blank; say in words what to look for")
    return cleaned


def check_pooling(pooling: str) -> Pooling:
    """Raises ValueError unless it is the name of a pooling."""
    if pooling not in POOLINGS:
        raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, got {pooling!r}")
    return pooling


def check_encoder(encoder: Encoder, spec: str, family: str) -> None:
    """Checks what an encoder of a plug-in says of itself.

    Args:
        encoder: As it was opened.
        spec: By which it was opened.
        family: The name of its family.

    Raises:
        EncoderUnavailableError: It lacks a part of the protocol, or has one that cannot be.
    """
    missing = sorted(name for name in dir(Encoder) if name[0] != "_" and not hasattr(encoder, name))
    missing += [name for name in Encoder.__annotations__ if not hasattr(encoder, name)]
    if missing:
        raise EncoderUnavailableError(f"the encoder {spec} has no {missing[0]!r}, as an `Encoder` must")
    # Vectors of two encoders of one id are compared: the family's name in it keeps others' apart.
    expected = {
        "spec": encoder.spec == spec,
        "encoder_id": isinstance(encoder.encoder_id, str) and encoder.encoder_id.startswith(f"{family}/"),
        "dim": isinstance(encoder.dim, int) and encoder.dim > 0,
        "frame_size": isinstance(encoder.frame_size, int) and encoder.frame_size > 0,
        "logit_scale": isinstance(encoder.logit_scale, int | float) and encoder.logit_scale > 0,
    }
    if wrong := [name for name, is_right in expected.items() if not is_right]:
        got = getattr(encoder, wrong[0])
        raise EncoderUnavailableError(
            f"the encoder {spec} says {got!r} as its {wrong[0]}; expected the spec it was opened by, an "
            f"encoder_id that begins with {family}/, and numbers above 0"
        )


def encode_together(encoder: Encoder, clips: Sequence[FrameBatch]) -> list[NDArray[np.float32]]:
    """The features (T, D) of each of a video's clips.

    Neighbours with frames of one size share a batch; borders may be cropped in some of them only.

    Raises:
        EncoderError: The encoder's features are not of the shape and type that it promises, or not finite.
    """
    features: list[NDArray[np.float32]] = []
    for _, neighbours in groupby(clips, key=lambda clip: clip.frames.shape[1:]):
        check_budget()
        run = list(neighbours)
        frames = FrameBatch(
            np.concatenate([clip.frames for clip in run]), np.concatenate([clip.pts_seconds for clip in run])
        )
        ends = np.cumsum([len(clip) for clip in run])
        found = encoder.encode_frames(frames)
        if found.shape != (len(frames), encoder.dim) or found.dtype != np.float32:
            raise EncoderError(
                f"the encoder {encoder.spec} gave features {found.dtype} {found.shape} for {len(frames)} "
                f"frames, expected float32 ({len(frames)}, {encoder.dim}): choose another encoder"
            )
        if not np.isfinite(found).all():
            raise EncoderError(
                f"the encoder {encoder.spec} gave features that are no finite numbers: choose another encoder"
            )
        features.extend(np.split(found, ends[:-1]))
    return features


def pool_features(features: NDArray[np.floating], pooling: Pooling) -> NDArray[np.float32]:
    """Pools features over time.

    "attention" weighs each frame by the softmax of its similarity to the mean frame, so that a
    clip is described by what it mostly shows (the parameter-free form of attention pooling).

    Args:
        features: float (T, D), T >= 1.
        pooling: "mean", "max" or "attention".

    Returns:
        float32 (D,), of L2 norm 1 (or zero where the pooled features cancel out).
    """
    check_pooling(pooling)
    features = np.asarray(features, dtype=np.float32)
    if features.ndim != 2 or len(features) == 0:
        raise ValueError(f"features must be (T, D) with T >= 1, got {features.shape}")
    if pooling == "mean":
        pooled = features.mean(axis=0)
    elif pooling == "max":
        pooled = features.max(axis=0)
    else:
        logits = 10.0 * normalise(features) @ normalise(features.mean(axis=0))
        weights = np.exp(logits - logits.max())
        pooled = (weights / weights.sum()) @ features
    return normalise(pooled)

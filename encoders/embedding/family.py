"""The record by which an encoder is added; dispatch, listing and errors derive from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from encoders.embedding.encoder import Encoder, Pooling, pool_features
from encoders.specs import check_forms


@dataclass(frozen=True, slots=True)
class KnownModel:
    """An encoder worth choosing, with what a person chooses by.

    Attributes:
        spec: What to pass to `open_encoder`.
        dim: D, the length of an embedding.
        licence: SPDX name of the weights' licence, or what it is called.
        size_bytes: Of the weights, as float32.
        paper: Authors, year, arXiv id.
        repository: Of the model hub, "<org>/<name>"; empty where the weights are not from there.
        weights: Where else they are from, in words.
        packages: Distributions that must be installed, as `pip` names them.
    """

    spec: str
    dim: int
    licence: str
    size_bytes: int
    paper: str
    repository: str = ""
    weights: str = ""
    packages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        texts = (self.spec, self.licence, self.paper, self.repository, self.weights, *self.packages)
        if not all(isinstance(text, str) for text in texts) or not self.spec:
            raise ValueError(f"a model's spec, licence, paper and sources must be texts, got {texts}")
        if not (isinstance(self.dim, int) and isinstance(self.size_bytes, int)) or self.dim < 1:
            raise ValueError(f"a model's dim and size_bytes must be whole numbers, got {self!r:.200}")


class OpenEncoder(Protocol):
    """Opens an encoder, as most of their classes do."""

    def __call__(self, spec: str, *, device: str, pooling: Pooling) -> Encoder: ...


@dataclass(frozen=True, slots=True)
class EncoderFamily:
    """One kind of encoder. The module that holds the record imports no torch and loads no weights.

    Attributes:
        name: What its specs begin with: "offline", "openclip".
        forms: Its specs in the words of an error text: "offline", "openclip:<arch>/<tag>". One that is the
            bare name allows the name alone, one with a colon allows something behind it.
        open: Opens the encoder of a resolved spec on a device; see `Encoder`.
        resolve: Checks a spec and completes it (paths become absolute) without loading anything; raises
            EncoderUnavailableError.
        pool: What the encoder's `pool` does for a pooling, without weights.
        models: Those to list, the best first.
        probabilities: [start, stop) of the entries of an embedding whose squares are the probabilities of
            classes, times one number, most of them small: where words are scored by these, and what stands
            behind them is 0 in all that is stored. None for none such.

    Raises:
        ValueError: A form, or the spec of a model, does not begin with the name.
    """

    name: str
    forms: tuple[str, ...]
    open: OpenEncoder
    resolve: Callable[[str], str] = str
    pool: Callable[[NDArray[np.floating], Pooling], NDArray[np.float32]] = pool_features
    models: tuple[KnownModel, ...] = ()
    probabilities: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        check_forms(self.name, self.forms)
        check_forms(self.name, [self.name, *(model.spec for model in self.models)])

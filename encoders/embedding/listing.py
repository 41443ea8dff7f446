"""The list of encoders, and which of them can be loaded here."""

from __future__ import annotations

from dataclasses import dataclass

from encoders.embedding.family import KnownModel
from encoders.embedding.registry import ENCODERS
from encoders.weights.hub import HUB_TIMEOUT_SECONDS, cached_file, hub_answers, hub_url


@dataclass(frozen=True, slots=True)
class EncoderInfo:
    """One encoder that `open_encoder` takes.

    Attributes:
        spec: What to pass to `open_encoder`.
        dim: D, the length of an embedding.
        weights: Where the weights come from: packages, or a repository of the model hub.
        licence: SPDX name of the weights' licence, or what it is called.
        size_bytes: Of the weights.
        paper: Authors, year, arXiv id.
        available: Whether it can be loaded here and now.
        reason: Why, or why not.
    """

    spec: str
    dim: int
    weights: str
    licence: str
    size_bytes: int
    paper: str
    available: bool
    reason: str


def list_encoders(timeout_seconds: float = HUB_TIMEOUT_SECONDS) -> list[EncoderInfo]:
    """Every encoder worth choosing, best default first; asks the hub at most once.

    A plug-in that cannot be used is listed with what is wrong with it.

    Args:
        timeout_seconds: How long the hub may take to answer.
    """
    families, broken = ENCODERS.list_usable()
    models = [model for family in families for model in family.models]
    missing = {model.spec: _missing(model) for model in models}
    cached = {
        model.spec: cached_file(model.repository) is not None
        for model in models
        if model.repository and not missing[model.spec]
    }
    answers = not all(cached.values()) and hub_answers(timeout_seconds)
    listing = [_described(model, missing[model.spec], cached.get(model.spec), answers) for model in models]
    for one in broken:
        source = f"package {one.package}"
        listing.append(EncoderInfo(one.name, 0, source, "", 0, "", available=False, reason=one.reason))
    return listing


def _described(model: KnownModel, missing: list[str], is_cached: bool | None, answers: bool) -> EncoderInfo:
    if missing:
        reason = f"not installed: {', '.join(missing)}"
    elif is_cached is None:
        reason = "weights are installed"
    elif is_cached:
        reason = "weights in the local cache"
    elif answers:
        reason = f"to be downloaded from {hub_url()}"
    else:
        reason = f"not in the local cache, and {hub_url()} does not answer"
    return EncoderInfo(
        spec=model.spec,
        dim=model.dim,
        weights=f"{hub_url()}/{model.repository}" if model.repository else model.weights,
        licence=model.licence,
        size_bytes=model.size_bytes,
        paper=model.paper,
        available=not missing and (is_cached is not False or answers),
        reason=reason,
    )


def _missing(model: KnownModel) -> list[str]:
    """Packages that it needs and that are not installed."""
    from importlib.metadata import PackageNotFoundError, distribution

    missing = []
    for package in model.packages:
        try:
            distribution(package)
        except PackageNotFoundError:
            missing.append(package)
    return missing

"""Checks before a run begins: of its model's options, and of classes that its data lack."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from encoders.errors import InvalidQueryError
from encoders.models.base import VideoModel
from encoders.models.registry import build_model
from encoders.training.batches import ClipSource
from encoders.training.options import TrainingOptions

_MOST_NAMED = 5


def check_model(options: TrainingOptions) -> None:
    """Checks that the model takes these options, without data, weights or memory.

    Raises:
        InvalidQueryError: There is no such model, or not with such options.
    """
    # Weights to start from cannot be read on the meta device: only whether the model takes any is asked.
    extra = dict(options.model_options)
    if options.pretrained is not None or "pretrained" in extra:
        extra["pretrained"] = None
    with torch.device("meta"):
        build_chosen(options, 2, extra)


def build_chosen(options: TrainingOptions, classes: int, extra: Mapping[str, Any]) -> VideoModel:
    """The model that a run asks for, with further options of its constructor.

    Raises:
        InvalidQueryError: There is no such model, or not with such options.
    """
    try:
        return build_model(options.model, classes, frames=options.frames, size=options.size, **extra)
    except (ValueError, TypeError) as error:
        raise InvalidQueryError(str(error)) from error


def unseen_classes(clips: ClipSource, validation: ClipSource) -> Iterator[str]:
    """A line where classes have no clips to learn from or to check with."""
    for source, purpose in ((clips, "learn from"), (validation, "check with")):
        counts = Counter(source.targets)
        names = [label for index, label in enumerate(source.labels) if not counts[index]]
        if names:
            more = ", ..." if len(names) > _MOST_NAMED else ""
            yield f"no clip to {purpose} of {', '.join(names[:_MOST_NAMED])}{more}"

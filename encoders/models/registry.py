"""Every trainable video model, one architecture a file, by name.

Each file lists what it has in its own `MODELS: tuple[ModelInfo, ...]`; a new architecture is one file
and one line here.
"""

from __future__ import annotations

import difflib
import inspect
from typing import Any

from encoders.models import (
    c3d,
    fusion,
    i3d,
    non_local,
    recurrent,
    single_frame,
    slowfast,
    timesformer,
    torchvision_video,
    transformers_video,
    two_stream,
    vivit,
)
from encoders.models.base import ModelInfo, VideoModel

_MODULES = (
    single_frame,
    fusion,
    c3d,
    two_stream,
    i3d,
    non_local,
    slowfast,
    recurrent,
    vivit,
    timesformer,
    torchvision_video,
    transformers_video,
)

MODELS: dict[str, ModelInfo] = {info.name: info for module in _MODULES for info in module.MODELS}


def known_model(name: str) -> ModelInfo:
    """The registry's record of a model.

    Raises:
        ValueError: No such model; the message names those that come close.
    """
    if name in MODELS:
        return MODELS[name]
    close = difflib.get_close_matches(name, MODELS, n=4, cutoff=0.5)
    meant = f"did you mean {' or '.join(close)}?" if close else f"expected one of {', '.join(MODELS)}"
    raise ValueError(f"there is no model {name!r}; {meant}")


def build_model(
    name: str, num_classes: int, *, frames: int | None = None, size: int | None = None, **options: Any
) -> VideoModel:
    """A model of the registry, in training mode, on torch's default device.

    Args:
        name: A key of `MODELS`.
        num_classes: C, at least 1.
        frames: T; by default the model's own.
        size: Height and width of the clips in pixels; by default the model's own.
        options: What the architecture's constructor takes beside these.

    Raises:
        ValueError: No such model or option, or a T or size that the model does not take.
    """
    info = known_model(name)
    if num_classes < 1:
        raise ValueError(f"a model needs at least one class, got {num_classes}")
    taken = inspect.signature(info.build).parameters
    unknown = [option for option in options if option not in taken]
    if unknown and not any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
        own = [option for option in taken if option not in ("num_classes", "frames", "size")]
        raise ValueError(f"{name} takes no option {', '.join(unknown)}; it takes {', '.join(own) or 'none'}")
    return info.build(
        num_classes,
        info.frames if frames is None else frames,
        info.size if size is None else size,
        **options,
    )

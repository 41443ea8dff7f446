"""The options of a training run; importing this costs nothing."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from encoders.errors import InvalidQueryError

Optimiser = Literal["sgd", "adamw"]
Precision = Literal["auto", "no", "fp16", "bf16"]
LossName = Literal["cross_entropy", "focal"]
# What a step of gradient descent needs by itself; the others follow from the model.
DEFAULT_LEARNING_RATES = {"sgd": 0.01, "adamw": 1e-3}


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """A run of `encoders.training.run.train`.

    Attributes:
        model: A name of `encoders.models.registry.MODELS`.
        model_options: Passed on to it.
        frames: T; None leaves it to the model.
        size: Crop in pixels; None leaves it to the model.
        stride: Every how many source frames one is taken; None leaves it to the model.
        epochs, batch_size, accumulate: Passes over the clips, clips a step on each device, and steps
            whose gradients are summed up to one update.
        optimiser: SGD with momentum, or AdamW.
        learning_rate: Its highest, after the warm-up; None means `DEFAULT_LEARNING_RATES`.
        warmup_epochs: During which it rises from nothing; then it falls along a cosine.
        momentum, weight_decay, clip_norm: The usual; a `clip_norm` of 0 leaves gradients as they are.
        loss, focal_gamma, label_smoothing, class_weights: See `encoders.training.losses`; `class_weights`
            makes rare labels count as much as common ones.
        mixup: Alpha of the beta distribution (Zhang et al. 2018, arXiv:1710.09412), 0 for none.
        flip: Mirrors half of the clips; None means unless a label speaks of left or right.
        jitter: Strength of changes of brightness, contrast and saturation, 0..1.
        crop_scale: The smallest share of a frame's area that is cut out, 0..1.
        precision: "auto" is bf16 or fp16 on a GPU, and full precision elsewhere.
        compile: Whether `torch.compile` is used.
        workers: Programs that decode; None means one for each core but one.
        seed: The same seed, data and machine give the same weights.
        save_minutes: How often the run is saved within an epoch.
        pretrained: What the trunk starts from; see the model.
    """

    model: str
    model_options: Mapping[str, Any] = field(default_factory=dict)
    frames: int | None = None
    size: int | None = None
    stride: int | None = None
    epochs: int = 20
    batch_size: int = 8
    accumulate: int = 1
    optimiser: Optimiser = "adamw"
    learning_rate: float | None = None
    warmup_epochs: float = 1.0
    momentum: float = 0.9
    weight_decay: float = 0.01
    clip_norm: float = 5.0
    loss: LossName = "cross_entropy"
    focal_gamma: float = 2.0
    label_smoothing: float = 0.0
    class_weights: bool = False
    mixup: float = 0.0
    flip: bool | None = None
    jitter: float = 0.2
    crop_scale: float = 0.5
    precision: Precision = "auto"
    compile: bool = False
    workers: int | None = None
    seed: int = 0
    save_minutes: float = 10.0
    pretrained: str | None = None

    def __post_init__(self) -> None:
        for name, kinds in (("optimiser", Optimiser), ("loss", LossName), ("precision", Precision)):
            if getattr(self, name) not in get_args(kinds):
                raise InvalidQueryError(
                    f"{name} must be one of {', '.join(get_args(kinds))}, got {getattr(self, name)!r}"
                )
        for name, least, most in _BOUNDS:
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
                raise InvalidQueryError(f"{name} must be a number from {least} to {most}, got {value!r}")
            if name in _WHOLE and not isinstance(value, int):
                raise InvalidQueryError(f"{name} must be a whole number, got {value!r}")

    @property
    def rate(self) -> float:
        """The highest learning rate."""
        return self.learning_rate or DEFAULT_LEARNING_RATES[self.optimiser]

    def to_document(self) -> dict[str, Any]:
        """The options as a JSON document."""
        return {**asdict(self), "model_options": dict(self.model_options)}

    def changed(self, changes: Mapping[str, Any]) -> TrainingOptions:
        """With other values.

        Raises:
            InvalidQueryError: There is no such option, or the value is none for it.
        """
        known = {one.name for one in fields(self)}
        if unknown := sorted(set(changes) - known):
            raise InvalidQueryError(
                f"there is no training option {unknown[0]!r}; expected: {', '.join(sorted(known))}"
            )
        try:
            return replace(self, **changes)
        except TypeError as error:
            raise InvalidQueryError(f"the training options do not fit: {error}") from error


_WHOLE = ("frames", "size", "stride", "epochs", "batch_size", "accumulate", "workers", "seed")
_BOUNDS: tuple[tuple[str, float, float], ...] = (
    ("frames", 1, 1024),
    ("size", 8, 4096),
    ("stride", 1, 1000),
    ("epochs", 1, 100_000),
    ("batch_size", 1, 100_000),
    ("accumulate", 1, 100_000),
    ("learning_rate", 1e-9, 100),
    ("warmup_epochs", 0, 100_000),
    ("momentum", 0, 0.9999),
    ("weight_decay", 0, 10),
    ("clip_norm", 0, 1e9),
    ("focal_gamma", 0, 100),
    ("label_smoothing", 0, 0.999),
    ("mixup", 0, 100),
    ("jitter", 0, 1),
    ("crop_scale", 0.01, 1),
    ("workers", 0, 1024),
    ("seed", 0, 2**31 - 1),
    ("save_minutes", 0, 1e6),
)


def read_options(file: Path) -> dict[str, Any]:
    """Training options from a TOML or JSON file.

    Raises:
        InvalidQueryError: It cannot be read so.
    """
    try:
        text = file.read_text(encoding="utf-8")
        content = json.loads(text) if file.suffix.lower() == ".json" else tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidQueryError(
            f"the configuration {file} cannot be read: {error}; expected TOML, or JSON in a .json file"
        ) from error
    if not isinstance(content, dict):
        raise InvalidQueryError(f"the configuration {file} holds no options, expected names with values")
    return content

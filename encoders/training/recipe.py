"""The parts of a recipe: optimiser, learning rate, precision, class weights, mixup."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from encoders.training.batches import ClipSource, mixed
from encoders.training.options import TrainingOptions


def precision(options: TrainingOptions) -> str:
    """The numeric precision by Accelerate's name."""
    if options.precision != "auto":
        return options.precision
    if not torch.cuda.is_available():
        return "no"
    return "bf16" if torch.cuda.is_bf16_supported() else "fp16"


def make_optimiser(model: torch.nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW."""
    from timm.optim import create_optimizer_v2

    # timm leaves biases and norms without weight decay.
    return create_optimizer_v2(
        model,
        opt="sgd" if options.optimiser == "sgd" else "adamw",
        lr=options.rate,
        momentum=options.momentum,
        weight_decay=options.weight_decay,
    )


def class_weights(clips: ClipSource) -> Tensor:
    """Inverse of how common each label is, 1 on average over the clips: float32 (C,)."""
    counts = np.bincount(np.asarray(clips.targets), minlength=len(clips.labels))
    weights = len(clips) / (max(1, int((counts > 0).sum())) * np.maximum(counts, 1))
    return torch.tensor(weights, dtype=torch.float32)


def mix_clips(
    clips: Tensor, flow: Tensor | None, targets: Tensor, classes: int, options: TrainingOptions, number: int
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Each clip with a share of another (Zhang et al. 2018, arXiv:1710.09412); targets float (B, C)."""
    share = float(np.random.default_rng(mixed(options.seed, number)).beta(options.mixup, options.mixup))
    onehot = torch.nn.functional.one_hot(targets, classes).float()

    def mix(values: Tensor) -> Tensor:
        return share * values + (1 - share) * values.flip(0)

    return mix(clips), None if flow is None else mix(flow), mix(onehot)


def learning_rate(options: TrainingOptions, number: int, steps: int) -> float:
    """At a step of so many in each epoch: linear warm-up, then half a cosine down to nothing."""
    total, warm = options.epochs * steps, options.warmup_epochs * steps
    warm = min(warm, total / 2)
    if number < warm:
        return options.rate * (number + 1) / (warm + 1)
    return options.rate * 0.5 * (1 + float(np.cos(np.pi * (number - warm) / max(1.0, total - warm))))

"""Losses over class scores, and the one of summaries.

Importing this module imports torch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

LOSSES = ("cross_entropy", "focal")


class FocalLoss(nn.Module):
    """-(1 - p)^gamma log p of the true class: what is already known counts less.

    Lin et al. 2017, "Focal loss for dense object detection", arXiv:1708.02002, eq. 4 and 5, with the
    softmax in place of their sigmoid; `class_weights` are their alpha. With gamma = 0 it is
    `torch.nn.functional.cross_entropy`, with label smoothing and class weights too.

    Args:
        gamma: At least 0.
        label_smoothing: Share of the target spread evenly over all classes, in [0, 1).
        class_weights: float32 (C,), or None for equal ones.

    Raises:
        ValueError: gamma or label_smoothing is out of range.
    """

    class_weights: Tensor | None

    def __init__(
        self, gamma: float = 2.0, *, label_smoothing: float = 0.0, class_weights: Tensor | None = None
    ) -> None:
        super().__init__()
        if not gamma >= 0:
            raise ValueError(f"gamma must be at least 0, got {gamma}")
        _check_smoothing(label_smoothing)
        self.gamma, self.label_smoothing = gamma, label_smoothing
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean over the batch, as `cross_entropy` takes it.

        Args:
            logits: float (B, C).
            targets: int64 (B,) classes, or float (B, C) shares that sum to 1 (mixup).

        Returns:
            A scalar. With class weights and int64 targets it is a weighted mean.
        """
        classes = logits.shape[1]
        shares = targets if targets.is_floating_point() else functional.one_hot(targets, classes).to(logits)
        shares = shares * (1 - self.label_smoothing) + self.label_smoothing / classes
        log_chances = logits.log_softmax(dim=1)
        losses = -log_chances
        if self.gamma:
            # 1 - p by way of the log keeps its digits where p is near 1; at 0 a power below 1 has no slope.
            losses = losses * (-torch.expm1(log_chances)).clamp(min=1e-12) ** self.gamma
        total: Tensor | float = len(logits)
        if self.class_weights is not None:
            losses = losses * self.class_weights
            if not targets.is_floating_point():
                total = self.class_weights[targets].sum()
        return (shares * losses).sum() / total


def make_loss(
    name: str = "cross_entropy",
    *,
    gamma: float = 2.0,
    label_smoothing: float = 0.0,
    class_weights: Sequence[float] | Tensor | None = None,
) -> nn.Module:
    """A loss from logits (B, C) and targets, int64 (B,) or float (B, C), to a scalar.

    Args:
        name: "cross_entropy" or "focal".
        gamma: Of the focal loss.
        label_smoothing: In [0, 1) (Szegedy et al. 2016, arXiv:1512.00567, section 7).
        class_weights: One for each class, at least 0.

    Raises:
        ValueError: No such loss, or a number out of range.
    """
    _check_smoothing(label_smoothing)
    weights = None if class_weights is None else torch.as_tensor(class_weights, dtype=torch.float32)
    if weights is not None and not (weights.ndim == 1 and bool((weights >= 0).all()) and weights.sum() > 0):
        raise ValueError("class weights must be a row of numbers of at least 0, not all 0")
    if name == "cross_entropy":
        return nn.CrossEntropyLoss(weight=weights, label_smoothing=label_smoothing)
    if name == "focal":
        return FocalLoss(gamma, label_smoothing=label_smoothing, class_weights=weights)
    raise ValueError(f"there is no loss {name!r}; expected one of {', '.join(LOSSES)}")


def summary_loss(
    logits: Tensor,
    labels: Tensor,
    scores: Tensor,
    *,
    sparsity: float,
    mask: Tensor | None = None,
) -> Tensor:
    """L = -sum_t s_t log P(y_t | v_t) + lambda sum_t s_t, the loss of a summary.

    The first term wants moments whose class is plain to see, the second wants few of them. With lambda
    of at least 0 both terms are least where nothing is chosen (s = 0): then something else must hold the
    scores up, such as a softmax over t or a fixed budget. With lambda below 0, a moment is worth choosing
    where -log P(y_t | v_t) < -lambda.

    Args:
        logits: float (B, T, C), of P(y | v_t).
        labels: int64 (B, T), y_t; or (B,), one for the whole video.
        scores: float (B, T), s_t in 0..1: how much moment t belongs to the summary.
        sparsity: lambda.
        mask: bool (B, T), False where a video has been padded; None if none has.

    Returns:
        A scalar: the mean over the batch.

    Raises:
        ValueError: The shapes do not belong together.
    """
    if labels.ndim == 1:
        labels = labels[:, None].expand(-1, logits.shape[1])
    shapes = {tuple(labels.shape), tuple(scores.shape), tuple(logits.shape[:2])}
    if mask is not None:
        shapes.add(tuple(mask.shape))
    if logits.ndim != 3 or len(shapes) > 1:
        raise ValueError(
            f"logits (B, T, C), labels, scores and mask (B, T) must agree in B and T; got "
            f"{tuple(logits.shape)}, {tuple(labels.shape)}, {tuple(scores.shape)}"
        )
    surprise = functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none")  # -log P
    each = scores * (surprise + sparsity)
    if mask is not None:
        each = torch.where(mask, each, 0.0)
    return each.sum(dim=1).mean()


def _check_smoothing(smoothing: float) -> None:
    if not 0.0 <= smoothing < 1.0:
        raise ValueError(f"label smoothing must be at least 0 and below 1, got {smoothing}")

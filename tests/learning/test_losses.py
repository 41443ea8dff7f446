"""Losses, against PyTorch's, torchvision's and arithmetic."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from encoders.training.losses import LOSSES, FocalLoss, make_loss, summary_loss

WEIGHTS = [0.5, 1.0, 2.0, 0.0, 3.0]


def made_batch(classes: int = 5, count: int = 16) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    logits = 3 * torch.randn(count, classes, generator=generator)
    return logits, torch.randint(0, classes, (count,), generator=generator)


def made_shares(count: int = 16, classes: int = 5) -> torch.Tensor:
    """What mixup asks for: each row sums to 1."""
    return torch.randn(count, classes, generator=torch.Generator().manual_seed(4)).softmax(dim=1)


class TestCrossEntropy:
    @pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
    @pytest.mark.parametrize("class_weights", [None, WEIGHTS])
    def test_is_pytorchs(self, label_smoothing: float, class_weights: list[float] | None) -> None:
        logits, targets = made_batch()
        weight = None if class_weights is None else torch.tensor(class_weights)
        loss = make_loss("cross_entropy", label_smoothing=label_smoothing, class_weights=class_weights)
        for goal in (targets, made_shares()):
            expected = functional.cross_entropy(logits, goal, weight, label_smoothing=label_smoothing)
            torch.testing.assert_close(loss(logits, goal), expected)

    def test_smoothing_by_arithmetic(self) -> None:
        """p = (3/4, 1/4): 0.9 + 0.05 of the target on the first class, 0.05 on the second."""
        logits = torch.tensor([[math.log(3.0), 0.0]])
        expected = -(0.95 * math.log(0.75) + 0.05 * math.log(0.25))
        loss = make_loss("cross_entropy", label_smoothing=0.1)
        assert loss(logits, torch.tensor([0])).item() == pytest.approx(expected, rel=1e-6)


class TestFocal:
    def test_by_arithmetic(self) -> None:
        """p = (3/4, 1/4): (1/4)^2 of what cross-entropy says of the first, (3/4)^2 for the second."""
        logits = torch.tensor([[math.log(3.0), 0.0], [math.log(3.0), 0.0]])
        expected = (-((1 / 4) ** 2) * math.log(3 / 4) - (3 / 4) ** 2 * math.log(1 / 4)) / 2
        assert make_loss("focal")(logits, torch.tensor([0, 1])).item() == pytest.approx(expected, rel=1e-6)

    @pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
    def test_two_classes_are_torchvisions_sigmoid(self, gamma: float) -> None:
        """softmax of (0, x) is the sigmoid of x; alpha weighs the positives, 1 - alpha the rest."""
        logits, targets = made_batch(classes=2, count=32)
        margin = logits[:, 1] - logits[:, 0]
        plain = sigmoid_focal_loss(margin, targets.float(), alpha=-1, gamma=gamma, reduction="mean")
        torch.testing.assert_close(make_loss("focal", gamma=gamma)(logits, targets), plain)
        weighted = sigmoid_focal_loss(margin, targets.float(), alpha=0.25, gamma=gamma, reduction="sum")
        ours = make_loss("focal", gamma=gamma, class_weights=[0.75, 0.25])(logits, targets)
        torch.testing.assert_close(ours * torch.tensor([0.75, 0.25])[targets].sum(), weighted)

    @pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
    @pytest.mark.parametrize("class_weights", [None, WEIGHTS])
    def test_without_gamma_is_cross_entropy(
        self, label_smoothing: float, class_weights: list[float] | None
    ) -> None:
        logits, targets = made_batch()
        weight = None if class_weights is None else torch.tensor(class_weights)
        loss = make_loss("focal", gamma=0.0, label_smoothing=label_smoothing, class_weights=class_weights)
        for goal in (targets, made_shares()):
            expected = functional.cross_entropy(logits, goal, weight, label_smoothing=label_smoothing)
            torch.testing.assert_close(loss(logits, goal), expected)

    @pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
    @pytest.mark.parametrize("sure", [200.0, -200.0])
    def test_slope_is_finite_where_the_network_is_sure(self, gamma: float, sure: float) -> None:
        logits = torch.tensor([[sure, 0.0, 0.0]], requires_grad=True)
        FocalLoss(gamma)(logits, torch.tensor([0])).backward()
        assert logits.grad is not None and torch.isfinite(logits.grad).all()

    def test_slope_is_that_of_differences(self) -> None:
        logits, targets = made_batch(count=3)
        loss = FocalLoss(2.0, label_smoothing=0.1)
        assert torch.autograd.gradcheck(lambda x: loss(x, targets), logits.double().requires_grad_())

    def test_weights_travel_with_the_module_and_stay_out_of_its_state(self) -> None:
        loss = make_loss("focal", class_weights=WEIGHTS).to(torch.float64)
        assert loss.class_weights.dtype == torch.float64
        assert not loss.state_dict()


class TestMakeLoss:
    @pytest.mark.parametrize("name", LOSSES)
    def test_perfect_answers_cost_nothing(self, name: str) -> None:
        logits = torch.tensor([[50.0, 0.0], [0.0, 50.0]])
        assert make_loss(name)(logits, torch.tensor([0, 1])).item() == pytest.approx(0.0, abs=1e-6)

    @pytest.mark.parametrize(
        ("name", "options", "message"),
        [
            ("hinge", {}, "cross_entropy, focal"),
            ("focal", {"gamma": -1.0}, "gamma must be at least 0, got -1.0"),
            ("focal", {"label_smoothing": 1.0}, "below 1, got 1.0"),
            ("cross_entropy", {"label_smoothing": -0.1}, "at least 0"),
            ("cross_entropy", {"class_weights": [1.0, -1.0]}, "at least 0"),
            ("focal", {"class_weights": [0.0, 0.0]}, "not all 0"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, name: str, options: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            make_loss(name, **options)


class TestSummaryLoss:
    def test_by_arithmetic(self) -> None:
        """Two moments, P(y) = 3/4 and 1/4, scores 1 and 1/2, lambda 0.2."""
        logits = torch.tensor([[[math.log(3.0), 0.0], [math.log(3.0), 0.0]]])
        scores = torch.tensor([[1.0, 0.5]])
        loss = summary_loss(logits, torch.tensor([[0, 1]]), scores, sparsity=0.2)
        expected = -(math.log(3 / 4) + 0.5 * math.log(1 / 4)) + 0.2 * 1.5
        assert loss.item() == pytest.approx(expected, rel=1e-6)

    def test_one_label_for_the_whole_video(self) -> None:
        logits, scores = torch.randn(3, 7, 4), torch.rand(3, 7)
        labels = torch.tensor([2, 0, 3])
        each = summary_loss(logits, labels[:, None].repeat(1, 7), scores, sparsity=0.1)
        torch.testing.assert_close(summary_loss(logits, labels, scores, sparsity=0.1), each)

    def test_padding_counts_for_nothing(self) -> None:
        logits, scores, labels = torch.randn(1, 5, 4), torch.rand(1, 5), torch.randint(0, 4, (1, 5))
        whole = summary_loss(logits, labels, scores, sparsity=0.3)
        padded = torch.cat([logits, torch.full((1, 2, 4), float("nan"))], dim=1)
        loss = summary_loss(
            padded,
            functional.pad(labels, (0, 2)),
            functional.pad(scores, (0, 2), value=1.0),
            sparsity=0.3,
            mask=torch.arange(7)[None] < 5,
        )
        torch.testing.assert_close(loss, whole)

    def test_which_way_the_scores_are_pulled(self) -> None:
        """The slope by s_t is (-log P_t + lambda) / B: a plain moment is worth more than a vague one."""
        logits = torch.tensor([[[4.0, 0.0], [0.0, 4.0]]])
        scores = torch.full((1, 2), 0.5, requires_grad=True)
        summary_loss(logits, torch.tensor([0]), scores, sparsity=-1.0).backward()
        surprise = [math.log1p(math.exp(-4)), math.log1p(math.exp(4))]
        assert scores.grad is not None
        assert scores.grad[0].tolist() == pytest.approx([surprise[0] - 1, surprise[1] - 1], rel=1e-5)
        assert scores.grad[0, 0] < 0 < scores.grad[0, 1]

    def test_shapes_that_do_not_belong_together(self) -> None:
        with pytest.raises(ValueError, match="must agree in B and T"):
            summary_loss(
                torch.randn(2, 5, 3), torch.zeros(2, dtype=torch.int64), torch.rand(2, 4), sparsity=1.0
            )

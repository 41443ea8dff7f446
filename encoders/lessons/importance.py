"""Learning an importance head, see `encoders.heads.importance`, from people or from classes.

- From people's scores of each moment (SumMe, Gygli et al. 2014; TVSum, Song et al. 2015): cross-entropy
  with the mean over the people, as for a keyframe selector of Zhang et al. 2016, arXiv:1605.08110.
- From the class of the whole video, where nobody scored moments: a classifier P(y | v_t) is learned beside
  f, and `encoders.training.losses.summary_loss` has f choose the moments whose class is plainest to see.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from encoders.errors import InvalidQueryError
from encoders.evaluation.summaries import rank_correlation
from encoders.heads.importance import KIND, ImportanceNetwork
from encoders.training.checkpoints import BEST
from encoders.training.losses import summary_loss
from encoders.weights.files import synced_file
from encoders.weights.tensors import pack


@dataclass(frozen=True, slots=True)
class ImportanceOptions:
    """Settings for learning an importance head.

    Attributes:
        loss: "scores" (people's), "summary" (the videos' classes), or "auto": scores where there are any.
        epochs: Passes over the videos, one video a step.
        learning_rate, weight_decay: Of AdamW; the rate falls along a cosine.
        hidden: Width of the network.
        dropout: Share of its units dropped in training.
        sparsity: lambda of the summary loss; None has it follow each video, so that moments are worth
            choosing whose class is plainer than the average moment's.
        seed: The same seed and videos give the same weights.
    """

    loss: str = "auto"
    epochs: int = 60
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    hidden: int = 128
    dropout: float = 0.3
    sparsity: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.loss not in ("auto", "scores", "summary"):
            raise InvalidQueryError(
                f"the loss of an importance head is auto, scores or summary, got {self.loss!r}"
            )
        for name, least, most, whole in _BOUNDS:
            value = getattr(self, name)
            if value is None and name == "sparsity":
                continue
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not least <= value <= most or (whole and not isinstance(value, int)):
                what = "a whole number" if whole else "a number"
                raise InvalidQueryError(f"{name} must be {what} from {least:g} to {most:g}, got {value!r}")

    def changed(self, changes: Mapping[str, Any]) -> ImportanceOptions:
        """With other values. Raises InvalidQueryError: No such option, or no value for it."""
        known = [one.name for one in fields(self)]
        if unknown := sorted(set(changes) - set(known)):
            raise InvalidQueryError(
                f"an importance head has no option {unknown[0]!r}; expected: {', '.join(known)}"
            )
        return replace(self, **changes)


_BOUNDS: tuple[tuple[str, float, float, bool], ...] = (
    ("epochs", 1, 100_000, True),
    ("learning_rate", 1e-9, 100, False),
    ("weight_decay", 0, 10, False),
    ("hidden", 1, 65_536, True),
    ("dropout", 0, 0.99, False),
    ("sparsity", -1000, 1000, False),
    ("seed", 0, 2**31 - 1, True),
)


@dataclass(frozen=True, slots=True)
class ImportanceVideo:
    """One video to learn from.

    Attributes:
        name: Of the video, for messages.
        features: float (T, D), of its moments in order of time.
        scores: float32 (U, T), 0..1, what each of U people gave them; None where nobody did.
        label: Its class; None where it has none.
    """

    name: str
    features: NDArray[np.floating]
    scores: NDArray[np.float32] | None = None
    label: int | None = None


@dataclass(frozen=True, slots=True)
class ImportanceReport:
    """The outcome of a run.

    Attributes:
        best: The head's file, of the epoch that did best on the validation videos.
        loss: "scores" or "summary".
        figure: What it was chosen by: "Kendall tau" with people, or "validation loss".
        value: That figure.
        epoch: From 1, the best one.
    """

    best: Path
    loss: str
    figure: str
    value: float
    epoch: int


def train_importance(
    videos: Sequence[ImportanceVideo],
    validation: Sequence[ImportanceVideo],
    options: ImportanceOptions,
    folder: Path,
    *,
    card: Mapping[str, Any],
    classes: int = 0,
    on_progress: Callable[[int, int], None] = lambda epoch, epochs: None,
) -> ImportanceReport:
    """Learns a head and writes the best of its epochs to the folder as `best.safetensors`.

    It takes seconds, so that a run that was stopped begins anew; what takes long, encoding the videos, is
    the caller's to keep.

    Args:
        videos: To learn from.
        validation: To choose the best epoch by; not learned from.
        options: Of the run.
        folder: For the head's file.
        card: With "encoder_spec" and "encoder_id", and whatever else belongs to the head.
        classes: C, of the videos' labels.
        on_progress: Told after every epoch.

    Raises:
        InvalidQueryError: There is nothing to learn from, or not what the loss needs.
    """
    loss = _loss_of(videos, validation, options, classes)
    torch.manual_seed(options.seed)
    dim = videos[0].features.shape[1]
    network = ImportanceNetwork(dim, options.hidden, options.dropout, classes if loss == "summary" else 0)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, options.epochs)
    order = np.random.default_rng(options.seed)
    best, best_epoch, kept = -np.inf, 0, b""
    figure = "Kendall tau" if loss == "scores" else "validation loss"
    for epoch in range(options.epochs):
        network.train()
        for number in order.permutation(len(videos)).tolist():
            value = _video_loss(network, videos[number], loss, options)
            optimiser.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
        schedule.step()
        found = _judged(network, validation, loss, options)
        if found > best:
            best, best_epoch = found, epoch + 1
            kept = _packed(network, {**card, "loss": loss, "figure": figure, "value": round(abs(found), 4),
                                     "epoch": best_epoch, "config": asdict(options)})  # fmt: skip
        on_progress(epoch + 1, options.epochs)
    if not kept:
        raise InvalidQueryError(
            f"the loss is no number; lower the learning rate ({options.learning_rate:g}) with --learning-rate"
        )
    with synced_file(folder / BEST) as unfinished:
        unfinished.write_bytes(kept)
    return ImportanceReport(folder / BEST, loss, figure, abs(best) if loss == "summary" else best, best_epoch)


def _loss_of(
    videos: Sequence[ImportanceVideo],
    validation: Sequence[ImportanceVideo],
    options: ImportanceOptions,
    classes: int,
) -> str:
    if not videos or not validation:
        raise InvalidQueryError(
            f"there are {len(videos)} videos to learn importance from and {len(validation)} to check with; "
            "expected some of each"
        )
    everything = [*videos, *validation]
    scored = all(video.scores is not None for video in everything)
    labelled = classes >= 2 and all(video.label is not None for video in everything)
    loss = options.loss if options.loss != "auto" else "scores" if scored else "summary"
    if loss == "scores" and not scored:
        raise InvalidQueryError(
            "nobody scored the moments of these videos; expected SumMe's or TVSum's layout, or --set "
            "loss=summary"
        )
    if loss == "summary" and not labelled:
        raise InvalidQueryError(
            f"the summary loss learns from classes of whole videos, two or more, and here are {classes}; "
            "expected TVSum's categories, or a folder for each class"
        )
    return loss


def _video_loss(
    network: ImportanceNetwork, video: ImportanceVideo, loss: str, options: ImportanceOptions
) -> Tensor:
    features = torch.from_numpy(np.asarray(video.features, np.float32))
    logits = network(features)
    if loss == "scores":
        assert video.scores is not None
        wanted = torch.from_numpy(video.scores.mean(axis=0, dtype=np.float32))
        return functional.binary_cross_entropy_with_logits(logits, wanted)
    assert network.classifier is not None and video.label is not None
    classes = network.classifier(network.norm(features))
    labels = torch.full((len(features),), video.label)
    learned = functional.cross_entropy(classes, labels)
    seen = classes.detach()  # the scores follow the classifier, which is not to flatter them
    sparsity = options.sparsity
    if sparsity is None:
        # The mean pulls up as much as it pushes down: any less, and the scores sink before they tell
        # moments apart.
        sparsity = -float(functional.cross_entropy(seen, labels))
    chosen = summary_loss(seen[None], labels[None], torch.sigmoid(logits)[None], sparsity=sparsity)
    return learned + chosen / len(features)


def _judged(
    network: ImportanceNetwork, videos: Sequence[ImportanceVideo], loss: str, options: ImportanceOptions
) -> float:
    """The quality of a network, more being better: mean Kendall tau with people, or the negative loss."""
    network.eval()
    found = []
    with torch.inference_mode():
        for video in videos:
            if loss == "summary":
                found.append(-float(_video_loss(network, video, loss, options)))
            elif len(video.features) > 1:
                assert video.scores is not None
                scores = network(torch.from_numpy(np.asarray(video.features, np.float32))).numpy()
                if np.isfinite(scores).all():
                    found.append(rank_correlation(scores, video.scores))
    return float(np.mean(found)) if found else float("nan")


def _packed(network: ImportanceNetwork, card: Mapping[str, Any]) -> bytes:
    tensors = {
        name: value.detach().numpy().copy()
        for name, value in network.state_dict().items()
        if not name.startswith("classifier.")  # of use in training alone
    }
    json.dumps(card)  # a card that JSON cannot hold is the caller's fault: now, not when it is read
    return pack(
        tensors, **{**card, "kind": KIND, "dim": network.norm.normalized_shape[0],
                    "hidden": network.project.out_features}
    )  # fmt: skip

"""Predictions of a trained model on many clips, for evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.training.batches import ClipSource, ReadClips, evaluation_batches, read_batches
from encoders.weights.device import check_device_name, choose_device, mixed_precision


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predictions for all clips that could be read, each seen in one or several crops.

    Attributes:
        probabilities: float32 (V, C), a row for each view.
        features: float32 (V, D), of L2 norm 1: pooled over time.
        indices: Which clip each view is of, int64 (V,).
        damaged: Reason by clip.
    """

    probabilities: NDArray[np.float32]
    features: NDArray[np.float32]
    indices: NDArray[np.int64]
    damaged: dict[int, str]


def predict_clips(
    checkpoint: Path,
    clips: ClipSource,
    *,
    device: str = "auto",
    crops: int = 1,
    batch_size: int = 8,
    workers: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Predictions, dict[str, Any]]:
    """Looks at every clip of a source.

    Args:
        checkpoint: Of a trained model.
        clips: Decoded as its card says.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        crops: 1 for the centre, 3 for both ends of the longer side too.
        batch_size: Clips at a time.
        workers: Programs that decode.
        on_progress: Told how many of how many clips are done.

    Returns:
        What it says, and the model's card.

    Raises:
        EncoderUnavailableError: The checkpoint cannot be used.
    """
    import torch

    from encoders.training.checkpoints import load_checkpoint

    check_device_name(device)
    model, card = load_checkpoint(checkpoint)
    place = choose_device(device)
    model.to(place)
    batches = evaluation_batches(len(clips), batch_size)
    probabilities, features, indices = [], [], []
    damaged: dict[int, str] = {}
    done = 0
    source = ReadClips(clips, batches, 0, int(card["size"]), None, 0, crops)
    for batch in read_batches(source, workers):
        done += len(batch.indices) // crops + len(batch.damaged)
        damaged.update(batch.damaged)
        on_progress(done, len(clips))
        if not len(batch.indices):
            continue
        with torch.inference_mode(), mixed_precision(place):
            flow = None if batch.flow is None else batch.flow.to(place)
            found = model.forward_features(batch.clips.to(place), flow)
            logits = model.forward_head(found).float()
        pooled = torch.nn.functional.normalize(found.float().mean(dim=1), dim=1)
        probabilities.append(logits.softmax(dim=1).cpu().numpy())
        features.append(pooled.cpu().numpy())
        indices.append(batch.indices.numpy())
    dim, classes = model.feature_dim, len(card["labels"])
    return (
        Predictions(
            np.concatenate([*probabilities, np.zeros((0, classes), np.float32)]),
            np.concatenate([*features, np.zeros((0, dim), np.float32)]),
            np.concatenate([*indices, np.zeros(0, np.int64)]),
            damaged,
        ),
        card,
    )

"""The evaluation of a trained checkpoint on a data set."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from encoders.errors import InvalidQueryError
from encoders.evaluation.classification import average_views
from encoders.evaluation.reports import evaluate_classification, evaluate_retrieval
from encoders.models.registry import known_model
from encoders.training.checkpoints import read_model_card
from encoders.training.prediction import predict_clips
from indexer.datasets.layouts import Dataset, read_dataset
from indexer.datasets.training_data import ClipDataset
from indexer.datasets.types import SPLITS, Split
from indexer.video.clips.array_cache import ArrayCache
from indexer.video.clips.clip_sampling import ClipSampling

if TYPE_CHECKING:
    from encoders.backbones.optical_flow import FlowPreset
    from encoders.evaluation.reports import EvaluationReport


def evaluate_checkpoint(
    checkpoint: Path,
    folder: Path,
    *,
    layout: str,
    split: Split,
    clips: int,
    crops: int,
    retrieval: bool,
    batch_size: int,
    workers: int,
    device: str,
    cache: ArrayCache | None,
    counting: Callable[[str], AbstractContextManager[Callable[[int, int], None]]],
    say: Callable[[str], None],
) -> EvaluationReport:
    """Judges a model on one split of a data set.

    Args:
        checkpoint: Of the model, or the folder of its run.
        folder: Of the data set.
        layout: As for `read_dataset`.
        split: Which part; val is taken where there is no test.
        clips: Of each video, evenly spaced.
        crops: 1 or 3.
        retrieval: Judges the features instead of the classes.
        batch_size: Clips at a time.
        workers: Programs that decode.
        device: For the model.
        cache: For decoded frames and flow.
        counting: Makes a progress bar.
        say: Told what people should know.

    Raises:
        EncoderUnavailableError: The checkpoint cannot be read.
        InvalidQueryError: There is nothing to judge, or none of it can be read.
    """
    card = read_model_card(checkpoint)
    dataset = read_dataset(folder, layout=layout, seed=card.get("config", {}).get("seed", 0))
    for line in dataset.notes:
        say(line)
    if split == "test" and not dataset.of("test") and dataset.of("val"):
        say("no test split here; judging val")
        split = "val"
    source = _evaluation_clips(dataset, card, split, clips, cache, say)
    with counting("clips") as on_progress:
        found, _ = predict_clips(
            checkpoint, source, device=device, crops=crops, batch_size=batch_size, workers=workers,
            on_progress=on_progress,
        )  # fmt: skip
    if not len(found.indices):
        raise InvalidQueryError(
            f"none of the {len(source)} clips could be read: {next(iter(found.damaged.values()))}"
        )
    return _judged(found, source, card["labels"], retrieval)


def _evaluation_clips(
    dataset: Dataset,
    card: dict[str, Any],
    split: Split,
    clips: int,
    cache: ArrayCache | None,
    say: Callable[[str], None],
) -> ClipDataset:
    """Clips of one split, sampled as the model was trained, labelled as the model counts."""
    unknown = [label for label in dataset.labels if label not in card["labels"]]
    samples = [
        replace(sample, label=card["labels"].index(dataset.labels[sample.label]))
        for sample in dataset.of(split)
        if sample.label is not None and dataset.labels[sample.label] in card["labels"]
    ]
    if unknown:
        say(f"the model does not know {_some(unknown)}: their videos are left out")
    if not dataset.of(split):
        there = [name for name in SPLITS if dataset.of(name)]
        raise InvalidQueryError(
            f"there is no labelled {split} video in the data; expected --split {' or '.join(there) or split}"
        )
    if not samples:
        raise InvalidQueryError(
            f"there is no {split} video of a class that the model knows ({_some(card['labels'])}); expected "
            "the data that it was made for, or another --split"
        )
    sampling = ClipSampling(
        frames=card["frames"],
        stride=1,
        fps=float(card["fps"]),
        size=max(16, card["size"]),
    )
    flow: FlowPreset | None = "medium" if known_model(card["model"]).needs_flow else None
    return ClipDataset(samples, card["labels"], sampling, training=False, clips=clips, flow=flow, cache=cache)


def _some(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _judged(found: Any, source: ClipDataset, labels: list[str], retrieval: bool) -> EvaluationReport:
    paths = [source.sample_of(index) for index in found.indices.tolist()]
    keys = [(sample.path, sample.start_seconds) for sample in paths]
    seen = dict(zip(keys, paths, strict=True))
    targets = np.array([sample.label for sample in seen.values()])
    skipped = {source.sample_of(index).path: reason for index, reason in found.damaged.items()}
    if not retrieval:
        return evaluate_classification(
            average_views(found.probabilities, keys), targets, labels, skipped=skipped
        )
    features = average_views(found.features, keys)
    features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-9)
    similarity = features @ features.T
    np.fill_diagonal(similarity, -np.inf)  # nothing finds itself
    relevant = (targets[:, None] == targets[None]) & ~np.eye(len(targets), dtype=bool)
    kept = relevant.any(axis=1)
    if not kept.any():
        raise InvalidQueryError("no class has two videos here, so there is nothing for one to find")
    return evaluate_retrieval(similarity[kept], relevant[kept], skipped=skipped)

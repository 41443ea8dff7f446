"""One video, looked at by a classifier from end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from encoders.errors import DecodeError, NotFoundError
from encoders.weights.digests import CLASSIFIER_PREFIXES, TRAINED_PREFIX
from indexer.video.programs.worker import DecodeWorker
from indexer.video.types import SampledClip, SamplingOptions

LIMIT_SECONDS = 3600.0
CLIP_SECONDS = 10.0  # decoded at a time


def predict_video(
    video: Path, model: str, *, top_k: int = 5, crops: int = 1, device: str = "auto"
) -> dict[str, Any]:
    """The classes of a video, its windows averaged: the document of `indexer predict --json`.

    Args:
        video: The file.
        model: "kinetics:<name>", "model:<checkpoint>", or just the checkpoint.
        top_k: How many classes.
        crops: 1 or 3.
        device: As for `open_classifier`.

    Raises:
        NotFoundError: There is no such file.
        DecodeError: It is no video that can be read.
        EncoderUnavailableError: The model cannot be had.
    """
    from encoders.heads.kinetics import open_classifier

    if not video.is_file():
        raise NotFoundError(f"there is no file {video}")
    spec = model if model.startswith(CLASSIFIER_PREFIXES) else f"{TRAINED_PREFIX}{model}"
    classifier = open_classifier(spec, device=device)
    seconds = max(CLIP_SECONDS, classifier.window_seconds)
    sampling = SamplingOptions(
        clip_seconds=seconds,
        fps=min(1.0, classifier.fps),
        shots=False,
        dense_fps=float(classifier.fps),
        dense_size=classifier.frame_size,
        frame_size=classifier.frame_size,
    )
    rows, weights = [], []
    with DecodeWorker() as worker:
        for item in worker.decode(str(video), sampling, LIMIT_SECONDS):
            if isinstance(item, SampledClip):
                _, probabilities = classifier.classify(item.dense or item.frames, crops)
                rows.append(probabilities.mean(axis=0))
                weights.append(item.end_seconds - item.start_seconds)
    if not rows:
        raise DecodeError(f"no frame of {video} could be decoded")
    shares = np.average(rows, axis=0, weights=np.maximum(weights, 1e-6))
    best = np.argsort(-shares, kind="stable")[:top_k]
    return {
        "path": str(video.absolute()),
        "model": classifier.spec,
        "classes": [
            {"label": classifier.actions[index], "probability": round(float(shares[index]), 5)}
            for index in best.tolist()
        ],
    }

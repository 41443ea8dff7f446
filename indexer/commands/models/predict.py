"""`indexer predict`: parse, call, show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from encoders.errors import InvalidQueryError
from indexer.terminal.options import DeviceOption, JsonOption, print_json


def predict(
    video: Annotated[Path, typer.Argument(metavar="VIDEO")],
    model: Annotated[
        str,
        typer.Option(
            "--model", metavar="SPEC", help="A checkpoint, the folder of a run, or kinetics:<model>."
        ),
    ],
    top_k: Annotated[int, typer.Option("--top-k", "-k", min=1, max=1000)] = 5,
    crops: Annotated[int, typer.Option(help="1 or 3.")] = 1,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Name what a video shows by a trained model: classes, the surest first."""
    from indexer.datasets.prediction import predict_video

    if crops not in (1, 3):
        raise InvalidQueryError(f"crops must be 1 or 3, got {crops}")
    document = predict_video(video, model, top_k=top_k, crops=crops, device=device or "auto")
    if as_json:
        print_json(document)
    else:
        from indexer.terminal.show_training import show_predictions

        show_predictions(document)

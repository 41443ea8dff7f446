"""Files of a run beside its checkpoints: the state to go on from, and TensorBoard's events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from encoders.errors import InvalidQueryError
from encoders.training.options import TrainingOptions
from encoders.weights.files import synced_file

STATE = "last.state.pt"
# What decides whether a stopped run may go on: with other values it would not be the same run.
SAME_RUN = (
    "model",
    "model_options",
    "frames",
    "size",
    "stride",
    "batch_size",
    "accumulate",
    "optimiser",
    "seed",
)


def same_run(options: TrainingOptions) -> dict[str, Any]:
    """The options that may not change while a run goes on."""
    return {name: value for name, value in options.to_document().items() if name in SAME_RUN}


def write_state(folder: Path, state: dict[str, Any]) -> None:
    """Writes tensors and plain values; a crash leaves the old state or the new one."""
    with synced_file(folder / STATE) as unfinished, unfinished.open("wb") as file:
        torch.save(state, file)


def read_state(
    folder: Path, options: TrainingOptions, labels: Sequence[str], digest: str | None = None
) -> dict[str, Any] | None:
    """The state of a run that may go on; None where there is none. Nothing in the file is run.

    Args:
        folder: Of the run.
        options: Asked for now.
        labels: Of the clips now.
        digest: Of the clips to learn from now; None where nobody knows it.

    Raises:
        InvalidQueryError: It is damaged, or that of another run.
    """
    file = folder / STATE
    if not file.exists():
        return None
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        run = same_run(options)
        other = [name for name in run if state["run"].get(name) != run[name]]
        if not other and state["labels"] != list(labels):
            other = ["labels"]
        learned_from = state.get("digest")
        is_other_data = None not in (digest, learned_from) and digest != learned_from
    except Exception as error:  # whatever a damaged file brings about
        raise InvalidQueryError(
            f"the state of an earlier run in {file} cannot be read ({type(error).__name__}); train into "
            "another folder, or remove it to begin anew"
        ) from error
    if other:
        raise InvalidQueryError(
            f"{folder} holds a run with other {other[0]} than now asked for; train into another folder, or "
            "remove it to begin anew"
        )
    if is_other_data:
        raise InvalidQueryError(
            f"{folder} holds a run on other data, of the same classes; train into another folder, or "
            "remove it to begin anew"
        )
    return state


class Events:
    """Writes TensorBoard's events; only the first of several programs does."""

    def __init__(self, folder: Path, is_main: bool) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "events")) if is_main else None

    def __enter__(self) -> Callable[[str, float, int], None]:
        return self._write

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def _write(self, name: str, value: float, step: int) -> None:
        if self._writer is not None:
            self._writer.add_scalar(name, value, step)

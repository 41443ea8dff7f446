"""Checkpoints read as tensors alone, never as code."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from encoders.errors import EncoderUnavailableError
from encoders.weights.digests import first_line

_WRAPPERS = ("state_dict", "model_state_dict", "model_state", "model", "module")


def read_state_dict(file: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name; nothing in the file is run.

    Raises:
        EncoderUnavailableError: The file is damaged, or holds anything beside tensors.
    """
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # each library raises its own kinds on damaged files
        found = (
            re.search(r"GLOBAL ([\w.]+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        )
        if found:
            raise EncoderUnavailableError(
                f"the checkpoint {file} holds {found[1]} beside its tensors; expected: weights alone, since "
                "anything else can run code. It was not run; have whoever made the file save its state "
                "dict as safetensors"
            ) from error
        raise EncoderUnavailableError(
            f"the checkpoint {file} cannot be read; got: {first_line(error)}; expected: a complete file of "
            "weights, as torch.save or safetensors writes it. Fetch it again"
        ) from error
    for key in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise EncoderUnavailableError(
            f"the checkpoint {file} holds a {type(content).__name__} that is no state dict; expected: names "
            "with tensors. Save `model.state_dict()`, as safetensors"
        )
    return {str(key).removeprefix("module."): value for key, value in content.items()}

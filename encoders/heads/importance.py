"""The importance of each moment of a video, s_t = sigma(f(h_t)), learned from people or from classes.

    features h (T, D) --norm--> [h_t, h_t - mean h] --linear, ReLU--> convolution over time, ReLU--> f --> s_t

`encoders.lessons.importance` learns f.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from encoders.errors import EncoderMismatchError, HeadFileError
from encoders.training.checkpoints import IMPORTANCE_KIND, find_checkpoint, read_any_card
from encoders.weights.tensors import unpack

KIND = IMPORTANCE_KIND


class ImportanceNetwork(nn.Module):
    """f of the module's docstring, and the classifier of the summary loss.

    Args:
        dim: D.
        hidden: Width.
        dropout: Share of units dropped in training.
        classes: C; 0 for no classifier.
    """

    def __init__(self, dim: int, hidden: int, dropout: float = 0.0, classes: int = 0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.project = nn.Linear(2 * dim, hidden)
        self.around = nn.Conv1d(hidden, hidden, kernel_size=5, padding=2)
        self.score = nn.Linear(hidden, 1)
        self.drop = nn.Dropout(dropout)
        self.classifier = nn.Linear(dim, classes) if classes else None

    def forward(self, features: Tensor) -> Tensor:
        """Features (T, D) -> logits of importance (T,)."""
        moments = self.norm(features)
        moments = torch.cat([moments, moments - moments.mean(dim=0)], dim=1)
        hidden = self.drop(functional.relu(self.project(moments)))
        around = functional.relu(self.around(hidden.T[None])[0].T)
        return self.score(self.drop(hidden + around))[:, 0]


class ImportanceHead:
    """A learned f, ready to score the moments of a video."""

    def __init__(self, network: ImportanceNetwork, card: Mapping[str, Any]) -> None:
        self._network = network.eval()
        self.name = str(card["name"])
        self.encoder_spec = str(card["encoder_spec"])
        self.encoder_id = str(card["encoder_id"])
        self.dim = int(card["dim"])
        self.card = dict(card)

    def importance(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """Features (T, D) of this head's encoder -> float32 (T,), 0..1.

        Raises:
            EncoderMismatchError: They are not D wide.
        """
        if features.ndim != 2 or features.shape[1] != self.dim:
            raise EncoderMismatchError(
                f"the importance head {self.name} reads features of {self.encoder_spec}, (T, {self.dim}); "
                f"got {features.shape}"
            )
        if not len(features):
            return np.zeros(0, np.float32)
        with torch.inference_mode():
            logits = self._network(torch.from_numpy(np.asarray(features, np.float32)))
        return torch.sigmoid(logits).numpy()


def open_importance(path: str | Path) -> ImportanceHead:
    """A head that `indexer train importance` wrote.

    Args:
        path: Of the file, or of the folder of the run.

    Raises:
        EncoderUnavailableError: There is no such file.
        HeadFileError: It is damaged, or something else.
    """
    from encoders.weights.digests import check_checkpoint, first_line

    file = find_checkpoint(Path(path).expanduser())
    check_checkpoint(file)
    tensors, card = unpack(file.read_bytes(), KIND, {})
    try:
        network = ImportanceNetwork(int(card["dim"]), int(card["hidden"]))
        network.load_state_dict({name: torch.from_numpy(values) for name, values in tensors.items()})
        return ImportanceHead(network, card)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise HeadFileError(
            f"{file} is no importance head that this version can use ({first_line(error)}); train it again "
            "with `indexer train importance`"
        ) from error


def is_importance(path: Path) -> bool:
    """Checks whether a file, or the folder of a run, holds an importance head."""
    try:
        return read_any_card(find_checkpoint(path)).get("kind") == KIND
    except (OSError, HeadFileError):
        return False

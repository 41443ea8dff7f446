"""Trained models as files: the weights as safetensors, and a card of all that belongs to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from encoders.errors import EncoderUnavailableError
from encoders.weights.digests import check_checkpoint, first_line
from encoders.weights.files import synced_file
from encoders.weights.tensors import read_card

if TYPE_CHECKING:
    from encoders.models.base import VideoModel

KIND = "model"
IMPORTANCE_KIND = "importance"  # of `encoders.heads.importance`, which is costlier to import
LAST, BEST = "last.safetensors", "best.safetensors"
CARD_BYTES = 1 << 20  # read of a file to find its card
# In every card, with the type that it must have.
CARD_FIELDS: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "options": dict,
    "labels": list,
    "frames": int,
    "size": int,
    "fps": (int, float),
    "mean": list,
    "std": list,
}


def save_checkpoint(path: Path, model: VideoModel, card: dict[str, Any]) -> None:
    """Writes a model; a crash leaves the old file or the new one.

    Args:
        path: Of the safetensors file.
        model: Its weights are stored as they are.
        card: With `CARD_FIELDS`, and whatever else JSON holds.
    """
    from safetensors.torch import save_file

    missing = [name for name, kind in CARD_FIELDS.items() if not isinstance(card.get(name), kind)]
    if missing:
        raise ValueError(f"the card of a model must hold {missing[0]!r}")
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    metadata = {"reelseek": json.dumps({"kind": KIND, **card}, sort_keys=True)}
    with synced_file(path) as unfinished:
        unfinished.touch()
        # As the umask has it: safetensors writes for the owner alone.
        mode = unfinished.stat().st_mode & 0o777
        save_file(tensors, unfinished, metadata=metadata)
        unfinished.chmod(mode)


def find_checkpoint(path: Path) -> Path:
    """The file of a checkpoint: itself, or in the folder of a run the best one.

    Raises:
        EncoderUnavailableError: The folder holds none, or this is the name of a model, not a file.
    """
    if path.is_dir():
        found = next((path / name for name in (BEST, LAST) if (path / name).is_file()), None)
        if found is None:
            raise EncoderUnavailableError(
                f"there is no {BEST} in the folder {path}; expected a folder that `indexer train` "
                "filled, or a checkpoint in it"
            )
        return found
    if not path.exists() and path.name == str(path) and not path.suffix:
        from encoders.models.registry import MODELS

        if path.name in MODELS:
            raise EncoderUnavailableError(
                f"{path.name} is not trained yet: indexer train {path.name} --data DIR --out DIR"
            )
    return path


def read_any_card(file: Path) -> dict[str, Any]:
    """The card of a checkpoint of any kind. Raises OSError or HeadFileError."""
    with file.open("rb") as opened:
        return read_card(opened.read(CARD_BYTES))


def read_model_card(path: Path) -> dict[str, Any]:
    """Reads the card of a model, without its weights.

    Args:
        path: Of the checkpoint, or of the folder of a run.

    Raises:
        EncoderUnavailableError: No such file, or not one that `save_checkpoint` wrote.
    """
    from encoders.errors import HeadFileError

    path = find_checkpoint(path)
    check_checkpoint(path)
    try:
        card = read_any_card(path)
    except HeadFileError as error:
        raise _no_model(path, "it has no card") from error
    if card.get("kind") == IMPORTANCE_KIND:
        raise EncoderUnavailableError(
            f"{path} is an importance head, which neither classifies nor encodes: use it with `indexer "
            "summarize --importance`, or judge it with `indexer evaluate`"
        )
    wrong = [name for name, kind in CARD_FIELDS.items() if not isinstance(card.get(name), kind)]
    if card.get("kind") != KIND or wrong:
        raise _no_model(path, f"its card lacks {wrong[0]!r}" if wrong else f"it is a {card.get('kind')!r}")
    if not card["labels"] or not all(isinstance(label, str) for label in card["labels"]):
        raise _no_model(path, "it names no labels")
    return card


def load_checkpoint(path: Path) -> tuple[VideoModel, dict[str, Any]]:
    """A model, on the CPU and ready for inference, and its card; nothing in the file is run.

    Raises:
        EncoderUnavailableError: No such file, or it is damaged, or of another version.
    """
    from encoders.models.registry import build_model
    from encoders.weights.state_dicts import read_state_dict

    path = find_checkpoint(path)
    card = read_model_card(path)
    state = read_state_dict(path)
    # The weights replace whatever training began with.
    options = {name: value for name, value in card["options"].items() if name != "pretrained"}
    try:
        model = build_model(
            card["model"], len(card["labels"]), frames=card["frames"], size=card["size"], **options
        )
        model.load_state_dict(state)
    except (ValueError, TypeError, RuntimeError) as error:
        raise _no_model(path, first_line(error)) from error
    return model.eval().requires_grad_(False), card


def _no_model(path: Path, got: str) -> EncoderUnavailableError:
    return EncoderUnavailableError(
        f"{path} is no model that this version can use: {got}; expected a best.safetensors or "
        "last.safetensors that `indexer train` wrote"
    )

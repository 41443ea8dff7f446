"""Finding the weights of an open_clip model: in a file, in the local cache or on the hub."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from encoders.errors import EncoderUnavailableError
from encoders.weights.digests import (
    CHECKPOINT_SUFFIXES,
    check_checkpoint,
    is_checkpoint_path,
    read_model_config,
)
from encoders.weights.hub import WEIGHT_FILES, cached_or_downloaded

CONFIG_FILE = "open_clip_config.json"
OTHERWISE = "give the path of a checkpoint, or choose the encoder `offline`"


@dataclass(frozen=True, slots=True)
class WeightsSource:
    """A weight file and what belongs to it.

    Attributes:
        public_name: Architecture without local paths, for people and for the encoder's id.
        load_name: Name by which open_clip builds the architecture without network.
        file: The weights.
        config: open_clip's model configuration.
        quick_gelu: The weights were trained with the approximate GELU of Radford et al.
        preprocessing: Mean, standard deviation, interpolation, resize mode, as far as known.
    """

    public_name: str
    load_name: str
    file: Path
    config: Mapping[str, Any]
    quick_gelu: bool = False
    preprocessing: Mapping[str, Any] = field(default_factory=dict)


def find_weights(
    architecture: str,
    weights: str | None,
    config: Mapping[str, Any],
    tags: Mapping[str, Mapping[str, Any]],
    otherwise: str = OTHERWISE,
) -> WeightsSource:
    """Finds the weight file, downloading it where it is only to be had from the hub.

    Args:
        architecture: Name, "hf-hub:<org>/<name>" or "local-dir:<folder>".
        weights: Tag or path; None with "hf-hub:" and "local-dir:".
        config: Model configuration of a named architecture.
        tags: Pretrained tags of a named architecture, with open_clip's record of each.
        otherwise: What people can do without the hub.

    Raises:
        EncoderUnavailableError: The file is not to be had here; the message says why.
    """
    if architecture.startswith("local-dir:"):
        folder = Path(architecture.removeprefix("local-dir:")).expanduser()
        return _from_folder("local-dir", folder, _sole_checkpoint(folder))
    if architecture.startswith("hf-hub:"):
        repository = architecture.removeprefix("hf-hub:")
        file = _from_hub(repository, WEIGHT_FILES, otherwise)
        config_path = _from_hub(repository, (CONFIG_FILE,), otherwise)
        return _from_folder(architecture, config_path.parent, file)
    if weights is None:
        raise EncoderUnavailableError(_no_tag(architecture, "no tag", tags))
    tag = weights.lower().replace("-", "_")  # as open_clip spells them
    if tag in tags:
        record = tags[tag]
        quick_gelu = bool(record.get("quick_gelu", False))
        return WeightsSource(
            architecture, architecture, _tagged_file(record, otherwise), config, quick_gelu, record
        )
    if not is_checkpoint_path(weights):
        raise EncoderUnavailableError(_no_tag(architecture, repr(weights), tags))
    file = check_checkpoint(Path(weights).expanduser().absolute())
    preprocessing = _preprocessing_of_file(file, tags)
    return WeightsSource(architecture, architecture, file, config, preprocessing=preprocessing)


def _from_hub(repository: str, names: tuple[str, ...], otherwise: str) -> Path:
    return cached_or_downloaded(repository, names, "the weights", otherwise)


def _tagged_file(record: Mapping[str, Any], otherwise: str) -> Path:
    repository, name = record.get("hf_hub", "").rpartition("/")[::2]
    if not repository:
        raise EncoderUnavailableError(
            f"these weights are not on the hub but at {record.get('url')}; download them and give "
            "the file's path instead of the tag"
        )
    if not name:
        return _from_hub(repository, WEIGHT_FILES, otherwise)
    safe = str(Path(name).with_suffix(".safetensors"))
    return _from_hub(repository, (safe, name), otherwise)


def _preprocessing_of_file(file: Path, tags: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The preprocessing of a checkpoint's frames: from its configuration file, else its family's.

    Where the published weights of an architecture agree on one way, weights trained further from
    them will too; where they do not, open_clip's standard holds.
    """
    sidecar = file.parent / CONFIG_FILE
    if sidecar.is_file():
        return read_model_config(sidecar).get("preprocess_cfg", {})
    keys = ("mean", "std", "interpolation", "resize_mode")
    ways = [{key: record.get(key) for key in keys} for record in tags.values()]
    return ways[0] if ways and all(way == ways[0] for way in ways) else {}


def _from_folder(public_name: str, folder: Path, file: Path) -> WeightsSource:
    content = read_model_config(folder / CONFIG_FILE)
    config = content.get("model_cfg")
    if not isinstance(config, dict) or "embed_dim" not in config:
        raise EncoderUnavailableError(
            f"{folder / CONFIG_FILE} describes no model; expected the keys model_cfg and "
            "model_cfg.embed_dim, as open_clip writes them"
        )
    return WeightsSource(
        public_name,
        f"local-dir:{folder}",
        check_checkpoint(file),
        config,
        preprocessing=content.get("preprocess_cfg", {}),
    )


def _sole_checkpoint(folder: Path) -> Path:
    for name in WEIGHT_FILES:
        if (folder / name).is_file():
            return folder / name
    found = sorted(path for path in folder.glob("*") if path.suffix in CHECKPOINT_SUFFIXES)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise EncoderUnavailableError(
            f"{folder} holds these checkpoints: {names}; expected {WEIGHT_FILES[0]} or just one"
        )
    return found[0]


def _no_tag(architecture: str, got: str, tags: Mapping[str, Mapping[str, Any]]) -> str:
    close = difflib.get_close_matches(got.strip("'"), tags, n=5, cutoff=0.5)
    listed = ", ".join(close or sorted(tags)[:12]) or "none"
    return (
        f"{architecture} has no weights with the tag {got}; expected the path of a checkpoint or "
        f"one of these tags: {listed}"
    )

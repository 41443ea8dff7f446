"""The networks behind `encoders.heads.kinetics`: built, filled with weights, their frames prepared.

A backbone does what its library does with its weights, in the same order: torchvision's
`Weights.transforms()` and transformers' video processors. Only the crops to the left and right of
the centre are cut here. Checkpoints are read as tensors alone, never as code.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from encoders.backbones.kinetics_weights import ClassifierInfo
from encoders.errors import EncoderUnavailableError
from encoders.weights.digests import file_digest, first_line, read_model_config
from encoders.weights.quiet import quiet_loading
from encoders.weights.state_dicts import read_state_dict

SOURCE_FPS = 30.0  # of the videos whose every n-th frame the transformers were trained on
# transformers' `model_type`: the classes of model and processor, the field with T, and that n.
FAMILIES: dict[str, tuple[str, str, str, int | None]] = {
    "videomae": ("VideoMAEForVideoClassification", "VideoMAEVideoProcessor", "num_frames", 4),
    "timesformer": ("TimesformerForVideoClassification", "TimesformerVideoProcessor", "num_frames", None),
    "vivit": ("VivitForVideoClassification", "VivitVideoProcessor", "num_frames", 2),
    "vjepa2": ("VJEPA2ForVideoClassification", "VJEPA2VideoProcessor", "frames_per_clip", 4),
}
TIMESFORMER_SPAN_FRAMES = 256  # 8 frames are every 32nd, 16 are every 16th
_PASSING_KEYS = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")


@dataclass(frozen=True, slots=True)
class Backbone:
    """A network with its weights, on the CPU, and what belongs to it.

    Attributes:
        network: Ready for inference.
        identity: Architecture, digest of the weights, digest of the preprocessing; no paths.
        actions: Names of its classes, in order.
        clip_frames: T.
        fps: Rate of the frames that it was trained on.
        frame_size: Short side in pixels that it scales frames to.
        prepare: uint8 (F, 3, H, W) and 1 or 3 crops -> float (F, crops, 3, h, w), normalised. One
            crop comes out where the preprocessing leaves nothing to choose.
        forward: float (B, T, 3, h, w) -> logits (B, A).
    """

    network: torch.nn.Module
    identity: str
    actions: tuple[str, ...]
    clip_frames: int
    fps: float
    frame_size: int
    prepare: Callable[[Tensor, int], Tensor]
    forward: Callable[[Tensor], Tensor]


def load_torchvision(info: ClassifierInfo, file: Path) -> Backbone:
    """One of torchvision's video classifiers with the weights of a file.

    Raises:
        EncoderUnavailableError: The file is damaged, holds code, or belongs to another network.
    """
    from torchvision.models import get_model, get_model_weights
    from torchvision.transforms import functional

    state = read_state_dict(file)
    # All weights of one architecture have the same names and preprocessing, and so has a checkpoint.
    weights = get_model_weights(info.family)["KINETICS400_V1"]
    with torch.device("meta"):  # random numbers for what is replaced at once would take seconds
        network = get_model(info.family, weights=None)
    try:
        network.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        raise _does_not_fit(file, info.family, first_line(error)) from error
    preset: Any = weights.transforms()

    def prepare(frames: Tensor, crops: int) -> Tensor:
        frames = functional.resize(
            frames, preset.resize_size, interpolation=preset.interpolation, antialias=False
        )
        cut = cut_crops(frames, preset.crop_size, crops, centre=lambda spare: round(spare / 2))
        pixels = functional.convert_image_dtype(cut, torch.float32)
        return functional.normalize(pixels, preset.mean, preset.std)

    def forward(windows: Tensor) -> Tensor:
        return network(windows.transpose(1, 2))

    return Backbone(
        network=network.float().eval().requires_grad_(False),
        identity=f"{info.family}/{file_digest(file)[:16]}/{_digest([repr(preset), info.fps])}",
        actions=tuple(weights.meta["categories"]),
        clip_frames=info.clip_frames,
        fps=info.fps,
        frame_size=min(preset.resize_size),
        prepare=prepare,
        forward=forward,
    )


def load_transformers(file: Path, config_file: Path, processor_file: Path, family: str | None) -> Backbone:
    """A video classifier of transformers from the three files that it is published as.

    Args:
        file: Weights.
        config_file: What the network is made of, with the names of its classes.
        processor_file: How frames are prepared.
        family: Expected `model_type`; None for any that is known.

    Raises:
        EncoderUnavailableError: A file is damaged, holds code or fits no such network.
    """
    content = read_model_config(config_file)
    model_type = content.get("model_type")
    if model_type not in FAMILIES or family not in (None, model_type):
        raise EncoderUnavailableError(
            f"{config_file} describes a model of the type {model_type!r}; expected "
            f"{family or ' or '.join(FAMILIES)}"
        )
    state = read_state_dict(file)
    network, processor = _build(str(model_type), content, state, file, processor_file)
    config: Any = network.config
    frames_field, step = FAMILIES[model_type][2:]
    clip_frames = int(getattr(config, frames_field))
    name = network.main_input_name

    def prepare(frames: Tensor, crops: int) -> Tensor:
        is_cut = bool(processor.do_center_crop)
        all_of_it = crops > 1 and is_cut
        pixels = processor(
            videos=frames,
            do_sample_frames=False,
            do_center_crop=is_cut and not all_of_it,
            input_data_format="channels_first",
            return_tensors="pt",
        )[name][0]
        if not all_of_it:
            return pixels[:, None]
        size = processor.crop_size
        return cut_crops(pixels, (size.height, size.width), crops, centre=lambda spare: spare // 2)

    def forward(windows: Tensor) -> Tensor:
        return network(**{name: windows}).logits

    described = {key: value for key, value in content.items() if key not in _PASSING_KEYS}
    fps = SOURCE_FPS / (step or max(1, TIMESFORMER_SPAN_FRAMES // clip_frames))
    return Backbone(
        network=network,
        identity=f"{model_type}/{file_digest(file)[:16]}/{_digest([described, processor.to_dict(), fps])}",
        actions=_action_names(config.id2label, config_file),
        clip_frames=clip_frames,
        fps=fps,
        frame_size=_short_side(processor),
        prepare=prepare,
        forward=forward,
    )


def _build(
    model_type: str, content: dict[str, Any], state: dict[str, Tensor], file: Path, processor_file: Path
) -> tuple[Any, Any]:
    """The network with its weights and the processor; nothing is downloaded or run that is not ours."""
    with quiet_loading():
        import transformers
    with quiet_loading():  # again: what it switches off is only there now
        model_class, processor_class = (getattr(transformers, name) for name in FAMILIES[model_type][:2])
        try:
            config = model_class.config_class.from_dict(content)
            processor = processor_class.from_pretrained(processor_file.parent, local_files_only=True)
            network, lacking = fill_transformers(model_class, config, state)
        except Exception as error:  # whatever a configuration makes the constructors raise
            raise EncoderUnavailableError(
                f"transformers cannot build the {model_type} model of {file.parent}: {first_line(error)}; "
                "check its configuration, or fetch it again"
            ) from error
    if lacking:  # transformers would fill them with random numbers and go on
        raise _does_not_fit(file, model_type, f"{len(lacking)} parameters do not fit, such as {lacking[0]}")
    return network.eval().requires_grad_(False), processor


def fill_transformers(model_class: Any, config: Any, state: dict[str, Tensor]) -> tuple[Any, list[str]]:
    """A network of transformers with weights as they were published, whose names transformers translates.

    Args:
        model_class: Of the network.
        config: An instance of its configuration.
        state: The weights.

    Returns:
        The network, and the names of parameters that the weights lack or have in another shape, sorted:
        these are random.
    """
    for key in [key for key in state if key.endswith((".q_bias", ".v_bias"))]:
        # VideoMAE's published names, which not every version of transformers 5 translates.
        which = {"q": "query", "v": "value"}[key[-6]]
        state[f"{key[:-6]}{which}.bias"] = state.pop(key)
    network, report = model_class.from_pretrained(
        None,
        config=config,
        state_dict=state,
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    mismatched = [key for key, *_ in report["mismatched_keys"]]  # with both shapes
    return network, sorted([*report["missing_keys"], *mismatched])


def cut_crops(frames: Tensor, size: tuple[int, int], crops: int, *, centre: Callable[[int], int]) -> Tensor:
    """Cuts the centre, or the start, centre and end of the longer side.

    Args:
        frames: (F, C, H, W).
        size: Height and width of a crop, no larger than the frame.
        crops: 1 or 3.
        centre: From spare pixels to those that lie before the centre, as the library rounds.

    Returns:
        (F, crops, C, height, width).
    """
    spare_height, spare_width = frames.shape[-2] - size[0], frames.shape[-1] - size[1]
    top, left = centre(spare_height), centre(spare_width)
    if crops == 1:
        places = [(top, left)]
    elif spare_height > spare_width:
        places = [(0, left), (top, left), (spare_height, left)]
    else:
        places = [(top, 0), (top, left), (top, spare_width)]
    return torch.stack([frames[..., y : y + size[0], x : x + size[1]] for y, x in places], dim=1)


def _action_names(names: dict[int, str], config_file: Path) -> tuple[str, ...]:
    actions = tuple(names.get(index, "") for index in range(len(names)))
    if not all(actions) or all(re.fullmatch(r"LABEL_\d+", name) for name in actions):
        raise EncoderUnavailableError(
            f"{config_file} does not name its classes; expected the names of the actions under id2label"
        )
    return actions


def _short_side(processor: Any) -> int:
    size = processor.size if processor.do_resize else processor.crop_size
    return int(size.shortest_edge or min(size.height, size.width))


def _digest(described: object) -> str:
    return hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest()[:8]


def _does_not_fit(file: Path, architecture: str, got: str) -> EncoderUnavailableError:
    return EncoderUnavailableError(
        f"the checkpoint {file} does not load into {architecture}; got: {got}; expected: the weights of "
        "this architecture. Name the one that it was trained with, or fetch it again"
    )

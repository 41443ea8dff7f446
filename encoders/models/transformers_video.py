"""transformers' video networks, for other classes: VideoMAE, V-JEPA 2, and its TimeSformer and ViViT.

    clip (B, 3, T, H, W) --transformers' network without its classifier--> features (B, 1, D)
    --linear--> logits (B, C)

Tong et al. 2022, arXiv:2203.12602 (VideoMAE); Assran et al. 2025, arXiv:2506.09985 (V-JEPA 2); for the other
two see `timesformer.py` and `vivit.py`, which keep the papers' form. With all of a checkpoint's weights and
classes it says what transformers' own says.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from encoders.errors import EncoderUnavailableError
from encoders.models.base import ModelInfo, VideoModel, check_clip
from encoders.models.torchvision_video import Renormalise, check_new_layers_only
from encoders.weights.digests import check_checkpoint
from encoders.weights.quiet import quiet_loading

SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "patch_size")
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
RULE = "the T and the size that it was built for: square, T divisible by its tubelet, the size by its patch"
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_PLAIN = ((0.45, 0.45, 0.45), (0.225, 0.225, 0.225))


@dataclass(frozen=True, slots=True)
class Family:
    """The names that transformers gives the parts of one kind of network.

    Attributes:
        config, model: Names of its classes.
        frames, size: Fields of T and of the size.
        mean, std: Of RGB in 0..1, as its processor normalises.
        unused: Parts that are of no use in classification, as a path of attributes.
    """

    config: str
    model: str
    frames: str
    size: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    unused: str | None = None


FAMILIES = {
    "videomae": Family(
        "VideoMAEConfig", "VideoMAEForVideoClassification", "num_frames", "image_size", *_IMAGENET
    ),
    "vjepa2": Family(
        "VJEPA2Config", "VJEPA2ForVideoClassification", "frames_per_clip", "crop_size", *_IMAGENET,
        unused="vjepa2.predictor",
    ),
    "timesformer": Family(
        "TimesformerConfig", "TimesformerForVideoClassification", "num_frames", "image_size", *_PLAIN
    ),
    "vivit": Family("VivitConfig", "VivitForVideoClassification", "num_frames", "image_size", *_HALF),
}  # fmt: skip


class TransformersVideo(VideoModel):
    """See the module.

    Args:
        num_classes: C.
        frames: T.
        size: Height and width in pixels.
        family: A key of `FAMILIES`.
        pretrained: A folder as transformers saves a model (config.json, model.safetensors), or "org/name" on
            the hub. The classifier comes along where it has C classes.
        dropout: Share of features dropped before the classifier, in training.
        config: Fields of the network's configuration, such as `hidden_size`.

    Raises:
        ValueError: T and size do not fit, there is no such field, or the weights are another network's.
        EncoderUnavailableError: The weights cannot be had or are damaged.
    """

    def __init__(
        self,
        num_classes: int,
        frames: int,
        size: int,
        *,
        family: str,
        pretrained: str | None = None,
        dropout: float = 0.0,
        **config: Any,
    ) -> None:
        super().__init__()
        with quiet_loading():
            import transformers

        names = FAMILIES[family]
        config_class, model_class = getattr(transformers, names.config), getattr(transformers, names.model)
        known = config_class()
        if unknown := [name for name in config if not hasattr(known, name)]:
            raise ValueError(f"{family} has no field {unknown[0]!r}; see transformers' {names.config}")
        if isinstance(known.to_dict().get("tubelet_size"), list) and "tubelet_size" in config:
            config["tubelet_size"] = list(config["tubelet_size"])
        described = config_class(
            **{**config, names.frames: frames, names.size: size, "num_labels": num_classes}
        )
        self.built_for = (frames, size, size)
        self.tubelet, self.patch = _pieces(described)
        self._check(frames, size, size)
        state = None if pretrained is None else _pretrained_state(pretrained, family, described)
        if state is None:
            network = model_class(described)
        else:
            from encoders.backbones.kinetics_backbones import fill_transformers

            with quiet_loading():
                network, lacking = fill_transformers(model_class, described, state)
            check_new_layers_only(lacking, str(pretrained), ("classifier", "fc_norm"))
            network.train()
        if names.unused is not None:
            owner, _, part = names.unused.rpartition(".")
            setattr(network.get_submodule(owner), part, nn.Identity())
        self.classifier, network.classifier = network.classifier, nn.Identity()
        self.network = network
        self.feature_dim = self.classifier.in_features
        self.dropout = nn.Dropout(dropout)
        self.normalise = Renormalise(names.mean, names.std)

    def forward_features(self, clip: Tensor, flow: Tensor | None = None) -> Tensor:
        """Clip (B, 3, T, H, W) -> what the classifier is given, (B, 1, D)."""
        self._check(*clip.shape[2:])
        frames = self.normalise(clip).transpose(1, 2)
        return self.network(**{self.network.main_input_name: frames}).logits.unsqueeze(1)

    def forward_head(self, features: Tensor) -> Tensor:
        """(B, 1, D) -> (B, C)."""
        return self.classifier(self.dropout(features.mean(dim=1)))

    def _check(self, frames: int, height: int, width: int) -> None:
        fits = (frames, height, width) == self.built_for and frames >= self.tubelet and height >= self.patch
        check_clip(fits and not (frames % self.tubelet or height % self.patch), frames, height, width, RULE)


def _pieces(config: Any) -> tuple[int, int]:
    """Frames of a tubelet, pixels of a patch."""
    tubelet = getattr(config, "tubelet_size", 1)
    if isinstance(tubelet, list | tuple):  # ViViT's: time, height, width
        return int(tubelet[0]), int(tubelet[1])
    return int(tubelet), int(config.patch_size)


def _pretrained_state(pretrained: str, family: str, described: Any) -> dict[str, Tensor]:
    """Weights out of a folder or from the hub, whose configuration must be that of the network."""
    from encoders.weights.digests import read_model_config
    from encoders.weights.hub import cached_or_downloaded
    from encoders.weights.state_dicts import read_state_dict

    folder = Path(pretrained).expanduser()
    if folder.is_dir():
        file = next((folder / name for name in WEIGHTS if (folder / name).is_file()), folder / WEIGHTS[0])
        config_file = folder / "config.json"
    else:
        otherwise = "or give the folder of a model that transformers saved"
        if pretrained.count("/") != 1:
            raise EncoderUnavailableError(
                f"there is no folder {pretrained}; {otherwise[3:]}, or org/name of the hub"
            )
        config_file = cached_or_downloaded(pretrained, ("config.json",), "the configuration of", otherwise)
        file = cached_or_downloaded(pretrained, WEIGHTS, "the weights", otherwise)
    content = read_model_config(config_file)
    if content.get("model_type") != family:
        raise ValueError(f"{pretrained} is a {content.get('model_type')!r}; expected a {family!r}")
    for name in SIZES:
        wanted, own = content.get(name), getattr(described, name, None)
        if wanted is not None and own is not None and wanted != own:
            raise ValueError(
                f"{pretrained} has the {name} {wanted}, and the model asked for {own}; set it in "
                "[model_options]"
            )
    return read_state_dict(check_checkpoint(file))


def _info(
    name: str, family: str, paper: str, frames: int, size: int, stride: int, **config: Any
) -> ModelInfo:
    return ModelInfo(
        name, partial(TransformersVideo, family=family, **config), paper, frames, size, stride, RULE
    )


_LARGE: dict[str, Any] = {
    "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096,
}  # fmt: skip
_TINY: dict[str, Any] = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128,
    "patch_size": 8,
}  # fmt: skip
_VIDEOMAE, _VJEPA2 = "Tong et al. 2022, arXiv:2203.12602", "Assran et al. 2025, arXiv:2506.09985"
MODELS = (
    _info("videomae_b", "videomae", _VIDEOMAE, 16, 224, 4),
    _info("videomae_l", "videomae", _VIDEOMAE, 16, 224, 4, **_LARGE),
    _info("videomae_tiny", "videomae", _VIDEOMAE, 8, 32, 4, **_TINY),
    _info("vjepa2_l", "vjepa2", _VJEPA2, 16, 256, 4),
    _info(
        "vjepa2_tiny", "vjepa2", _VJEPA2, 8, 32, 4,
        **{key: value for key, value in _TINY.items() if key != "intermediate_size"},
        num_pooler_layers=1, pred_hidden_size=32, pred_num_hidden_layers=1, pred_num_attention_heads=2,
    ),
    _info("timesformer_hf_b", "timesformer", "Bertasius et al. 2021, arXiv:2102.05095", 8, 224, 32),
    _info("vivit_hf_b", "vivit", "Arnab et al. 2021, arXiv:2103.15691", 32, 224, 2),
)  # fmt: skip

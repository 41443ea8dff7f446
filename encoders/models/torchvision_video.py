"""torchvision's video networks, for other classes: R3D, MC3, R(2+1)D, S3D, MViT, Video Swin.

    clip (B, 3, T, H, W) --torchvision's network without its last layer--> features (B, 1, D)
    --linear--> logits (B, C)

Tran et al. 2018, arXiv:1711.11248 (R3D, MC3, R(2+1)D); Xie et al. 2018, arXiv:1712.04851 (S3D); Fan et al.
2021, arXiv:2104.11227 and Li et al. 2022, arXiv:2112.01526 (MViT); Liu et al. 2022, arXiv:2106.13230 (Video
Swin). With all of the Kinetics weights and their classes it says what torchvision's own says.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from encoders.blocks.trunks import image_weights
from encoders.errors import EncoderUnavailableError
from encoders.models.base import MEAN, STD, ModelInfo, VideoModel, check_clip

HEADS = ("fc", "classifier", "head")  # what the networks call their last layer
R3D_RULE = "any T of at least 1, and sizes of at least 16 pixels"
S3D_RULE = "any T of at least 14, and sizes of at least 224 pixels"
MVIT_RULE = "16 frames of 224 x 224 pixels"
SWIN_RULE = "any T of at least 2, and sizes of at least 32 pixels"
_LEAST = {R3D_RULE: (1, 16), S3D_RULE: (14, 224), MVIT_RULE: (16, 224), SWIN_RULE: (2, 32)}


class TorchvisionVideo(VideoModel):
    """See the module.

    Args:
        num_classes: C.
        frames: T.
        size: Height and width in pixels.
        network: torchvision's name.
        rule: Which T and sizes it takes.
        pretrained: Kinetics weights: a name of torchvision's ("R3D_18_Weights.KINETICS400_V1") or a file. The
            classifier comes along where it has C classes.
        dropout: Share of features dropped before the classifier, in training.

    Raises:
        ValueError: A T or size is not as stated, or the weights are another network's.
        EncoderUnavailableError: The weights cannot be had or are damaged.
    """

    def __init__(
        self,
        num_classes: int,
        frames: int,
        size: int,
        *,
        network: str,
        rule: str,
        pretrained: str | None = None,
        dropout: float = 0.0,
    ) -> None:
        from torchvision.models import get_model, get_model_weights

        super().__init__()
        self.rule = rule
        self._check(frames, size, size)
        self.network = get_model(network, weights=None, num_classes=num_classes)
        if pretrained is not None:
            _load(self.network, image_weights(pretrained, network), pretrained)
        name = next(name for name in HEADS if hasattr(self.network, name))
        last = _last_layer(getattr(self.network, name))
        setattr(self.network, name, nn.Identity())
        self.feature_dim = last.weight.shape[1]
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(self.feature_dim, num_classes)
        self.classifier.weight.data = last.weight.data.reshape(
            num_classes, -1
        )  # S3D's is a 1x1x1 convolution
        assert last.bias is not None
        self.classifier.bias.data = last.bias.data
        transforms = get_model_weights(network)["KINETICS400_V1"].transforms()
        self.normalise = Renormalise(transforms.mean, transforms.std)

    def forward_features(self, clip: Tensor, flow: Tensor | None = None) -> Tensor:
        """Clip (B, 3, T, H, W) -> what the last layer is given, (B, 1, D)."""
        self._check(*clip.shape[2:])
        return self.network(self.normalise(clip)).unsqueeze(1)

    def forward_head(self, features: Tensor) -> Tensor:
        """(B, 1, D) -> (B, C)."""
        return self.classifier(self.dropout(features.mean(dim=1)))

    def _check(self, frames: int, height: int, width: int) -> None:
        shortest, smallest = _LEAST[self.rule]
        fits = frames >= shortest and min(height, width) >= smallest
        if self.rule == MVIT_RULE:
            fits = (frames, height, width) == (16, 224, 224)
        check_clip(fits, frames, height, width, self.rule)


class Renormalise(nn.Module):
    """Clips normalised as all models here get them -> as a library's weights know them.

    Args:
        mean, std: Of RGB in 0..1, the library's.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, mean: Any, std: Any) -> None:
        super().__init__()
        own_mean, own_std, mean, std = (
            torch.tensor(values).view(3, 1, 1, 1) for values in (MEAN, STD, mean, std)
        )
        self.register_buffer("scale", own_std / std, persistent=False)
        self.register_buffer("shift", (own_mean - mean) / std, persistent=False)

    def forward(self, clip: Tensor) -> Tensor:
        return clip * self.scale + self.shift


def _last_layer(head: nn.Module) -> nn.Linear | nn.Conv3d:
    *_, last = (layer for layer in head.modules() if isinstance(layer, nn.Linear | nn.Conv3d))
    return last


def _load(network: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Fills the network; a last layer for other classes keeps its random weights."""
    own = network.state_dict()
    found = {key: value for key, value in state.items() if key in own and value.shape == own[key].shape}
    check_new_layers_only([key for key in own if key not in found], source, HEADS)
    network.load_state_dict({**own, **found}, strict=True)


def check_new_layers_only(lacking: Sequence[str], source: str, new: tuple[str, ...]) -> None:
    """Checks that weights lack only layers that may begin at random.

    Args:
        lacking: Names of tensors that are missing or of another shape.
        source: Of the weights.
        new: First parts of the names of layers that may be new.

    Raises:
        EncoderUnavailableError: More is lacking.
    """
    wrong = sorted(key for key in lacking if key.split(".")[0] not in new)
    if wrong:
        raise EncoderUnavailableError(
            f"the weights {source} do not fit: {len(wrong)} tensors are missing or of another shape, such as "
            f"{wrong[0]}; check T, the size and the model's options, or name weights of this network"
        )


def _infos(paper: str, rule: str, frames: int, size: int, stride: int, *names: str) -> tuple[ModelInfo, ...]:
    return tuple(
        ModelInfo(name, partial(TorchvisionVideo, network=name, rule=rule), paper, frames, size, stride, rule)
        for name in names
    )


MODELS = (
    *_infos("Tran et al. 2018, arXiv:1711.11248", R3D_RULE, 16, 112, 2, "r3d_18", "mc3_18", "r2plus1d_18"),
    *_infos("Xie et al. 2018, arXiv:1712.04851", S3D_RULE, 128, 224, 2, "s3d"),
    *_infos("Fan et al. 2021, arXiv:2104.11227", MVIT_RULE, 16, 224, 4, "mvit_v1_b"),
    *_infos("Li et al. 2022, arXiv:2112.01526", MVIT_RULE, 16, 224, 4, "mvit_v2_s"),
    *_infos("Liu et al. 2022, arXiv:2106.13230", SWIN_RULE, 32, 224, 2, "swin3d_t", "swin3d_s", "swin3d_b"),
)

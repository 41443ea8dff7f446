"""I3D: an inflated ResNet, and its two streams (Carreira & Zisserman 2017, arXiv:1705.07750).

How a 2D network is inflated, and which of its layers, is said in `encoders.blocks.inflation`. Time is
halved once, by a max pooling after res2. Shapes, for ResNet-50 and a clip (B, 3, T, H, W):

    stem  5x7x7, stride 1x2x2; max pooling 1x3x3, stride 1x2x2   (B, 64, T, H/4, W/4)
    res2                                                         (B, 256, T, H/4, W/4)
    max pooling 2x1x1, stride 2x1x1                              (B, 256, T/2, H/4, W/4)
    res3                                                         (B, 512, T/2, H/8, W/8)
    res4                                                         (B, 1024, T/2, H/16, W/16)
    res5                                                         (B, 2048, T/2, H/32, W/32)
    mean over places                                             (B, T/2, 2048)

Learned weights are what is inflated. Without any (`pretrained` is None), kernels that span several
frames are drawn at random over all of them: one that is the same at every frame cannot tell forwards
from backwards until training has pulled its frames apart, and takes several times as long to learn
motion.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from encoders.blocks.inflation import InflatedConv, inflate_resnet, make_resnet
from encoders.models.base import ModelInfo, VideoModel, check_clip, check_flow, make_pool

FUSIONS = ("scores", "logits")
SMALLEST = 32  # pixels: the network halves the size five times
FRAME_RULE = "2 or more frames, at least 32 pixels high and wide"


def _draw(network: nn.Module) -> None:
    """Random kernels that are another at each frame, where they span several (He et al. 2015,
    arXiv:1502.01852)."""
    for module in network.modules():
        if isinstance(module, InflatedConv) and module.kernel_size[0] > 1:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class I3D(VideoModel):
    """One stream: a ResNet, inflated.

    Args:
        num_classes: C.
        frames: T that it will see; any other that fits the rule is taken too.
        size: Height and width that it will see, likewise.
        resnet: One of torchvision's, such as "resnet50", or "small".
        pretrained: ImageNet weights for it: a name of torchvision's or a file.
        in_channels: 3 for frames, 2 for flow.
        width: Channels of the small network's first stage.
        depth: Blocks in each stage of the small network.
        time_padding: "replicate" or "zeros", see `encoders.blocks.inflation`.
        pooling: Over time: "mean" (the paper's), "max" or "attention".
        dropout: Share of the pooled features that is dropped in training.

    Raises:
        ValueError: An option or a T or size that it does not take.
        EncoderUnavailableError: The weights cannot be had.
    """

    def __init__(
        self,
        num_classes: int,
        frames: int = 8,
        size: int = 224,
        *,
        resnet: str = "resnet50",
        pretrained: str | None = None,
        in_channels: int = 3,
        width: int = 16,
        depth: int = 1,
        time_padding: str = "replicate",
        pooling: str = "mean",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        _check(frames, size, size)
        flat = make_resnet(resnet, in_channels, pretrained, width, depth)
        network = inflate_resnet(flat, time_padding=time_padding)
        if pretrained is None:
            _draw(network)
        self.stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
        self.res2 = network.layer1
        self.time_pool = nn.MaxPool3d((2, 1, 1))
        self.res3 = network.layer2
        self.res4 = network.layer3
        self.res5 = network.layer4
        self.feature_dim = int(flat.inplanes)
        self.pool = make_pool(pooling, self.feature_dim)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(self.feature_dim, num_classes)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward_features(self, clip: Tensor, flow: Tensor | None = None) -> Tensor:
        """(B, C, T, H, W) -> (B, T // 2, D), see this file's docstring."""
        _check(*clip.shape[2:])
        maps = self.time_pool(self.res2(self.stem(clip)))
        maps = self.res5(self.res4(self.res3(maps)))
        return maps.mean(dim=(3, 4)).transpose(1, 2)

    def forward_head(self, features: Tensor) -> Tensor:
        return self.classifier(self.dropout(self.pool(features)))


class TwoStreamI3D(VideoModel):
    """An I3D over frames and one over optical flow; the scores of both are averaged.

    The flow stream sees the T - 1 fields as 2 channels, the last one twice, so that both streams have
    the same T. Its first layer takes what ImageNet weights know of colours averaged over the three.
    Features are those of both streams side by side: (B, T // 2, 2 * D), frames first.

    Args:
        num_classes: C.
        frames: T that it will see.
        size: Height and width that it will see.
        fusion: "scores": the logits are the logarithm of the mean of both streams' class probabilities,
            so that softmax gives that mean: "averaged their predictions" (the paper, section 2.4).
            "logits": their mean before the softmax, as the authors' published code adds them.
        resnet, pretrained, width, depth, time_padding, pooling, dropout: Of both streams, see `I3D`.

    Raises:
        ValueError: An option or a T or size that it does not take.
        EncoderUnavailableError: The weights cannot be had.
    """

    needs_flow = True

    def __init__(
        self,
        num_classes: int,
        frames: int = 32,
        size: int = 224,
        *,
        fusion: str = "scores",
        resnet: str = "resnet50",
        pretrained: str | None = None,
        width: int = 16,
        depth: int = 1,
        time_padding: str = "replicate",
        pooling: str = "mean",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if fusion not in FUSIONS:
            raise ValueError(f"there is no fusion {fusion!r}; expected one of {', '.join(FUSIONS)}")
        stream = partial(
            I3D,
            num_classes,
            frames,
            size,
            resnet=resnet,
            pretrained=pretrained,
            width=width,
            depth=depth,
            time_padding=time_padding,
            pooling=pooling,
            dropout=dropout,
        )
        self.rgb = stream(in_channels=3)
        self.motion = stream(in_channels=2)
        self.fusion = fusion
        self.feature_dim = self.rgb.feature_dim + self.motion.feature_dim

    def forward_features(self, clip: Tensor, flow: Tensor | None = None) -> Tensor:
        """Clip (B, 3, T, H, W) and flow (B, 2, T - 1, H, W) -> (B, T // 2, 2 * D), frames first."""
        _check(*clip.shape[2:])
        fields = check_flow(clip, flow)
        fields = torch.cat([fields, fields[:, :, -1:]], dim=2)
        return torch.cat([self.rgb.forward_features(clip), self.motion.forward_features(fields)], dim=2)

    def forward_head(self, features: Tensor) -> Tensor:
        rgb, motion = features.split([self.rgb.feature_dim, self.motion.feature_dim], dim=2)
        logits = torch.stack([self.rgb.forward_head(rgb), self.motion.forward_head(motion)])
        if self.fusion == "logits":
            return logits.mean(dim=0)
        return logits.log_softmax(dim=2).logsumexp(dim=0) - math.log(len(logits))


def _check(frames: int, height: int, width: int) -> None:
    check_clip(frames >= 2 and min(height, width) >= SMALLEST, frames, height, width, FRAME_RULE)


_PAPER = "Carreira & Zisserman 2017, arXiv:1705.07750"
_SMALL: dict[str, Any] = {"resnet": "small", "width": 16, "depth": 1, "dropout": 0.0}

MODELS: tuple[ModelInfo, ...] = (
    ModelInfo("i3d_r50", I3D, _PAPER, frames=8, size=224, stride=8, frame_rule=FRAME_RULE),
    ModelInfo("i3d_tiny", partial(I3D, **_SMALL), _PAPER, frames=8, size=32, stride=4, frame_rule=FRAME_RULE),
    # Flow wants frames that lie close together.
    ModelInfo(
        "i3d_r50_two_stream",
        TwoStreamI3D,
        _PAPER,
        frames=32,
        size=224,
        stride=2,
        frame_rule=FRAME_RULE,
        needs_flow=True,
    ),
    ModelInfo(
        "i3d_two_stream_tiny",
        partial(TwoStreamI3D, **_SMALL),
        _PAPER,
        frames=8,
        size=32,
        stride=4,
        frame_rule=FRAME_RULE,
        needs_flow=True,
    ),
)

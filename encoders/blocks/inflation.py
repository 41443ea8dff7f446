"""Inflation: 3D networks from 2D ones (Carreira & Zisserman 2017, arXiv:1705.07750, section 2.4).

A 2D kernel (k, k) becomes (t, k, k): its weights are repeated t times over time and divided by t, so
that on a still, a clip of one frame repeated, the 3D network computes what the 2D network computes on
that frame (the paper's "boring-video fixed point").

That holds as far as every kernel sees t times the same. Where a clip is padded with zeros in time, as
the published networks do, the first and last steps see less, and in a deep network their deviation
spreads: in the inflated ResNet-50 of `encoders.models.i3d` no step of 8 frames is clear of it. Here
the first and the last frame are repeated instead (`time_padding="replicate"`), and the fixed point
holds at every step of every T. `time_padding="zeros"` is the published form, for weights that were
trained with it.

Which layers span several frames follows the ResNet form of the same idea, "I3D 3x1x1" of the non-local
paper (Wang et al. 2018, arXiv:1711.07971, section 4.1), as the baselines of SlowFast (Feichtenhofer et
al. 2019, arXiv:1812.03982) are built: the stem spans 5; the first convolution of a residual block spans
3, in every block of res2, in every second one of res3 and res4 from the first on, and of res5 from the
second on. Every other kernel spans 1.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from encoders.blocks.trunks import ResNetTrunk

if TYPE_CHECKING:
    from torchvision.models import ResNet

STEM_KERNEL = 5
STAGE_KERNELS = ((3,), (3, 1), (3, 1), (1, 3))  # of the blocks of res2 to res5, in turn
TIME_PADDINGS = ("replicate", "zeros")
_FLAT_ALIKE = (nn.ReLU, nn.Identity, nn.GroupNorm, nn.SyncBatchNorm, nn.Linear)  # take any dimensions


class InflatedConv(nn.Conv3d):
    """A 2D convolution that spans `time_kernel` frames: (B, C, T, H, W) -> (B, C', T, H', W').

    On a still it computes what the 2D convolution computes, for `time_padding` "replicate" at every
    step, for "zeros" at all but the first and last `time_kernel // 2`.
    """

    def __init__(self, flat: nn.Conv2d, time_kernel: int, time_padding: str = "replicate") -> None:
        if time_kernel < 1 or time_kernel % 2 == 0:
            raise ValueError(f"a kernel spans an odd number of frames, got {time_kernel}")
        if time_padding not in TIME_PADDINGS:
            raise ValueError(
                f"there is no padding {time_padding!r} in time; expected one of {', '.join(TIME_PADDINGS)}"
            )
        reach = time_kernel // 2
        super().__init__(
            flat.in_channels,
            flat.out_channels,
            (time_kernel, *_pair(flat.kernel_size)),
            stride=(1, *_pair(flat.stride)),
            padding=(reach if time_padding == "zeros" else 0, *_pair(flat.padding)),
            dilation=(1, *_pair(flat.dilation)),
            groups=flat.groups,
            bias=flat.bias is not None,
            device=flat.weight.device,
            dtype=flat.weight.dtype,
        )
        self.repeats = reach if time_padding == "replicate" else 0
        with torch.no_grad():
            self.weight.copy_(flat.weight.unsqueeze(2).expand_as(self.weight) / time_kernel)
            if self.bias is not None and flat.bias is not None:
                self.bias.copy_(flat.bias)

    def forward(self, clip: Tensor) -> Tensor:
        if self.repeats:
            # torch's own replication has no deterministic gradient on a GPU.
            first, last = clip[:, :, :1], clip[:, :, -1:]
            sides = (-1, -1, self.repeats, -1, -1)
            clip = torch.cat([first.expand(sides), clip, last.expand(sides)], dim=2)
        return super().forward(clip)


def inflate_resnet(
    network: ResNet,
    *,
    stem_kernel: int = STEM_KERNEL,
    stage_kernels: Sequence[Sequence[int]] = STAGE_KERNELS,
    time_padding: str = "replicate",
) -> ResNet:
    """Any of torchvision's 2D ResNets as a 3D network with the same weights.

    Args:
        network: From images (B, C, H, W); left as it is.
        stem_kernel: Frames that the first convolution spans, odd.
        stage_kernels: For each of the four stages, frames that the first convolution of its blocks
            spans, repeated over the blocks; odd.
        time_padding: "replicate" or "zeros", see the module.

    Returns:
        A ResNet from clips (B, C, T, H, W), with no stride in time, to what the 2D network gives.

    Raises:
        ValueError: An even kernel, no such padding, or a layer of which there is no 3D form here.
    """
    kernels = {"conv1": stem_kernel}
    for stage, pattern in enumerate(stage_kernels, start=1):
        for block in range(len(network.get_submodule(f"layer{stage}"))):
            kernels[f"layer{stage}.{block}.conv1"] = pattern[block % len(pattern)]
    inflated = copy.deepcopy(network)
    for name, layer in list(inflated.named_modules()):
        if next(layer.children(), None) is None:
            inflated.set_submodule(name, _inflate(layer, kernels.get(name, 1), time_padding))
    return inflated


def _inflate(layer: nn.Module, time_kernel: int, time_padding: str) -> nn.Module:
    """One layer for clips; spans a single frame unless it is a convolution of more."""
    if isinstance(layer, nn.Conv2d):
        return InflatedConv(layer, time_kernel, time_padding)
    if isinstance(layer, nn.BatchNorm2d):
        norm = nn.BatchNorm3d(
            layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats
        )
        norm.to(next(iter(layer.state_dict().values()), torch.empty(0)).device)
        norm.load_state_dict(layer.state_dict())
        return norm.train(layer.training)
    if isinstance(layer, nn.MaxPool2d):
        spread = [_pair(value) for value in (layer.kernel_size, layer.stride, layer.padding, layer.dilation)]
        kernel, stride, padding, dilation = spread
        return nn.MaxPool3d((1, *kernel), (1, *stride), (0, *padding), (1, *dilation), False, layer.ceil_mode)
    if isinstance(layer, nn.AdaptiveAvgPool2d):
        return nn.AdaptiveAvgPool3d((1, *_pair(layer.output_size)))
    if isinstance(layer, _FLAT_ALIKE):
        return layer
    raise ValueError(
        f"there is no way to inflate the layer {type(layer).__name__}; use torchvision's BatchNorm2d"
    )


def _pair(value: Any) -> tuple[int, int]:
    """Height and width, as torch takes them: one number for both, or one for each."""
    height, width = (value, value) if isinstance(value, int) else value
    return int(height), int(width)


def resnet_names() -> list[str]:
    """torchvision's ResNets: resnet18, ..., resnext50_32x4d, ..., wide_resnet101_2."""
    from torchvision.models import get_model_builder, list_models

    return [
        name for name in list_models() if get_model_builder(name).__module__ == "torchvision.models.resnet"
    ]


def make_resnet(
    name: str, in_channels: int = 3, pretrained: str | None = None, width: int = 16, depth: int = 1
) -> ResNet:
    """A 2D ResNet to inflate.

    Args:
        name: One of torchvision's, or "small" for basic blocks of few channels.
        in_channels: Channels of an image; other than 3 as `encoders.blocks.trunks.make_trunk` does it.
        pretrained: ImageNet weights: a name of torchvision's or a file.
        width: Channels of the small network's first stage; each stage doubles them.
        depth: Blocks in each of the small network's four stages.

    Raises:
        ValueError: No such network, or weights of another one.
        EncoderUnavailableError: The weights cannot be had or are damaged.
    """
    if name == "small":
        if pretrained is not None:
            raise ValueError("there are no ImageNet weights for the ResNet 'small'; use resnet18 or resnet50")
        return _small_resnet(in_channels, width, depth)
    if name not in resnet_names():
        raise ValueError(
            f"torchvision has no ResNet {name!r}; expected small or one of {', '.join(resnet_names())}"
        )
    return ResNetTrunk(name, in_channels, pretrained).network


def _small_resnet(in_channels: int, width: int, depth: int) -> ResNet:
    """torchvision's ResNet fixes its widths; here its stages are made again, narrower."""
    from torchvision.models.resnet import BasicBlock, ResNet

    if width < 1 or depth < 1:
        raise ValueError(
            f"the ResNet 'small' needs a width and a depth of 1 or more, got {width} and {depth}"
        )
    network = ResNet(BasicBlock, [1, 1, 1, 1])
    network.inplanes = width
    network.conv1 = nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=False)
    network.bn1 = nn.BatchNorm2d(width)
    for stage in range(4):
        layer = network._make_layer(BasicBlock, width * 2**stage, depth, stride=1 if stage == 0 else 2)
        network.set_submodule(f"layer{stage + 1}", layer)
    network.fc = nn.Linear(network.inplanes, 1)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network

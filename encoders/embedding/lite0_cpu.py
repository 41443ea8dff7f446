"""EfficientNet-Lite0 on the CPU, without torch: as an ONNX graph."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from encoders.embedding.lite0 import SIDE, FoldedLayer, Lite0Weights, quarters
from encoders.embedding.preprocessing import squash
from encoders.engine.graph import Graph
from encoders.engine.network import CpuNetwork
from encoders.errors import EncoderError
from encoders.weights.device import map_over_cores

CELL = 32  # of the last layer, in pixels
# What torch makes of `known_frame` in double precision: `digest_outputs`.
KNOWN_DIGEST = (-0.247269, -0.657578, -0.564398, -0.928915, -0.329114, -0.35872)
TOLERANCE = 1e-4


class CpuLite0:
    """The network on the CPU, one frame at a time on each core.

    Args:
        weights: Those of the package.

    Raises:
        EncoderError: The engine cannot run it here, or does not give what torch gives.
    """

    def __init__(self, weights: Lite0Weights) -> None:
        self._network = CpuNetwork(lite0_graph(weights))
        off = np.abs(digest_outputs(*self(known_frame())) - KNOWN_DIGEST).max()
        if not off <= TOLERANCE:
            raise EncoderError(f"ONNX Runtime computes wrongly on this processor: off by {off:.1e}")

    def __call__(self, frames: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean activations and logits; see `encoders.embedding.lite0`."""
        found = map_over_cores(lambda frame: self._network(squash(frame, SIDE)[None]), list(frames))
        visual, logits = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return visual, logits


def known_frame() -> NDArray[np.uint8]:
    """A frame of edges, curves and colours, as whole numbers make it: uint8 (1, 224, 224, 3)."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return np.stack([rows * columns // 97, rows ^ columns, rows + columns], axis=2).astype(np.uint8)[None]


def digest_outputs(visual: NDArray[np.floating], logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """What the network makes of one frame in few numbers: float64 (6,).

    They are components of the activations and of the five rows of logits along a fixed direction: where each
    of a row's numbers is off by e, at random, its component is off by about e.
    """
    rows = [visual[0], *logits[0]]
    directions = [np.cos(np.arange(len(row))) for row in rows]
    return np.array([row @ way / np.linalg.norm(way) for row, way in zip(rows, directions, strict=True)])


def lite0_graph(weights: Lite0Weights) -> bytes:
    """The network as the content of an ONNX file.

    A frame uint8 (1, 224, 224, 3) becomes float32 (1, 1280) and float32 (1, 5, 1000), as `Lite0` gives them.
    """
    graph = Graph()
    images = graph.add("Cast", graph.add_input("frame", "uint8", (1, SIDE, SIDE, 3)), to=1)
    images = graph.add("Transpose", images, perm=(0, 3, 1, 2))
    images = graph.add("Mul", images, graph.add_array(2.0 / 255.0))
    images = graph.add("Sub", images, graph.add_array(1.0))
    limits = graph.add_array(0.0), graph.add_array(6.0)
    for layers, residual in weights.blocks:
        before = images
        for folded in layers:
            images = _add_layer(graph, folded, images)
            if folded.layer.clamped:
                images = graph.add("Clip", images, *limits)
        if residual:
            images = graph.add("Add", images, before)
    features = graph.add("GlobalAveragePool", images)
    means = graph.add("Concat", features, *_add_quarters(graph, images), axis=3)
    rows = graph.add("Transpose", graph.add("Squeeze", means, graph.add_array(np.array([2]))), perm=(0, 2, 1))
    matrix, bias = weights.classifier
    products = graph.add("MatMul", rows, graph.add_array(np.ascontiguousarray(matrix.T)))
    logits = graph.add("Add", products, graph.add_array(bias))
    return graph.to_bytes([graph.add("Flatten", features, axis=1), logits])


def _add_layer(graph: Graph, folded: FoldedLayer, images: str) -> str:
    layer = folded.layer
    last = layer.kernel // 2
    first = last if layer.stride == 1 else last - 1  # see `FoldedLayer`
    return graph.add(
        "Conv",
        images,
        graph.add_array(folded.weight),
        graph.add_array(folded.bias),
        group=layer.channels_in if layer.depthwise else 1,
        pads=(first, first, last, last),
        strides=(layer.stride, layer.stride),
    )


def _add_quarters(graph: Graph, images: str) -> list[str]:
    """Means of the quarters of the last layer, (1, 1280, 1, 1) each."""
    axes = graph.add_array(np.array([2, 3]))
    means = []
    for rows, columns in quarters(SIDE // CELL):
        starts = graph.add_array(np.array([rows.start, columns.start]))
        stops = graph.add_array(np.array([rows.stop, columns.stop]))
        means.append(graph.add("GlobalAveragePool", graph.add("Slice", images, starts, stops, axes)))
    return means

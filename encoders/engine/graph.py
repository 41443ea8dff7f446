"""ONNX graphs, written as the format says: one message of protocol buffers.

A network whose weights are at hand becomes a graph in some hundredths of a second, with neither torch, whose
exporter needs two packages more, nor a file to keep. What is written here is little: nodes with numbers as
attributes, and arrays. Format and numbers of fields: onnx/onnx.proto3 of the ONNX project, version 1.23
(`ModelProto` and below); wire format: the encoding guide of protocol buffers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

IR_VERSION = 8  # of the format, ONNX 1.10
OPERATOR_SET = 17  # of the operators' meanings, ONNX 1.12
ELEMENT_TYPES = {"float32": 1, "uint8": 2, "int64": 7}
_INT, _INTS = 2, 7  # kinds of attributes

Parts = list[bytes]  # of a message: joined once, at the end, since weights are large


class Graph:
    """A graph under construction; values are known by their names.

    Example:
        >>> graph = Graph()
        >>> pixels = graph.add_input("pixels", "float32", (1, 3, 224, 224))
        >>> means = graph.add("GlobalAveragePool", pixels)
        >>> content = graph.to_bytes([means])
    """

    def __init__(self) -> None:
        self._nodes: Parts = []
        self._arrays: Parts = []
        self._array_count = 0
        self._inputs: Parts = []

    def add_input(self, name: str, element_type: str, shape: Sequence[int]) -> str:
        """Adds what the graph is given when it runs; returns its name."""
        dims = [part for length in shape for part in _message(1, _number(1, length))]
        tensor = _number(1, ELEMENT_TYPES[element_type]) + _message(2, dims)
        self._inputs += _message(11, _text(1, name) + _message(2, _message(1, tensor)))
        return name

    def add_array(self, values: NDArray[np.generic] | float) -> str:
        """Adds a constant: float32, uint8 or int64, a plain number as float32; returns its name."""
        array = np.asarray(values, dtype=np.float32 if isinstance(values, float) else None)
        name = f"array{self._array_count}"
        self._array_count += 1
        dims = [part for length in array.shape for part in _number(1, length)]
        element_type = _number(2, ELEMENT_TYPES[array.dtype.name])
        content = [array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()]
        self._arrays += _message(5, dims + element_type + _text(8, name) + _message(9, content))
        return name

    def add(self, operator: str, *inputs: str, **attributes: int | Sequence[int]) -> str:
        """Adds an operator of ONNX; returns the name of its output."""
        output = f"{operator}{len(self._nodes)}"
        node = [part for name in inputs for part in _text(1, name)]
        node += _text(2, output) + _text(4, operator)
        for name, value in attributes.items():
            node += _message(5, _attribute(name, value))
        self._nodes += _message(1, node)
        return output

    def to_bytes(self, outputs: Sequence[str]) -> bytes:
        """The graph as the content of an ONNX file; `outputs` are what a run gives back, in order."""
        graph = self._nodes + _text(2, "graph") + self._arrays + self._inputs
        for name in outputs:
            graph += _message(12, _text(1, name))
        operators = _message(8, _number(2, OPERATOR_SET))
        return b"".join(_number(1, IR_VERSION) + _message(7, graph) + operators)


def _attribute(name: str, value: int | Sequence[int]) -> Parts:
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, _INT)
    numbers = [part for number in value for part in _number(8, number)]
    return _text(1, name) + numbers + _number(20, _INTS)


def _number(field: int, value: int) -> Parts:
    """A field that holds a whole number."""
    return [_varint(field << 3) + _varint(value)]


def _text(field: int, text: str) -> Parts:
    return _message(field, [text.encode()])


def _message(field: int, content: Parts) -> Parts:
    """A field that holds bytes or another message."""
    return [_varint(field << 3 | 2) + _varint(sum(map(len, content))), *content]


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; negative numbers as two's complement of 64 bits."""
    value &= (1 << 64) - 1
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)

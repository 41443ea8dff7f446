"""Networks run by ONNX Runtime on the CPU. This is the only module that imports it."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from encoders.errors import EncoderError
from encoders.weights.digests import first_line

# Published builds keep an identifier in the user's cache folder and send statistics to their maker, unless
# this is set before they are loaded ("Disabling Telemetry" in the package's Privacy.md).
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

ERRORS_ONLY = 3  # of the engine's levels: it would warn of graphics cards that it does not find


class CpuNetwork:
    """A network on one thread a call: calls from several threads share the cores and wait for nobody.

    Engines that spread one call over cores make their threads wait for each other after every layer. Frames
    are independent, so that as many calls as there are cores need no waiting at all; see `map_over_cores`.

    Args:
        graph: Content of an ONNX file.

    Raises:
        EncoderError: The engine cannot run it.
    """

    def __init__(self, graph: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = ERRORS_ONLY
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the engine raises a dozen kinds of its own
            raise EncoderError(f"ONNX Runtime cannot load the network: {first_line(error)}") from error
        self._inputs = [one.name for one in self._session.get_inputs()]

    def __call__(self, *inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        """Runs the network once; may be called from several threads at a time.

        Args:
            inputs: In the order of the graph, of its shapes and types.

        Raises:
            EncoderError: The engine gave up.
        """
        try:
            return self._session.run(None, dict(zip(self._inputs, inputs, strict=True)))
        except Exception as error:
            raise EncoderError(f"ONNX Runtime gave up: {first_line(error)}; try again") from error

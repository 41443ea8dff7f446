"""Checkpoints in torch's format of before 2020, read without torch and without running anything in them."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from encoders.errors import EncoderUnavailableError

MAGIC = 0x1950A86A20F9469CFC6C
STORAGE_TYPES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "LongStorage": "<i8"}


def read_pickled_tensors(content: bytes) -> dict[str, NDArray[Any]]:
    """The tensors of a state dict by name, as views into `content`.

    The file is a row of pickles (a magic number, the version, facts about the machine, the state dict, the
    keys of the stored arrays), then the arrays themselves, each behind its length.

    Raises:
        EncoderUnavailableError: Not such a file, damaged, or it holds anything beside tensors.
    """
    stream = io.BytesIO(content)
    try:
        if _TensorUnpickler(stream).load() != MAGIC:
            raise ValueError("the magic number is missing")
        for _ in range(2):
            _TensorUnpickler(stream).load()
        found = _TensorUnpickler(stream).load()
        arrays: dict[str, NDArray[Any]] = {}
        types = {key: type_name for type_name, key in (tensor.storage for tensor in found.values())}
        for key in _TensorUnpickler(stream).load():
            place = stream.tell()
            dtype, count = np.dtype(types[key]), int.from_bytes(content[place : place + 8], "little")
            arrays[key] = np.frombuffer(content, dtype, count, place + 8)
            stream.seek(place + 8 + count * dtype.itemsize)
        return {str(name): tensor.view(arrays[tensor.storage[1]]) for name, tensor in found.items()}
    except (
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        IndexError,
    ) as error:
        raise EncoderUnavailableError(
            f"the checkpoint cannot be read without torch: {error}; expected a state dict as "
            "torch.save wrote it before version 1.6"
        ) from error


@dataclass(frozen=True, slots=True)
class _StoredTensor:
    """A tensor before its numbers are read: which stored array, and which of its numbers, in which order.

    Attributes:
        storage: The array's type and key.
        first: Index of the tensor's first number in the array.
        shape: Of the tensor.
        strides: Steps along each axis, in numbers.
        requires_grad, hooks: What torch stores beside it.
    """

    storage: tuple[str, str]
    first: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    requires_grad: bool
    hooks: object

    def view(self, array: NDArray[Any]) -> NDArray[Any]:
        """The tensor as a view of the array. Raises ValueError where it reaches beyond it."""
        steps = list(zip(self.shape, self.strides, strict=True))
        last = self.first + sum((length - 1) * step for length, step in steps)
        if self.first < 0 or any(length < 1 or step < 0 for length, step in steps) or last >= len(array):
            raise ValueError(
                f"a tensor of shape {self.shape} and strides {self.strides} is outside its array"
            )
        strides = [step * array.itemsize for step in self.strides]
        return as_strided(array[self.first :], self.shape, strides, writeable=False)


class _TensorUnpickler(pickle.Unpickler):
    """Reads tensors and ordered dicts, and nothing else."""

    def find_class(self, module: str, name: str) -> Callable[..., Any] | str:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _StoredTensor
        if module == "torch" and name in STORAGE_TYPES:
            return STORAGE_TYPES[name]
        raise pickle.UnpicklingError(f"it holds {module}.{name} beside its tensors")

    def persistent_load(self, reference: tuple[Any, ...]) -> tuple[str, str]:
        kind, type_name, key = reference[:3]
        if kind != "storage":
            raise pickle.UnpicklingError(f"it holds a reference to a {kind!r}")
        return type_name, key

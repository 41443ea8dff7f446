"""The devices on which encoders run. Importing this module does not import torch."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from encoders.errors import EncoderUnavailableError

if TYPE_CHECKING:
    import torch

DEVICE_KINDS = ("auto", "cpu", "cuda", "mps")

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def check_device_name(name: str) -> None:
    """Refuses what can be no device, without importing torch.

    Raises:
        EncoderUnavailableError: `name` is not "auto", "cpu", "cuda", "cuda:N" or "mps".
    """
    kind, colon, index = name.partition(":")
    if kind not in DEVICE_KINDS or (colon and (kind != "cuda" or not index.isdecimal())):
        raise EncoderUnavailableError(
            f"no device is called {name!r}; expected auto, cpu, cuda, cuda:N (N = 0, 1, ...) or mps"
        )


def choose_device(name: str = "auto") -> torch.device:
    """The torch device for a name.

    Args:
        name: "auto" (CUDA, else Apple MPS, else CPU), "cpu", "cuda", "cuda:N" or "mps".

    Raises:
        EncoderUnavailableError: The device does not exist here; the message names those that do.
    """
    check_device_name(name)
    import torch

    cuda_count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    has_mps = torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda:0" if cuda_count else "mps" if has_mps else "cpu")
    device = torch.device(name)
    if device.type == "cuda":
        device = torch.device("cuda", device.index or 0)
        missing = (device.index or 0) >= cuda_count
    else:
        missing = device.type == "mps" and not has_mps
    if missing:
        present = [f"cuda:{index}" for index in range(cuda_count)] + ["mps"] * has_mps + ["cpu"]
        raise EncoderUnavailableError(
            f"the device {name} does not exist here; there is {', '.join(present)}. "
            "Choose one of these, or auto"
        )
    return device


def name_device(name: str = "auto") -> str:
    """The name of the device that `choose_device` gives; imports torch only where it is not surely the CPU.

    Raises:
        EncoderUnavailableError: The device does not exist here; the message names those that do.
    """
    check_device_name(name)
    if name == "cpu" or (name == "auto" and not _may_have_gpu()):
        return "cpu"
    return str(choose_device(name))


def _may_have_gpu() -> bool:
    """False where torch can find no graphics card: not Apple's, nor AMD's or NVIDIA's driver is there."""
    if sys.platform == "darwin" or Path("/dev/kfd").exists():
        return True
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def mixed_precision(device: torch.device, dtype: torch.dtype | None = None) -> AbstractContextManager[object]:
    """Half precision where it pays and is exact enough: on CUDA; elsewhere nothing changes.

    Args:
        device: Where the network runs.
        dtype: Half-precision type; by default bfloat16 where the GPU has it, else float16.
    """
    if device.type != "cuda":
        return nullcontext()
    import torch

    if dtype is None:
        dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.autocast("cuda", dtype=dtype)


def batch_frames(device: torch.device) -> int:
    """Frames encoded at a time: what keeps the device busy and the CPU's caches warm."""
    return {"cuda": 256, "mps": 32}.get(device.type, 16)


def frame_batches(count: int, device: torch.device) -> Iterator[slice]:
    """Stretches of so many frames, in order, each to be encoded at once.

    On the CPU each holds a power of two of frames: oneDNN compiles a network anew for every size of batch
    that it meets and keeps the code, 10 MiB for EfficientNet-Lite0. With all sizes from 1 to 16, a server's
    memory grew by 150 MiB before it was flat.
    """
    most, start = batch_frames(device), 0
    while start < count:
        size = min(most, count - start)
        if device.type == "cpu":
            size = 1 << (size.bit_length() - 1)
        yield slice(start, start + size)
        start += size


_is_sharing: ContextVar[bool] = ContextVar("is_sharing", default=False)


def core_count() -> int:
    """How many threads the caller may keep busy, 1 or more.

    As many as there are cores that this program may use, or as OMP_NUM_THREADS says; half of them inside
    `shared_cores`.
    """
    told = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if told.isdecimal() and int(told) > 0:
        cores = int(told)
    elif hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, cores // 2) if _is_sharing.get() else cores


def map_over_cores(work: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    """What `work` makes of each item, in order; several at a time, on as many threads as `core_count` says.

    Args:
        work: Lets other threads run meanwhile, as NumPy, Pillow and ONNX Runtime do.
        items: Any number.
    """
    threads = min(core_count(), len(items))
    if threads <= 1:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(work, items))


@contextmanager
def shared_cores(device: str) -> Iterator[None]:
    """Leaves half of the cores to whoever decodes meanwhile, in this thread, on a CPU.

    torch's threads, where it is loaded, wait for each other by spinning: as many of them as cores, beside
    decoders that want the same cores, made an ingest on two cores a third slower.

    Args:
        device: The encoder's device.
    """
    if not device.startswith("cpu"):
        yield
        return
    torch = sys.modules.get("torch")
    before = 0 if torch is None else torch.get_num_threads()
    token = _is_sharing.set(True)
    try:
        if torch is not None:
            torch.set_num_threads(max(1, before // 2))
        yield
    finally:
        _is_sharing.reset(token)
        if torch is not None:
            torch.set_num_threads(before)

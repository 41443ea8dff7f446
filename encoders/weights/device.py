"""The devices on which encoders run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from encoders.errors import EncoderUnavailableError

if TYPE_CHECKING:
    import torch

DEVICE_KINDS = ("auto", "cpu", "cuda", "mps")


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


@contextmanager
def shared_cores(device: str) -> Iterator[None]:
    """Leaves half of the cores to whoever decodes meanwhile, in this thread, on a CPU.

    torch's threads wait for each other by spinning: as many of them as cores, beside decoders that
    want the same cores, made an ingest on two cores a third slower.

    Args:
        device: The encoder's device.
    """
    if not device.startswith("cpu"):
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // 2))
    try:
        yield
    finally:
        torch.set_num_threads(before)

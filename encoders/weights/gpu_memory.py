"""Memory use of GPUs; asks only where torch is loaded already."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """Memory of one GPU in bytes: taken by this program's tensors, taken in all, and there is."""

    device: str
    allocated_bytes: int
    used_bytes: int
    total_bytes: int


def gpu_memory() -> list[GpuMemory]:
    """Memory of every CUDA GPU that this program uses. Never loads torch or starts CUDA."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not hasattr(torch, "cuda") or not torch.cuda.is_initialized():
        return []
    found = []
    for number in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(number)
        allocated = torch.cuda.memory_allocated(number)
        found.append(GpuMemory(f"cuda:{number}", allocated, total - free, total))
    return found

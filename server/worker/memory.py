"""What this process and its optimizer hold, measured: series of every job, in bytes."""

from __future__ import annotations

import platform
import re
from pathlib import Path

import psutil
import torch

from sm3.ledger.measure import state_bytes


def memory_series(optimizer: torch.optim.Optimizer, device: torch.device) -> dict[str, float]:
    """Returns the bytes of the optimizer's state, of this process, and on CUDA of torch's allocator.

    Reads only sizes: some microseconds a state tensor, nothing of the device is waited for.

    Returns:
        ``memory_state_bytes``, ``memory_rss_bytes`` and ``memory_peak_rss_bytes`` (where the system tells it); on CUDA
        also ``memory_cuda_allocated_bytes``, ``memory_cuda_peak_bytes`` and ``memory_cuda_reserved_bytes``.
    """
    found = {
        "memory_state_bytes": state_bytes(optimizer),
        "memory_rss_bytes": psutil.Process().memory_info().rss,
    }
    if (peak := peak_rss_bytes()) is not None:
        found["memory_peak_rss_bytes"] = peak
    if device.type == "cuda":
        found |= {
            "memory_cuda_allocated_bytes": torch.cuda.memory_allocated(device),
            "memory_cuda_peak_bytes": torch.cuda.max_memory_allocated(device),
            "memory_cuda_reserved_bytes": torch.cuda.memory_reserved(device),
        }
    return {series: float(value) for series, value in found.items()}


def peak_rss_bytes(status: Path = Path("/proc/self/status")) -> int | None:
    """Returns the most this process has had resident, or None where that is not told.

    On Linux `VmHWM`: `getrusage` there hands on the peak of the process that started this one.
    """
    if platform.system() == "Linux":
        found = re.search(r"^VmHWM:\s*(\d+) kB$", status.read_text(encoding="ascii"), re.MULTILINE)
        return int(found[1]) * 1024 if found else None
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS

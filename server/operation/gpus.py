"""The machine's GPUs, as the driver's own tool tells; the service itself never loads torch or CUDA."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

from sm3.remote.system_views import GpuView

_LIMIT_S = 3.0
_QUERY = "name,utilization.gpu,memory.used,memory.total"


def gpus() -> tuple[GpuView, ...] | None:
    """Returns every GPU, None where there is no ``nvidia-smi`` or it does not answer."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    command = [tool, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=True)
        return tuple(parse(told.stdout))
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def parse(told: str) -> Iterator[GpuView]:
    """Yields the GPUs that ``nvidia-smi`` tells, a line each; raises `ValueError` if it speaks otherwise.

    >>> [gpu.memory_used_bytes for gpu in parse("NVIDIA H100, 7, 512, 81559")]
    [536870912]
    """
    for line in filter(None, map(str.strip, told.splitlines())):
        name, share, used, total = (part.strip() for part in line.rsplit(",", 3))
        yield GpuView(
            name=name,
            used_share=float(share) / 100 if share.replace(".", "").isdigit() else None,
            memory_used_bytes=int(used) * 2**20,
            memory_total_bytes=int(total) * 2**20,
        )

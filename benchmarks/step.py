"""Time one optimizer step, side by side: every contender in turn, round after round, in one process.

    python -m benchmarks.step --json results.json

CPU time of the process, one thread unless told otherwise; medians over rounds, as ratios to fused AdamW and to
the traffic floor in the same run. All contenders share parameters and gradients, so each starts with them in
memory, not in the cache of its predecessor. Transient bytes are what resident memory rose by during a step.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import platform
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.contenders import CONTENDERS
from benchmarks.workloads import WORKLOADS


def main() -> None:
    """Parse the command line, run, print and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workloads", nargs="*", default=list(WORKLOADS), choices=list(WORKLOADS))
    parser.add_argument(
        "--only", nargs="*", default=[""], help="parts of contenders' names; floor and AdamW fused always run"
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    results = {
        "machine": machine(),
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "workloads": {w: run(w, arguments.only, arguments.rounds) for w in arguments.workloads},
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1, ensure_ascii=False))


def run(workload: str, only: list[str], rounds: int) -> dict[str, Any]:
    """Time every contender on one workload; returns rows by contender."""
    params = [torch.nn.Parameter(torch.randn(s) * 0.02) for s in WORKLOADS[workload]]
    for p in params:
        p.grad = torch.randn_like(p) * 0.01
    optimizers: dict[str, Any] = {}
    rows: dict[str, Any] = {}
    for contender in CONTENDERS:
        always = contender.name in {"floor p.add_(g)", "AdamW fused"}
        if not always and not any(part in contender.name for part in only):
            continue
        try:
            optimizer = contender.make(params)
        except ImportError as missing:
            print(f"{contender.name}: left out, {missing}")
            continue
        optimizer.step()
        optimizers[contender.name] = optimizer
        rows[contender.name] = {"family": contender.family, "transient_bytes": transient_bytes(optimizer)}
    times: dict[str, list[float]] = {name: [] for name in optimizers}
    for _ in range(rounds):
        for name, optimizer in optimizers.items():
            start = time.process_time()
            optimizer.step()
            times[name].append(time.process_time() - start)
    adamw, floor = median(times["AdamW fused"]), median(times["floor p.add_(g)"])
    print(f"\n{workload}: {sum(p.numel() for p in params):,} parameters in {len(params)} tensors")
    print(f"{'':34}{'ms':>9}{'× AdamW':>9}{'× floor':>9}{'state MB':>10}{'transient MiB':>14}")
    for name, row in rows.items():
        cpu_s = median(times[name])
        row |= {"cpu_ms": 1e3 * cpu_s, "to_adamw": cpu_s / adamw, "to_floor": cpu_s / floor}
        row["state_bytes"] = state_bytes(optimizers[name])
        print(
            f"{name:34}{row['cpu_ms']:9.2f}{row['to_adamw']:9.2f}{row['to_floor']:9.2f}"
            f"{row['state_bytes'] / 1e6:10.2f}{row['transient_bytes'] / 2**20:14.2f}"
        )
    return rows


def state_bytes(optimizer: Any) -> int:
    """Bytes of all tensors in the optimizer's state."""

    def nbytes(value: Any) -> int:
        if isinstance(value, torch.Tensor):
            return value.nbytes
        if isinstance(value, dict):
            return sum(map(nbytes, value.values()))
        return sum(map(nbytes, value)) if isinstance(value, list | tuple) else 0

    return sum(map(nbytes, optimizer.state.values()))


def transient_bytes(optimizer: Any) -> int:
    """How far resident memory rises during one step, state being there already."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
        before = _resident("VmRSS")
        optimizer.step()
        return max(0, _resident("VmHWM") - before)
    except OSError:  # not Linux, or not allowed
        return -1


def _resident(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def machine() -> str:
    """Processor and versions, for the record."""
    cpuinfo = Path("/proc/cpuinfo")
    model = platform.processor()
    if cpuinfo.exists():
        model = next(
            (x.split(":")[1].strip() for x in cpuinfo.read_text().splitlines() if x.startswith("model name")),
            model,
        )
    return f"{model}, Python {platform.python_version()}, torch {torch.__version__}"


if __name__ == "__main__":
    main()

"""What the service asks a process with torch: simulations and schedules for lessons. Nothing is stored.

`server.torch_process` calls these by name in a process that it keeps; importing this file loads no torch.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from sm3.remote.simulation_views import ScheduleAnswer

if TYPE_CHECKING:
    from sm3.remote.simulation_specs import ScheduleSpec, SimulationSpec

IDLE_S = 300.0
"""After so long without a question the process ends, which frees what torch holds; the next one starts another."""

_ending: threading.Timer | None = None


def simulate(spec: SimulationSpec) -> bytes:
    """Returns the `SimulationAnswer` as JSON."""
    _stay_a_while()
    import torch

    from sm3.simulation import simulate as answer

    torch.set_num_threads(1)
    return answer(spec).model_dump_json().encode()


def schedule(spec: ScheduleSpec) -> bytes:
    """Returns the `ScheduleAnswer` as JSON."""
    _stay_a_while()
    from sm3.schedules import factor

    shape = spec.model_dump(exclude={"lr"})
    steps = range(1, spec.total_steps + 1)
    warmup_steps = spec.warmup * spec.total_steps
    return (
        ScheduleAnswer(
            warmup_steps=warmup_steps,
            lr=tuple(spec.lr * factor(t, **shape) for t in steps),
            upside_down=tuple(spec.lr * _upside_down(t, warmup_steps, spec.power) for t in steps),
        )
        .model_dump_json()
        .encode()
    )


def _upside_down(t: int, warmup_steps: float, power: float) -> float:
    """The factor of a README that circulates, for contrast only: full at once, then falling for ever."""
    return float(min(1.0, warmup_steps / t) ** power)


def _stay_a_while() -> None:
    """Puts off the end of this process, which nobody else ends while the service lives."""
    global _ending
    if _ending is not None:
        _ending.cancel()
    _ending = threading.Timer(IDLE_S, os._exit, args=(0,))
    _ending.daemon = True
    _ending.start()

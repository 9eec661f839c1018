"""Bodies of simulations and schedules shown in the OpenAPI; tests send them."""

from __future__ import annotations

from typing import Any

SIMULATION_EXAMPLES: dict[str, Any] = {
    "two-steps": {
        "summary": "A 2 × 3 gradient twice: rows and columns against AdaGrad",
        "value": {
            "shape": [2, 3],
            "gradients": [[3, 0, 0, 0, 1, 0], [0, 2, 0, 1, 0, 0]],
            "covers": [{"kind": "slices"}, {"kind": "singletons"}],
        },
    },
    "poison": {
        "summary": "Spike 10 in a row and in a column, then a gradient of 1 where they cross: nu is 101, not 1",
        "value": {
            "shape": [2, 2],
            "gradients": [[0, 10, 10, 0], [1, 0, 0, 0]],
            "covers": [{"kind": "slices"}, {"kind": "explicit", "shape": [2, 2], "sets": [[0], [1, 2, 3]]}],
            "variant": "I",
        },
    },
}

SCHEDULE_EXAMPLES: dict[str, Any] = {
    "half": {
        "summary": "Half of 100 steps of quadratic warm-up",
        "value": {"lr": 0.1, "total_steps": 100, "warmup": 0.5, "power": 2},
    },
}

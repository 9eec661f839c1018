"""Frames as a worker would send them."""

from __future__ import annotations

import numpy as np

from sm3.remote.frames import Frame, Point, Scalars, encode
from sm3.remote.wire import JobView


def blob(job: JobView, seq: int, *, attempt: int = 0, **scalars: float) -> bytes:
    step = seq + 1
    points = Scalars.from_points(
        Point(name, step, value) for name, value in {"loss": seq / 2, **scalars}.items()
    )
    return encode(Frame(job.id, attempt, seq, step, 50.0, {"a/b/c": np.ones(2, np.float32)}, points))

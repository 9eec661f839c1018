"""What only a long run shows."""

from __future__ import annotations

import gc

import psutil
import pytest
import torch

from sm3 import SM3
from sm3.probes.recorder import Recorder
from sm3.remote.frames import Frame, Point, Scalars, encode
from sm3.remote.record_specs import ProbeName, RecordSpec


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_steps_grow_neither_memory_nor_frames() -> None:
    torch.manual_seed(0)
    params = [
        ("embed", torch.nn.Parameter(torch.randn(64, 16))),
        ("bias", torch.nn.Parameter(torch.zeros(16))),
    ]
    optimizer = SM3(params, lr=0.01)
    shadows = [{"cover": {"kind": "whole"}}, {"cover": {"kind": "blocks", "tile": 8}}]
    asked = {"every": 20, "probes": list(ProbeName), "truth": ["*"], "shadows": shadows}
    recorder = Recorder(optimizer, RecordSpec.model_validate(asked))
    sizes, resident = {}, {}
    grads = [torch.randn(64, 16) for _ in range(8)]
    for step in range(1, 100_001):
        for _, param in params:
            param.grad = grads[step % 8] if param.dim() == 2 else grads[step % 8][0]
        recorder.before(step)
        optimizer.step()
        recorder.observe()
        if recorder.is_due(step):
            arrays, scalars = recorder.read(step, [0.01])
            points = Scalars.from_points(Point(name, step, value) for name, value in scalars.items())
            sizes[step] = len(encode(Frame("job", 0, step, step, 0.0, arrays, points)))
        if step in {20_000, 100_000}:
            gc.collect()
            resident[step] = psutil.Process().memory_info().rss
    assert sizes[20_000] == pytest.approx(sizes[100_000], abs=64)  # digits of numbers in the header
    assert resident[100_000] - resident[20_000] < 4 * 2**20

"""Run by test_triton.py in a process of its own, since TRITON_INTERPRET must be set before Triton is imported."""

import copy
import itertools

import torch

from sm3 import SM3

SHAPES = [(37, 53), (64, 128), (1, 300), (130, 1), (8, 3, 3, 3)]
COVERS = ["slices", {"kind": "slices", "dims": [0]}, {"kind": "slices", "dims": [-1]}]
OPTIONS = [
    {"momentum": 0.0},
    {"momentum": 0.9, "weight_decay": 0.1, "maximize": True},
    {"momentum": 0.9, "momentum_dtype": "bf16", "beta2": 0.9},
]
# The interpreter truncates where a GPU rounds to bfloat16, at each of three steps.
LOOSE = {torch.bfloat16: {"rtol": 3e-2, "atol": 6e-2}, torch.float16: {"rtol": 8e-3, "atol": 4e-3}}
LOOSE[torch.float32] = LOOSE[torch.float16]

torch.manual_seed(0)
for shape, cover, options, dtype in itertools.product(
    SHAPES, COVERS, OPTIONS, [torch.float32, torch.float16, torch.bfloat16]
):
    if dtype != torch.float32 and shape != SHAPES[0]:
        continue
    p = torch.nn.Parameter(torch.randn(shape).to(dtype))
    q = copy.deepcopy(p)
    fast, slow = (
        SM3([w], 0.1, cover=cover, kernel=kernel, nonfinite="propagate", **options)
        for w, kernel in ((p, "triton"), (q, "reference"))
    )
    for step in range(3):
        p.grad = (torch.randn(shape) * (torch.rand(shape) > 0.3)).to(dtype)
        if step == 1:
            p.grad.view(-1)[-1], p.grad.view(-1)[0] = float("nan"), float("inf")
        q.grad = p.grad.clone()
        fast.step()
        slow.step()
    for ours, theirs in zip(fast.accumulators(p), slow.accumulators(q), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)
    exact = dtype == torch.float32 and "momentum_dtype" not in options
    tolerance = {"rtol": 2e-6, "atol": 2e-7} if exact else LOOSE[dtype]
    torch.testing.assert_close(p, q, equal_nan=True, **tolerance)
print("equal")

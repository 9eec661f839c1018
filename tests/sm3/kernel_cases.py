"""Shapes, covers and options that kernels are held to, and what it is to equal the definition."""

import copy
from collections import defaultdict

import pytest
import torch

from sm3 import SM3
from sm3.kernels import KERNELS

FAST = [k for k in KERNELS if k not in {"reference", "triton"}]  # Triton has a file of its own
SHAPES = [(), (1,), (7,), (1, 300), (300, 1), (37, 53), (64, 64), (8, 3, 3, 3), (2, 1, 3, 2, 5)]
COVERS = [
    "slices",
    {"kind": "slices", "dims": [0]},
    {"kind": "slices", "dims": [-1]},
    "singletons",
    "whole",
    {"kind": "blocks", "tile": 1},
    {"kind": "blocks", "tile": 5},
    {"kind": "blocks", "tile": 64},
    {"kind": "reshaped", "view": "square", "inner": {"kind": "slices"}},
    {"kind": "union", "members": [{"kind": "slices"}, {"kind": "blocks", "tile": 8}]},
]
OPTIONS = [
    {"momentum": 0.0},
    {"momentum": 0.9},
    {"momentum": 0.9, "momentum_dtype": "bf16"},
    {"momentum": 0.9, "momentum_dtype": "int8"},
    {"momentum": 0.0, "beta2": 0.9, "weight_decay": 0.1, "maximize": True},
    {"momentum": 0.5, "beta2": 0.0},
    {"momentum": 0.9, "variant": "I"},
]


def served(kernel, shape, cover, dtype=torch.float32, **options):
    """The optimizer of one parameter under one kernel, or a skip where that kernel refuses it."""
    p = torch.nn.Parameter(torch.randn(shape).to(dtype))
    try:
        return p, SM3([{"params": [p], "cover": cover}], 0.1, kernel=kernel, nonfinite="propagate", **options)
    except ValueError as refusal:
        if f"kernel {kernel!r} cannot serve" not in str(refusal):
            raise
        pytest.skip(str(refusal))


def reference_of(p, cover, **options):
    q = copy.deepcopy(p)
    return q, SM3(
        [{"params": [q], "cover": cover}], 0.1, kernel="reference", nonfinite="propagate", **options
    )


# Accumulators are the same bits. Eager's `addcmul` may fuse multiply and add, which rounds once less a step.
ACCUMULATORS = defaultdict(lambda: {"rtol": 0, "atol": 0}, eager={"rtol": 1e-6, "atol": 0})


def assert_same_state(p, optimizer, q, reference, momentum_exact=True):
    """Accumulators as above, the rest up to the order of a few roundings."""
    tolerance = ACCUMULATORS[optimizer.kernels()[0].kernel]
    for ours, theirs in zip(optimizer.accumulators(p), reference.accumulators(q), strict=True):
        torch.testing.assert_close(ours, theirs, equal_nan=True, **tolerance)
    tolerance = {"rtol": 2e-6, "atol": 2e-7} if p.dtype.itemsize >= 4 else {"rtol": 8e-3, "atol": 1e-3}
    # A rounding elsewhere may store the next of 127 levels, or the next bf16: 0.4 % of a momentum below 1, times lr.
    stored = optimizer.param_groups[0]["momentum_dtype"]
    if stored == "int8" and optimizer.kernels()[0].kernel == "cpu":
        tolerance = {"rtol": 0, "atol": 5e-3}
    elif stored == "bf16" and p.dtype.itemsize >= 4:
        tolerance = {"rtol": 2e-6, "atol": 5e-4}
    torch.testing.assert_close(p, q, equal_nan=True, **tolerance)
    if "momentum" in reference.state[q] and momentum_exact:
        ours, theirs = optimizer.state[p]["momentum"], reference.state[q]["momentum"]
        tolerance = (
            {"rtol": 2e-6, "atol": 1e-7} if ours.dtype == torch.float32 else {"rtol": 8e-3, "atol": 1.01}
        )
        torch.testing.assert_close(ours.float(), theirs.float(), equal_nan=True, **tolerance)

"""The eager kernel itself: dtypes, blocks, stacks."""

import copy

import pytest
import torch

from sm3 import SM3
from tests.sm3.kernel_cases import OPTIONS, assert_same_state, reference_of, served


@pytest.mark.parametrize("options", OPTIONS[:4], ids=str)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("cover", ["slices", "singletons", "whole"])
def test_eager_serves_other_dtypes_as_the_definition_does(cover, dtype, options):
    p, optimizer = served("eager", (37, 53), cover, dtype=dtype, **options)
    q, reference = reference_of(p, cover, **options)
    for _ in range(3):
        p.grad = torch.randn(37, 53).to(dtype)
        q.grad = p.grad.clone()
        optimizer.step()
        reference.step()
    assert_same_state(p, optimizer, q, reference)


@pytest.mark.parametrize("shape", [(700, 500), (3, 70_000)], ids=str)
@pytest.mark.parametrize("cover", ["slices", "singletons", "whole"])
def test_eager_serves_tensors_of_many_blocks_as_the_definition_does(cover, shape):
    p, optimizer = served("eager", shape, cover, momentum_dtype="int8")
    q, reference = reference_of(p, cover, momentum_dtype="int8")
    for _ in range(2):
        p.grad = torch.randn(shape)
        q.grad = p.grad.clone()
        optimizer.step()
        reference.step()
    assert_same_state(p, optimizer, q, reference)


@pytest.mark.parametrize("beta2", [None, 0.9])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_eager_stacks_small_tensors_without_mixing_them_up(momentum, beta2):
    params = [
        torch.nn.Parameter(torch.randn(s))
        for s in [(8, 8)] * 3 + [(4, 8)] * 2 + [(2, 3, 4)] * 2 + [(5,), (3,), ()]
    ]
    twins = copy.deepcopy(params)
    arguments = {"lr": 0.1, "momentum": momentum, "weight_decay": 0.1, "maximize": True, "beta2": beta2}
    optimizer = SM3(params, kernel="eager", **arguments)
    reference = SM3(twins, kernel="reference", **arguments)
    for _ in range(3):
        for p, q in zip(params, twins, strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        optimizer.step()
        reference.step()
    for p, q in zip(params, twins, strict=True):
        assert_same_state(p, optimizer, q, reference)

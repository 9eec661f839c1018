"""What an optimizer's state dict keeps, and what it refuses to load."""

import copy
import io

import pytest
import torch

from sm3 import SM3
from sm3.covers import Slices
from tests.sm3.stepping import parameter, stepped


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_state_dict_round_trip_is_bit_exact(dtype):
    p, v = parameter(4, 3, dtype=dtype), parameter(3, dtype=dtype)
    optimizer = SM3([p, v], 0.1)
    for scale in (1e-6, 3e4):  # squares below and above what float16 can hold
        p.grad, v.grad = torch.full_like(p, scale), torch.full_like(v, scale)
        optimizer.step()
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    p2, v2 = copy.deepcopy(p), copy.deepcopy(v)
    resumed = SM3([p2, v2], 0.1)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for was, now in ((p, p2), (v, v2)):
        assert optimizer.state[was].keys() == resumed.state[now].keys()
        for key, value in optimizer.state[was].items():
            assert resumed.state[now][key].dtype == value.dtype
            assert torch.equal(resumed.state[now][key], value)
    stepped(optimizer, p, v, seed=5)
    stepped(resumed, p2, v2, seed=5)
    assert torch.equal(p, p2)
    assert torch.equal(v, v2)


def test_a_loaded_state_shares_no_memory_with_its_source():
    p = parameter(4, 3)
    saved = stepped(SM3([p], 0.1), p).state_dict()
    kept = copy.deepcopy(saved)
    q = copy.deepcopy(p)
    resumed = SM3([q], 0.1)
    resumed.load_state_dict(saved)
    stepped(resumed, q)
    torch.testing.assert_close(saved["state"], kept["state"], rtol=0, atol=0)


def test_state_under_another_cover_is_refused_and_nothing_changes():
    p = parameter(4, 4)
    saved = stepped(SM3([("w", p)], 0.1), p).state_dict()
    other = SM3([("w", p)], 0.7, cover=Slices(dims=(0,)))
    with pytest.raises(ValueError, match=r"'w' \(shape \(4, 4\)\) under the cover .*slices.* covers it by"):
        other.load_state_dict(saved)
    assert not other.state
    assert other.param_groups[0]["lr"] == 0.7
    stepped(other, p)


def test_another_optimizers_state_is_refused():
    p = parameter(4, 4)
    with pytest.raises(ValueError, match="SM3 did not write it"):
        SM3([p], 0.1).load_state_dict(torch.optim.SGD([p], lr=0.1).state_dict())


def test_load_hooks_run_and_may_change_what_is_loaded():
    p = parameter(2, 2)
    saved = stepped(SM3([p], 0.1), p).state_dict()
    optimizer = SM3([p], 0.1)
    seen = []

    def double(_, state_dict):
        state = {k: {n: 2 * t for n, t in s.items()} for k, s in state_dict["state"].items()}
        return state_dict | {"state": state}

    optimizer.register_load_state_dict_pre_hook(double)
    optimizer.register_load_state_dict_post_hook(lambda o: seen.append(o.accumulators(p)[0].clone()))
    optimizer.load_state_dict(saved)
    assert torch.equal(optimizer.accumulators(p)[0], 2 * saved["state"][0]["accumulator_0"])
    assert torch.equal(seen[0], optimizer.accumulators(p)[0])


def test_a_deep_copy_goes_on_alike():
    model = torch.nn.Linear(3, 2)
    optimizer = stepped(SM3(model.named_parameters(), 0.1), *model.parameters())
    twin, twin_optimizer = copy.deepcopy((model, optimizer))
    stepped(optimizer, *model.parameters(), seed=4)
    stepped(twin_optimizer, *twin.parameters(), seed=4)
    assert torch.equal(model.weight, twin.weight)


def test_state_of_other_shapes_is_refused_by_name():
    p = parameter(4, 3)
    optimizer = stepped(SM3([("w", p)], 0.1), p)
    for key, wrong in (
        ("accumulator_0", torch.zeros(9)),
        ("accumulator_1", torch.zeros(3, dtype=torch.float16)),
        ("momentum", torch.zeros(4, 4)),
    ):
        saved = optimizer.state_dict()
        saved["state"][0] = saved["state"][0] | {key: wrong}
        with pytest.raises(ValueError, match=f"{key} of 'w'"):
            SM3([("w", p)], 0.1).load_state_dict(saved)
    saved = optimizer.state_dict()
    saved["state"][0] = {}
    SM3([("w", p)], 0.1).load_state_dict(saved)


def test_state_of_a_channels_last_model_loads_into_a_contiguous_one():
    p = torch.nn.Parameter(torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last))
    q = torch.nn.Parameter(p.detach().clone(memory_format=torch.contiguous_format))
    first, second = SM3([p], 0.1), SM3([q], 0.1)
    stepped(first, p)
    second.load_state_dict(first.state_dict())
    q.data.copy_(p.data)
    stepped(first, p, seed=3)
    stepped(second, q, seed=3)
    torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(first.state[p]["momentum"], second.state[q]["momentum"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kernel", ["eager", "reference"])
def test_a_state_dict_loads_across_kernels(kernel):
    p = parameter(4, 3)
    q = copy.deepcopy(p)
    first, second = SM3([p], 0.1), SM3([q], 0.1, kernel=kernel)
    stepped(first, p)
    second.load_state_dict(first.state_dict())
    q.data.copy_(p.data)
    stepped(first, p, seed=3)
    stepped(second, q, seed=3)
    assert second.kernels()[0].kernel == kernel
    torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)

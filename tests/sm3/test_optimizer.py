"""The class around the step: groups, state, dtypes, errors."""

import copy

import numpy as np
import pytest
import torch

from sm3 import SM3, NonFiniteGradientError
from sm3.covers import Singletons, Slices, from_spec
from sm3.remote.cover_specs import CoverRule
from sm3.update import Variant
from tests.sm3.stepping import parameter, stepped


@pytest.mark.parametrize("variant", Variant)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize(
    "shape", [(), (1,), (5,), (1, 4), (4, 1), (3, 4), (2, 3, 2), (2, 1, 2, 3, 2)], ids=str
)
def test_trajectories_equal_the_oracle(oracle, shape, momentum, variant):
    p = parameter(*shape)
    optimizer = SM3([p], 0.1, momentum, variant=variant, weight_decay=0.01, maximize=True)
    truth = oracle(optimizer.cover(p).sets(shape), p.numel(), variant=variant)
    w, m = p.detach().numpy().reshape(-1).astype(np.float64), np.zeros(p.numel())
    for _ in range(5):
        p.grad = torch.randn(shape)
        m = momentum * m + (1 - momentum) * truth.direction(-p.grad)
        w = (1 - 0.1 * 0.01) * w - 0.1 * m
        optimizer.step()
        np.testing.assert_allclose(p.detach().reshape(-1), w, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(7, 5), (1, 9), (2, 3, 4), (2, 1, 3, 1, 2)], ids=str)
def test_accumulators_take_four_bytes_times_the_sum_of_dims(shape):
    p = parameter(*shape)
    assert stepped(SM3([p], 0.1), p).state_bytes().accumulators_bytes == 4 * sum(shape)


def test_momentum_zero_allocates_nothing():
    p = parameter(7, 5)
    optimizer = stepped(SM3([p], 0.1, momentum=0.0), p)
    assert optimizer.state_bytes().momentum_bytes == 0
    assert set(optimizer.state[p]) == {"accumulator_0", "accumulator_1"}


def test_state_bytes_count_what_is_held():
    p, q = parameter(7, 5), parameter(3)
    optimizer = SM3([p, q], 0.1)
    assert optimizer.state_bytes().total_bytes == 0
    stepped(optimizer, p, q)
    bytes_ = optimizer.state_bytes()
    assert (bytes_.accumulators_bytes, bytes_.momentum_bytes) == (4 * 12 + 4 * 3, 4 * 35 + 4 * 3)
    assert bytes_.total_bytes == bytes_.accumulators_bytes + bytes_.momentum_bytes


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_accumulators_are_float32_whatever_the_parameter(dtype):
    p = parameter(4, 3, dtype=dtype)
    optimizer = stepped(SM3([p], 0.1), p)
    assert {t.dtype for t in optimizer.state[p].values()} == {torch.float32}
    assert p.dtype == dtype
    assert p.isfinite().all()


def test_zero_gradients_of_a_half_precision_parameter_are_no_nan():
    p = parameter(4, 3, dtype=torch.float16)
    before = p.detach().clone()
    p.grad = torch.zeros_like(p)
    SM3([p], 0.1).step()
    assert torch.equal(p, before)


def test_accumulators_of_bfloat16_parameters_do_not_stall():
    p = parameter(2, 2, dtype=torch.bfloat16)
    optimizer = SM3([p], 1e-3)
    for _ in range(1000):
        p.grad = torch.ones_like(p)
        optimizer.step()
    assert optimizer.accumulators(p)[0].tolist() == [1000, 1000]


def test_zero_d_and_empty_tensors_step():
    scalar, empty, hollow = parameter(), parameter(0), parameter(0, 3)
    optimizer = stepped(SM3([scalar, empty, hollow], 0.1), scalar, empty, hollow)
    assert scalar.isfinite()
    assert [tuple(m.shape) for m in optimizer.accumulators(hollow)] == [(0,), (3,)]


def test_a_gradient_of_none_is_passed_over():
    p, q = parameter(3, 2), parameter(3, 2)
    before = q.detach().clone()
    optimizer = SM3([p, q], 0.1)
    p.grad = torch.ones_like(p)
    optimizer.step()
    assert torch.equal(q, before)
    assert q not in optimizer.state


def test_gradients_are_left_as_they_were():
    p = parameter(3, 2)
    p.grad = torch.randn(3, 2)
    before = p.grad.clone()
    SM3([p], 0.1, maximize=True, weight_decay=0.1).step()
    assert torch.equal(p.grad, before)


def test_maximize_is_descent_on_the_negated_gradient():
    p = parameter(3, 2)
    q = copy.deepcopy(p)
    up, down = SM3([p], 0.1, maximize=True), SM3([q], 0.1)
    for _ in range(3):
        p.grad = torch.randn(3, 2)
        q.grad = -p.grad
        up.step()
        down.step()
    assert torch.equal(p, q)


def test_a_closure_is_evaluated_with_gradients_and_its_loss_returned():
    p = parameter(3)
    optimizer = SM3([p], 0.1)

    def closure():
        optimizer.zero_grad()
        loss = (p**2).sum()
        loss.backward()
        return loss

    first = optimizer.step(closure)
    assert optimizer.step(closure) < first


def test_a_tensor_learning_rate_equals_the_float():
    p = parameter(3, 2)
    q = copy.deepcopy(p)
    stepped(SM3([p], 0.1, weight_decay=0.1), p)
    stepped(SM3([q], torch.tensor(0.1), weight_decay=0.1), q)
    torch.testing.assert_close(p, q)


def test_names_come_from_named_parameters_or_from_the_position():
    model = torch.nn.Linear(3, 2)
    assert SM3(model.named_parameters(), 0.1).name(model.bias) == "bias"
    assert SM3(model.parameters(), 0.1).name(model.bias) == "0.1"


def test_an_unknown_tensor_is_refused():
    with pytest.raises(ValueError, match=r"shape \(2,\) is not a parameter"):
        SM3([parameter(3)], 0.1).cover(parameter(2))


def test_rules_apply_in_order_and_to_any_rank():
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 2))
    rules = [("0.*", Slices(dims=(0,))), CoverRule(match="*weight", cover={"kind": "singletons"})]
    optimizer = SM3(model.named_parameters(), 0.1, rules=rules)
    assert optimizer.cover(model[0].weight) == Slices(dims=(0,))
    assert optimizer.cover(model[0].bias) == Slices(dims=(0,))
    assert optimizer.cover(model[1].weight) == Singletons()
    assert optimizer.cover(model[1].bias) == Singletons()


def test_a_groups_own_cover_serves_all_its_tensors():
    p, q, bias = parameter(3, 2), parameter(3, 2), parameter(4)
    optimizer = SM3([{"params": [p]}, {"params": [q, bias], "cover": "slices"}], 0.1, cover="singletons")
    assert optimizer.cover(p) == Singletons()
    assert optimizer.cover(q) == Slices()
    assert optimizer.cover(bias) == Slices()


def test_groups_have_their_own_settings():
    p, q = parameter(3, 2), parameter(3, 2)
    optimizer = SM3([{"params": [p]}, {"params": [q], "lr": 0.0, "momentum": 0.0}], 0.1)
    before = q.detach().clone()
    stepped(optimizer, p, q)
    assert torch.equal(q, before)
    assert "momentum" in optimizer.state[p]
    assert "momentum" not in optimizer.state[q]


def test_accumulators_are_zeros_before_the_first_step():
    p, v = parameter(3, 2), parameter(4)
    optimizer = SM3([p, v], 0.1)
    assert [m.tolist() for m in optimizer.accumulators(p)] == [[0] * 3, [0] * 2]
    assert [m.shape for m in optimizer.accumulators(v)] == [v.shape]
    assert not optimizer.state


# Sparse gradients


def test_an_uncoalesced_sparse_gradient_steps_as_its_sum():
    p = parameter(5, 3)
    q = copy.deepcopy(p)
    values = torch.randn(3, 3)
    p.grad = torch.sparse_coo_tensor([[1, 3, 1]], values, (5, 3))
    q.grad = torch.sparse_coo_tensor([[1, 3]], torch.stack([values[0] + values[2], values[1]]), (5, 3))
    SM3([p], 0.1).step()
    SM3([q], 0.1).step()
    assert torch.equal(p, q)


@pytest.mark.parametrize("cover", [None, "singletons", {"kind": "slices", "dims": [1]}], ids=str)
@pytest.mark.parametrize("shape", [(6,), (6, 3), (6, 2, 2)], ids=str)
def test_a_sparse_gradient_touches_only_its_rows(shape, cover):
    if cover is not None and not isinstance(cover, str) and len(shape) < 2:
        cover = None
    p = parameter(*shape)
    optimizer = SM3([p], 0.1, weight_decay=0.1, cover=cover)
    stepped(optimizer, p)
    before = p.detach().clone()
    first = [m.clone() for m in optimizer.accumulators(p)]
    p.grad = torch.sparse_coo_tensor([[1, 4]], torch.randn(2, *shape[1:]), shape)
    optimizer.step()
    rest = [0, 2, 3, 5]
    assert torch.equal(p[rest], before[rest])
    assert (p[[1, 4]] != before[[1, 4]]).all()
    if optimizer.cover(p) in (Slices(), Singletons()):
        assert torch.equal(optimizer.accumulators(p)[0][rest], first[0][rest])


def test_sparse_gradients_allocate_no_momentum():
    p = parameter(5, 3)
    p.grad = torch.sparse_coo_tensor([[1]], torch.ones(1, 3), (5, 3))
    optimizer = SM3([p], 0.1, momentum=0.9)
    optimizer.step()
    assert "momentum" not in optimizer.state[p]


def test_a_sparse_gradient_in_both_dims_steps_as_the_dense_one():
    p = parameter(5, 3)
    q = copy.deepcopy(p)
    sparse = torch.sparse_coo_tensor([[1, 3], [0, 2]], torch.randn(2), (5, 3))
    p.grad, q.grad = sparse, sparse.to_dense()
    SM3([p], 0.1, momentum=0.0).step()
    SM3([q], 0.1, momentum=0.0).step()
    assert torch.equal(p, q)


def test_an_empty_sparse_gradient_changes_nothing():
    p = parameter(5, 3)
    before = p.detach().clone()
    p.grad = torch.sparse_coo_tensor(torch.empty(1, 0, dtype=torch.long), torch.empty(0, 3), (5, 3))
    SM3([p], 0.1).step()
    assert torch.equal(p, before)


# Non-finite gradients


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_nonfinite_gradient_raises_with_its_name_and_changes_nothing(bad):
    model = torch.nn.Linear(3, 2)
    optimizer = stepped(SM3(model.named_parameters(), 0.1), *model.parameters())
    state = copy.deepcopy(optimizer.state_dict()["state"])
    weights = copy.deepcopy(model.state_dict())
    model.bias.grad[0] = bad
    with pytest.raises(NonFiniteGradientError, match="'bias'"):
        optimizer.step()
    torch.testing.assert_close(optimizer.state_dict()["state"], state, rtol=0, atol=0)
    torch.testing.assert_close(dict(model.state_dict()), dict(weights), rtol=0, atol=0)


def test_skip_leaves_the_whole_step_out_and_counts_it():
    p, q = parameter(3, 2), parameter(2)
    optimizer = stepped(SM3([p, q], 0.1, nonfinite="skip"), p, q)
    before = p.detach().clone(), q.detach().clone()
    q.grad[0] = float("inf")
    optimizer.step()
    assert (torch.equal(p, before[0]), torch.equal(q, before[1])) == (True, True)
    assert optimizer.skipped_steps == 1
    stepped(optimizer, p, q)
    assert p.isfinite().all()


def test_propagate_lets_nan_through():
    p = parameter(3, 2)
    p.grad = torch.tensor([[float("nan"), 1], [1, 1], [1, 1]])
    optimizer = SM3([p], 0.1, nonfinite="propagate")
    optimizer.step()
    assert p.isnan().sum() == 1
    assert [m.isnan().sum().item() for m in optimizer.accumulators(p)] == [1, 1]


# Arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": -1}, "lr=-1.0; allowed: finite"),
        ({"lr": float("nan")}, "lr=nan"),
        ({"lr": torch.ones(2)}, "tensor of one number"),
        ({"momentum": 1.0}, "momentum=1.0; allowed: 0 ≤ momentum < 1"),
        ({"beta2": 1.0}, "beta2=1.0; allowed"),
        ({"weight_decay": -0.1}, "weight_decay=-0.1; allowed"),
        ({"variant": "III"}, "variant='III'; allowed: 'I', 'II'"),
        ({"nonfinite": "ignore"}, "nonfinite='ignore'; allowed: 'raise', 'skip', 'propagate'"),
        ({"kernel": "warp"}, "kernel='warp'; allowed: 'auto', 'cpu', "),
        ({"cover": {"kind": "slice"}}, "slices"),
        ({"rules": [("*", Slices(dims=(2,)))]}, "parameter '0.0': slices along dim 2"),
    ],
)
def test_bad_arguments_are_named_with_what_is_allowed(arguments, message):
    with pytest.raises(ValueError, match=message):
        SM3([parameter(2, 2)], **({"lr": 0.1} | arguments))


def test_complex_parameters_are_refused_with_a_remedy():
    p = torch.nn.Parameter(torch.zeros(2, dtype=torch.complex64))
    with pytest.raises(TypeError, match=r"'w' is torch.complex64.*view_as_real"):
        SM3([("w", p)], 0.1)


def test_a_refused_group_changes_nothing():
    optimizer = SM3([parameter(2, 2)], 0.1)
    with pytest.raises(ValueError, match="slices along dim 5"):
        optimizer.add_param_group({"params": [parameter(3, 2)], "cover": Slices(dims=(5,))})
    assert len(optimizer.param_groups) == 1


def test_covers_may_be_given_as_specs():
    p = parameter(2, 2)
    spec = {"kind": "slices", "dims": [0]}
    assert SM3([p], 0.1, cover=spec).cover(p) == from_spec(spec)
    assert SM3([p], 0.1, cover=from_spec(spec).spec()).cover(p) == from_spec(spec)

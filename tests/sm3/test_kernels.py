"""Every kernel equals `sm3.update`, on the conformance shapes, odd strides, NaN and inf."""

import gc
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sm3 import SM3
from sm3.covers import FAMILIES, from_spec
from tests.sm3.kernel_cases import COVERS, FAST, OPTIONS, SHAPES, assert_same_state, reference_of, served


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("cover", COVERS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kernel", FAST)
def test_a_kernel_equals_the_definition(kernel, shape, cover, options):
    p, optimizer = served(kernel, shape, cover, **options)
    q, reference = reference_of(p, cover, **options)
    for _ in range(4):
        p.grad = torch.randn(shape) * (torch.rand(shape) > 0.3)
        q.grad = p.grad.clone()
        optimizer.step()
        reference.step()
    assert_same_state(p, optimizer, q, reference)


@pytest.mark.parametrize("bad", [float("nan"), -float("nan"), float("inf"), -float("inf"), 1e25, 1e-25])
@pytest.mark.parametrize("cover", COVERS, ids=str)
@pytest.mark.parametrize("kernel", FAST)
def test_nan_and_inf_go_where_the_definition_sends_them(kernel, cover, bad):
    p, optimizer = served(kernel, (9, 21), cover)
    q, reference = reference_of(p, cover)
    for step in range(4):
        p.grad = torch.randn(9, 21)
        if step == 1:
            p.grad[4, 17] = p.grad[0, 3] = bad
        q.grad = p.grad.clone()
        optimizer.step()
        reference.step()
        assert_same_state(p, optimizer, q, reference)


@settings(max_examples=40, deadline=None)
@given(
    kernel=st.sampled_from(FAST),
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=4).map(tuple),
    cover=st.sampled_from(COVERS),
    options=st.sampled_from(OPTIONS),
    order=st.randoms(use_true_random=False),
    seed=st.integers(0, 2**31),
)
def test_any_strides_are_served_right(kernel, shape, cover, options, order, seed):
    torch.manual_seed(seed)
    dims = list(range(len(shape)))
    order.shuffle(dims)
    undo = [dims.index(k) for k in range(len(shape))]
    strided = torch.randn([2 * shape[k] for k in dims])[tuple(slice(None, None, 2) for _ in dims)].permute(
        undo
    )
    assert tuple(strided.shape) == shape
    p = torch.nn.Parameter(strided.detach())
    optimizer = SM3([{"params": [p], "cover": cover}], 0.1, **options)
    q, reference = reference_of(p, cover, **options)
    for _ in range(3):
        p.grad = torch.randn([shape[k] for k in dims]).permute(undo)
        q.grad = p.grad.clone()
        optimizer.step()
        reference.step()
    assert_same_state(p, optimizer, q, reference, momentum_exact=options.get("momentum_dtype") != "int8")


@pytest.mark.parametrize("kernel", FAST)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_expanded_and_channels_last_gradients_are_served_right(kernel, memory_format):
    p, optimizer = served(kernel, (4, 3, 5, 2), "slices")
    q, reference = reference_of(p, "slices")
    for grad in (torch.ones(()).expand(4, 3, 5, 2), torch.randn(4, 3, 5, 2).to(memory_format=memory_format)):
        p.grad, q.grad = grad, grad.clone(memory_format=torch.contiguous_format)
        optimizer.step()
        reference.step()
        assert_same_state(p, optimizer, q, reference)


def test_a_parameter_that_changes_layout_changes_kernel():
    p = torch.nn.Parameter(torch.randn(6, 6))
    optimizer = SM3([p], 0.1)
    q, reference = reference_of(p, "slices")
    for _ in range(2):
        p.grad = torch.randn(6, 6)
        q.grad = p.grad.clone()
        optimizer.step()
        reference.step()
        torch.testing.assert_close(p, q)
        p.data = p.data.t().contiguous().t()
    assert [c.kernel for c in optimizer.kernels()] != ["cpu"]


def test_replaced_state_is_taken_up():
    p = torch.nn.Parameter(torch.randn(6, 6))
    optimizer = SM3([p], 0.1)
    for _ in range(2):
        p.grad = torch.ones(6, 6)
        optimizer.step()
        optimizer.state.clear()
    p.grad = torch.ones(6, 6)
    optimizer.step()
    assert optimizer.accumulators(p)[0].tolist() == [1] * 6


def test_gradients_are_not_kept_alive():

    p = torch.nn.Parameter(torch.randn(6, 6))
    optimizer = SM3([p], 0.1)
    p.grad = torch.randn(6, 6)
    alive = weakref.ref(p.grad)
    optimizer.step()
    optimizer.zero_grad()
    gc.collect()
    assert alive() is None


def test_each_choice_of_kernel_comes_with_a_reason():
    tensors = {
        "matrix": torch.randn(3, 4),
        "half": torch.randn(3, 4).half(),
        "strided": torch.randn(3, 4).t(),
    }
    params = [(k, torch.nn.Parameter(t)) for k, t in tensors.items()]
    choices = {c.name: c for c in SM3(params, 0.1).kernels()}
    assert set(choices) == set(tensors)
    assert "cpu: the parameter is float16" in choices["half"].reason
    assert "cpu: the parameter is not contiguous" in choices["strided"].reason


def test_every_cover_of_a_registered_kind_is_tried_here():
    assert {from_spec(c).kind for c in COVERS} | {"explicit"} == set(FAMILIES)


@pytest.mark.parametrize("kernel", FAST)
@pytest.mark.parametrize("cover", COVERS, ids=str)
def test_a_moving_average_that_forgets_all_moves_nothing_where_the_gradient_is_zero(kernel, cover):
    p, optimizer = served(kernel, (200, 200), cover, beta2=0.0, momentum=0.0)
    q, reference = reference_of(p, cover, beta2=0.0, momentum=0.0)
    for step in range(3):
        p.grad = torch.randn(200, 200)
        if step:
            p.grad[7, 9] = 0
        q.grad = p.grad.clone()
        optimizer.step()
        reference.step()
    assert p.isfinite().all()
    assert_same_state(p, optimizer, q, reference)

"""Every kernel equals `sm3.update`, on the conformance shapes, odd strides, NaN and inf."""

import copy
import gc
import weakref
from collections import defaultdict

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sm3 import SM3
from sm3.covers import FAMILIES, from_spec
from sm3.kernels import KERNELS, cpu

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


# The C kernel itself

needs_extension = pytest.mark.skipif(cpu._cpu is None, reason="the C extension is not built")


@needs_extension
def test_the_task_layout_agrees_between_c_and_python():
    p, optimizer = served("cpu", (3, 4), "slices")
    p.grad = torch.ones(3, 4)
    optimizer.step()
    (planned,) = optimizer._plan(0)
    assert len(planned.work.prepared) == cpu._cpu.TASK_WORDS
    assert cpu._MAX_TRAILING == cpu._cpu.MAX_TRAILING


@needs_extension
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    "cover", ["slices", {"kind": "slices", "dims": [-1]}, {"kind": "blocks", "tile": 2}], ids=str
)
@pytest.mark.parametrize("shape", [(5, 3072), (4, 20_001), (1, 5000)], ids=str)
def test_two_rows_at_once_equal_the_definition(shape, cover, bad):
    p, optimizer = served("cpu", shape, cover, momentum=0.0)
    q, reference = reference_of(p, cover, momentum=0.0)
    for step in range(4):
        p.grad = torch.randn(shape)
        if step == 1:
            p.grad[-1, 7] = p.grad[0, 3] = bad
        q.grad = p.grad.clone()
        optimizer.step()
        reference.step()
        assert_same_state(p, optimizer, q, reference)


@needs_extension
def test_int8_momentum_is_served_where_its_runs_line_up():
    shapes = {"matrix": (30, 700), "vector": (700,), "ragged": (30, 700), "view": (4, 64)}
    rules = [
        ("ragged", "singletons"),
        ("view", {"kind": "reshaped", "view": [8, 32], "inner": {"kind": "slices"}}),
    ]
    params = [(k, torch.nn.Parameter(torch.randn(s))) for k, s in shapes.items()]
    choices = SM3(params, 0.1, momentum_dtype="int8", rules=rules).kernels()
    assert {c.name: c.kernel == "cpu" for c in choices} == {
        "matrix": True,
        "vector": True,
        "ragged": False,
        "view": False,
    }


@needs_extension
@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("momentum_dtype", ["fp32", "int8"])
@pytest.mark.parametrize("cover", COVERS[:-1], ids=str)
def test_threads_do_not_change_the_result(cover, momentum_dtype, threads):
    shapes = [(300, 401), (3, 40_000), (1, 70_001), (200_003,), (5, 6), (64, 64)]

    def run(num_threads):
        torch.manual_seed(0)
        torch.set_num_threads(num_threads)
        params = [torch.nn.Parameter(torch.randn(s)) for s in shapes]
        optimizer = SM3([{"params": params, "cover": cover}], 0.1, momentum_dtype=momentum_dtype)
        for _ in range(2):
            for p in params:
                p.grad = torch.randn_like(p)
            optimizer.step()
        return [*params, *(m for p in params for m in optimizer.accumulators(p))]

    assert all(torch.equal(one, many) for one, many in zip(run(1), run(threads), strict=True))


@needs_extension
@pytest.mark.parametrize("options", OPTIONS[:5], ids=str)
@pytest.mark.parametrize("shape", [(7, 2309), (9, 4096), (6, 40_000)], ids=str)
@pytest.mark.parametrize(
    "cover",
    [
        "slices",
        {"kind": "slices", "dims": [0]},
        {"kind": "slices", "dims": [1]},
        {"kind": "blocks", "tile": 1000},
    ],
    ids=str,
)
def test_wide_rows_are_served_right(cover, shape, options):
    p, optimizer = served("cpu", shape, cover, **options)
    q, reference = reference_of(p, cover, **options)
    for step in range(3):
        p.grad = torch.randn(shape)
        if step == 1:
            p.grad[2, 17] = float("nan")
            p.grad[5, -1] = float("inf")
        q.grad = p.grad.clone()
        optimizer.step()
        reference.step()
    assert_same_state(p, optimizer, q, reference)


@pytest.fixture
def instructions():
    """Takes an instruction set, or skips where the processor lacks it; the widest again afterwards."""

    def use(name):
        try:
            cpu._cpu.use_instructions(name)
        except ValueError as refusal:
            pytest.skip(str(refusal))

    yield use
    cpu._cpu.use_instructions()


@needs_extension
@pytest.mark.parametrize("wider", ["avx2", "avx512"])
@pytest.mark.parametrize("shape", [(37, 53), (6, 2309)], ids=str)
@pytest.mark.parametrize("cover", COVERS[:-1], ids=str)
def test_the_baseline_instructions_equal_wider_ones_bit_for_bit(cover, shape, wider, instructions):
    def run(name):
        torch.manual_seed(0)
        instructions(name)
        p, optimizer = served("cpu", shape, cover)
        for _ in range(3):
            p.grad = torch.randn(shape)
            optimizer.step()
        return [p, optimizer.state[p]["momentum"], *optimizer.accumulators(p)]

    assert all(torch.equal(a, b) for a, b in zip(run("baseline"), run(wider), strict=True))


@needs_extension
def test_an_unknown_instruction_set_is_refused_by_name():
    with pytest.raises(ValueError, match="no instruction set 'mmx'"):
        cpu._cpu.use_instructions("mmx")


@needs_extension
@pytest.mark.parametrize("n", [1, 7, 8, 4095, 4096, 4097, 70_000, 200_001])
@pytest.mark.parametrize("name", ["baseline", "avx2", "avx512"])
def test_a_nonfinite_number_is_found_wherever_it_is(n, name, instructions):
    instructions(name)
    for where in {0, n // 2, n - 1}:
        for bad in (float("nan"), -float("inf")):
            clean, dirty = torch.randn(n), torch.randn(n)
            dirty[where] = bad
            assert cpu.first_nonfinite([clean, dirty]) == 1
            assert cpu.first_nonfinite([clean]) == -1


def test_without_the_extension_another_kernel_serves(monkeypatch):
    monkeypatch.setattr(cpu, "_cpu", None)
    p = torch.nn.Parameter(torch.randn(6, 6))
    optimizer = SM3([p], 0.1)
    (choice,) = optimizer.kernels()
    assert choice.kernel != "cpu"
    assert "install with a C compiler" in choice.reason
    p.grad = torch.ones(6, 6)
    optimizer.step()
    p.grad[0, 0] = float("nan")
    with pytest.raises(FloatingPointError):
        optimizer.step()


def test_every_cover_of_a_registered_kind_is_tried_here():
    assert {from_spec(c).kind for c in COVERS} | {"explicit"} == set(FAMILIES)


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


@pytest.mark.parametrize("tile", [3, [4, 2, 3, 3], [4, 4, 2, 3], [1, 1, 1, 1], [9, 9, 9, 1]], ids=str)
def test_tiles_that_span_trailing_dims_are_merged_without_changing_the_result(tile):
    cover = {"kind": "blocks", "tile": tile}
    p, optimizer = served("cpu", (8, 4, 3, 3), cover)
    q, reference = reference_of(p, cover)
    for _ in range(3):
        p.grad = torch.randn(8, 4, 3, 3)
        q.grad = p.grad.clone()
        optimizer.step()
        reference.step()
    assert_same_state(p, optimizer, q, reference)


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

"""The C kernel itself: wide rows, threads, instruction sets, the layout of a task."""

import pytest
import torch

from sm3 import SM3
from sm3.kernels import cpu
from tests.sm3.kernel_cases import COVERS, OPTIONS, assert_same_state, reference_of, served

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

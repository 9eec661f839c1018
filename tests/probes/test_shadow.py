"""Shadow covers: the paper's laws, training untouched, limits."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sm3 import SM3
from sm3.covers import from_spec
from sm3.probes.accumulators import shadow_numbers
from sm3.probes.checks import record_faults
from sm3.probes.recorder import Recorder
from sm3.probes.sampled import SampledTruth
from sm3.remote.record_specs import RecordSpec
from sm3.shadow import Shadow, WholeTruth

COVERS = [
    "slices",
    {"kind": "slices", "dims": [0]},
    "whole",
    {"kind": "blocks", "tile": 4},
    {"kind": "union", "members": [{"kind": "slices"}, {"kind": "blocks", "tile": 4}]},
    "singletons",
]


def small_model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Embedding(30, 8), torch.nn.Linear(8, 12), torch.nn.Linear(12, 3))


def train(
    model: torch.nn.Module, optimizer: SM3, recorder: Recorder | None, steps: int = 12
) -> list[torch.Tensor]:
    """Steps with seeded batches; returns all parameters and state afterwards."""
    generator = torch.Generator().manual_seed(1)
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        tokens = torch.randint(30, (5,), generator=generator)
        (model(tokens).square().sum() * step).backward()
        if recorder is not None:
            recorder.before(step)
        optimizer.step()
        if recorder is not None:
            recorder.observe()
            if recorder.is_due(step):
                recorder.read(step, [0.1])
    return [t for p in model.parameters() for t in (p.detach(), *optimizer.state[p].values())]


def test_training_with_every_statistic_and_shadow_is_bit_for_bit_training_without() -> None:
    asked = {
        "every": 2,
        "probes": ["accumulators", "rates", "activation", "tightness", "updates", "growth", "alike", "topk", "poison"],
        "truth": ["*"],
        "shadows": [{"cover": from_spec(c).spec(), "variant": v, "label": f"{k}-{v.lower()}"}
                    for k, c in enumerate(COVERS) for v in ("I", "II")],
    }  # fmt: skip
    model = small_model()
    twin = copy.deepcopy(model)
    optimizer, alone = (SM3(m.named_parameters(), lr=0.1) for m in (model, twin))
    watched = train(model, optimizer, Recorder(optimizer, RecordSpec.model_validate(asked)))
    assert all(torch.equal(a, b) for a, b in zip(watched, train(twin, alone, None), strict=True))


@pytest.mark.parametrize("variant", ["I", "II"])
@pytest.mark.parametrize("cover", COVERS, ids=str)
def test_a_shadow_holds_what_an_optimizer_under_its_cover_would(cover: object, variant: str) -> None:
    grads = [torch.randn(9, 7) * (torch.rand(9, 7) > 0.3) for _ in range(5)]
    p, q = (torch.nn.Parameter(torch.zeros(9, 7)) for _ in range(2))
    shadow = Shadow({"p": p}, cover, variant=variant)  # type: ignore[arg-type]
    optimizer = SM3([{"params": [q], "cover": cover}], lr=0.0, variant=variant)
    for grad in grads:
        p.grad, q.grad = grad, grad.clone()
        shadow.observe()
        optimizer.step()
    assert all(map(torch.equal, shadow.accumulators("p"), optimizer.accumulators(q)))
    assert shadow.accumulator_bytes == 4 * from_spec(cover).num_accumulators((9, 7))  # type: ignore[arg-type]
    assert torch.equal(p, torch.zeros(9, 7))


def test_a_shadow_follows_sparse_gradients_and_sits_out_steps_without_one() -> None:
    p = torch.nn.Parameter(torch.zeros(4, 2))
    truth = WholeTruth({"p": p}, ["*"])
    sample = SampledTruth({"p": p})
    for grad in (torch.eye(4)[:, :2].to_sparse(1), None, torch.full((4, 2), 2.0)):
        p.grad = grad
        truth.observe()
        sample.observe()
    expected = torch.eye(4)[:, :2] + 4
    assert torch.equal(truth.gamma("p"), expected)
    assert torch.equal(sample.gamma("p"), expected.flatten())


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple),
    cover=st.sampled_from(COVERS),
    beta2=st.sampled_from([None, 0.9]),
    seed=st.integers(0, 999),
)
def test_gamma_is_never_above_nu_ii_nor_that_above_nu_i(
    shape: tuple[int, ...], cover: object, beta2: float | None, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    p = torch.nn.Parameter(torch.zeros(shape))
    decay = {"p": beta2}
    truth = WholeTruth({"p": p}, ["*"], beta2=decay)
    one, two = (Shadow({"p": p}, cover, variant=v, beta2=decay) for v in ("I", "II"))  # type: ignore[arg-type]
    for _ in range(4):
        p.grad = torch.randn(shape, generator=generator) ** 3
        for follower in (truth, one, two):
            follower.observe()
    slack = 1 + 1e-5  # float32 sums in different orders
    assert (truth.gamma("p") <= two.bound("p") * slack).all()
    assert (two.bound("p") <= one.bound("p") * slack).all()


def test_memory_and_frames_stay_the_same_from_the_tenth_step_to_the_three_hundredth() -> None:
    model = small_model()
    optimizer = SM3(model.named_parameters(), lr=0.1)
    shadows = [{"cover": {"kind": "blocks", "tile": 4}}]
    asked = {"every": 5, "truth": ["*"], "shadows": shadows}
    recorder = Recorder(optimizer, RecordSpec.model_validate(asked))
    train(model, optimizer, recorder, steps=10)
    first = (recorder.probe_bytes, {k: v.shape for k, v in recorder.read(10, [0.1])[0].items()})
    train(model, optimizer, recorder, steps=290)
    last = (recorder.probe_bytes, {k: v.shape for k, v in recorder.read(300, [0.1])[0].items()})
    assert first == last


def test_a_frame_holds_no_more_of_a_shadow_than_was_foreseen_and_vectors_finer_than_maps() -> None:
    shapes = {"long": (700,), "wide": (300, 70), "deep": (70, 3, 40)}
    names = {name: torch.nn.Parameter(torch.zeros(shape)) for name, shape in shapes.items()}
    optimizer = SM3(list(names.items()), lr=0.1)
    shadows = [{"cover": from_spec(c).spec(), "label": str(k), "vectors": True} for k, c in enumerate(COVERS)]
    recorder = Recorder(optimizer, RecordSpec.model_validate({"shadows": shadows}))
    for p in names.values():
        p.grad = torch.ones_like(p)
    recorder.before(1)
    optimizer.step()
    recorder.observe()
    arrays = recorder.read(1, [0.1])[0]
    for k, c in enumerate(COVERS):
        for name, shape in shapes.items():
            held = [
                v
                for key, v in arrays.items()
                if key.startswith("accumulators@") and f"@{k}/" in key and key.endswith(f"/{name}")
            ]
            assert 0 < sum(v.size for v in held) <= shadow_numbers(from_spec(c), shape), (c, name)
    assert arrays["accumulators@0/dim0/wide"].shape == (150,)  # slices: as many as the optimizer's own
    assert arrays["accumulators@3/entries/wide"].shape == (60, 35)
    assert max(arrays["accumulators@3/entries/deep"].shape) <= 32


def test_every_fault_of_a_record_spec_is_named_at_once() -> None:
    model = small_model()
    optimizer = SM3(model.named_parameters(), lr=0.1)
    asked = {
        "truth": ["*", "nothing.*"],
        "truth_limit_bytes": 100,
        "probe_settings": {"growth": {"tensors": ["absent"]}},
        "shadows": [
            {"cover": {"kind": "blocks", "tile": [2, 2, 2]}},
            {"cover": {"kind": "slices", "dims": [3]}, "tensors": ["0.weight"]},
            {"cover": {"kind": "whole"}, "tensors": ["*.bias"]},
        ],
    }
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is looked at below
        Recorder(optimizer, RecordSpec.model_validate(asked))
    for told in (
        "truth.1: given 'nothing.*'",
        "at most truth_limit_bytes = 100 bytes; these tensors take",
        "probe_settings.growth.tensors.0: given 'absent'",
        "shadows.0.cover",
        "shadows.1.cover",
        "shadows.2.tensors",
    ):
        assert told in str(caught.value)


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"probes": ["rates"], "probe_settings": {"topk": {}}}, "names 'topk', which is not among probes"),
        ({"probes": ["poison"]}, "'poison' compares with whole truth"),
        ({"probes": ["tightness"], "sample_entries": 0}, "'tightness' needs sample_entries"),
        ({"shadows": [{"cover": {"kind": "whole"}}] * 2}, "two shadows are called 'whole'"),
        ({"probes": ["nonsense"]}, "accumulators"),
    ],
)
def test_a_record_spec_that_contradicts_itself_says_how(record: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        RecordSpec.model_validate(record)


def test_shadows_beyond_their_limit_are_refused_with_what_they_would_take() -> None:
    p = torch.nn.Parameter(torch.zeros(64, 64))
    asked = {"shadows": [{"cover": {"kind": "singletons"}}], "shadow_limit_bytes": 1000}
    with pytest.raises(ValueError, match=r"16,384 bytes.*shadow_limit_bytes = 1,000"):
        Recorder(SM3([("w", p)], lr=0.1), RecordSpec.model_validate(asked))


def test_shadows_share_one_room() -> None:
    p = torch.nn.Parameter(torch.zeros(64, 64))
    kinds = [
        {"cover": {"kind": "whole"}},
        {"cover": {"kind": "slices"}},
        {"cover": {"kind": "blocks", "tile": 32}},
    ]
    asked = {"probes": ["rates"], "shadows": kinds}
    recorder = Recorder(SM3([("w", p)], lr=0.1), RecordSpec.model_validate(asked))
    assert recorder.probe_bytes == 4 * 64 * 64 + 4 * (1 + 128 + 4)


@pytest.mark.parametrize("depth", [5, 150])
def test_shadows_nested_too_deep_are_refused(depth: int) -> None:
    cover: dict[str, object] = {"kind": "slices"}
    for _ in range(depth):
        cover = {"kind": "reshaped", "view": "square", "inner": cover}
    with pytest.raises(ValueError, match="nested more than 4 deep"):
        RecordSpec.model_validate({"shadows": [{"cover": cover}]})


def test_covers_made_of_too_many_are_refused() -> None:
    cover: dict[str, object] = {"kind": "slices"}
    for _ in range(3):
        cover = {"kind": "union", "members": [cover] * 8}
    with pytest.raises(ValueError, match="more than 64 covers"):
        RecordSpec.model_validate({"shadows": [{"cover": cover}]})


def test_shadows_that_would_burst_a_frame_are_refused_before_training() -> None:
    shapes = {f"layer.{k}.weight": (768, 3072) for k in range(200)}
    shadows = [{"cover": {"kind": "blocks", "tile": 8 * k}} for k in range(1, 25)]
    spec = RecordSpec.model_validate({"shadows": shadows, "shadow_limit_bytes": 2**40})
    (fault,) = record_faults(spec, shapes)
    assert fault.field == "shadows"
    assert "bytes to a frame" in str(fault.given)
    assert record_faults(spec, dict(list(shapes.items())[:10])) == []

"""One conformance suite over the registry of covers, against their own explicit sets."""

from math import prod

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from sm3.covers import (
    FAMILIES,
    Blocks,
    CoverPolicy,
    Explicit,
    Reshaped,
    Singletons,
    Slices,
    Union,
    Whole,
    from_spec,
)
from sm3.remote.cover_specs import CoverSpec
from sm3.update import Variant, sm3_i, sm3_ii

SHAPES = [(), (0,), (0, 3), (3, 0), (1,), (5,), (1, 6), (6, 1), (3, 4), (2, 3, 4), (2, 1, 3, 2, 2)]
# For each family: arguments, and whether they suit a shape.
EXAMPLES = {
    "slices": [
        ({}, lambda s: True),
        ({"dims": [0]}, lambda s: True),
        ({"dims": [-1, 0]}, lambda s: len(s) > 1),
    ],
    "singletons": [({}, lambda s: True)],
    "whole": [({}, lambda s: True)],
    "blocks": [
        ({"tile": 1}, lambda s: True),
        ({"tile": 2}, lambda s: True),
        ({"tile": 64}, lambda s: True),
        ({"tile": [2, 3]}, lambda s: len(s) == 2),
    ],
    "reshaped": [
        ({"view": "square", "inner": {"kind": "slices"}}, lambda s: True),
        ({"view": [-1, 2], "inner": {"kind": "slices"}}, lambda s: prod(s) % 2 == 0),
        ({"view": [], "inner": {"kind": "whole"}}, lambda s: prod(s) == 1),
    ],
    "union": [
        ({"members": [{"kind": "slices"}, {"kind": "blocks", "tile": 2}]}, lambda s: True),
        ({"members": [{"kind": "whole"}, {"kind": "singletons"}, {"kind": "whole"}]}, lambda s: True),
    ],
    "explicit": [
        ({"shape": [3, 4], "sets": [[*range(7)], [5, 6, 7, 11], [8, 9, 10], []]}, lambda s: s == (3, 4)),
        ({"shape": [], "sets": [[0], [0]]}, lambda s: s == ()),
        ({"shape": [0, 3], "sets": []}, lambda s: s == (0, 3)),
    ],
}
CASES = [
    pytest.param({"kind": kind, **arguments}, shape, id=f"{kind}{arguments or ''}-{shape}")
    for kind, examples in EXAMPLES.items()
    for arguments, suits in examples
    for shape in SHAPES
    if suits(shape)
]


def test_every_family_has_examples_here_and_a_spec():
    assert set(FAMILIES) == set(EXAMPLES)


@pytest.mark.parametrize(("spec", "shape"), CASES)
def test_the_sets_cover_every_entry(spec, shape):
    sets = from_spec(spec).sets(shape)
    assert set().union(*map(set, sets)) == set(range(prod(shape)))
    assert all(len(set(s)) == len(s) for s in sets)


@pytest.mark.parametrize(("spec", "shape"), CASES)
def test_there_is_one_accumulator_a_set(spec, shape):
    cover = from_spec(spec)
    mu = cover.init(shape)
    assert sum(m.numel() for m in mu) == cover.num_accumulators(shape) == len(cover.sets(shape))
    assert all(m.dtype == torch.float32 and not m.any() for m in mu)


@pytest.mark.parametrize(("spec", "shape"), CASES)
def test_reduce_is_the_max_within_each_set(spec, shape):
    cover, nu = from_spec(spec), torch.rand(shape)
    flat = nu.reshape(-1)
    expected = [flat[s].max().item() if s else 0.0 for s in cover.sets(shape)]
    reduced = cover.reduce(nu)
    assert tuple(tuple(m.shape) for m in reduced) == cover.accumulator_shapes(shape)
    assert torch.cat([m.reshape(-1) for m in reduced]).tolist() == expected


@pytest.mark.parametrize(("spec", "shape"), CASES)
def test_bound_is_the_min_over_the_sets_of_each_entry(spec, shape):
    cover = from_spec(spec)
    mu = tuple(torch.rand(s) for s in cover.accumulator_shapes(shape))
    flat = torch.cat([m.reshape(-1) for m in mu]).numpy()
    expected = np.full(prod(shape), np.inf, dtype=np.float32)
    for k, members in enumerate(cover.sets(shape)):
        expected[members] = np.minimum(expected[members], flat[k])
    bound = cover.bound(mu, shape)
    assert tuple(bound.shape) == shape
    assert np.array_equal(bound.reshape(-1).numpy(), expected)


@pytest.mark.parametrize(("spec", "shape"), CASES)
def test_the_bound_of_some_entries_is_that_of_all_at_those(spec, shape):
    cover = from_spec(spec)
    mu = tuple(torch.rand(s) for s in cover.accumulator_shapes(shape))
    if prod(shape):
        entries = torch.randint(prod(shape), (17,))
        some = cover.bound_at(mu, shape, entries)
        assert torch.equal(some, cover.bound(mu, shape).flatten()[entries])


@pytest.mark.parametrize(("spec", "shape"), CASES)
def test_nan_reaches_exactly_the_sets_that_hold_it(spec, shape):
    if prod(shape) == 0:
        pytest.skip("no entry to be NaN")
    cover, nu = from_spec(spec), torch.rand(shape)
    nu.view(-1)[-1] = float("nan")
    got = torch.cat([m.reshape(-1) for m in cover.reduce(nu)]).isnan().tolist()
    assert got == [prod(shape) - 1 in s for s in cover.sets(shape)]


@pytest.mark.parametrize(("spec", "shape"), CASES)
def test_bound_of_reduce_never_falls_below_the_entry(spec, shape):
    cover, nu = from_spec(spec), torch.rand(shape)
    assert (cover.bound(cover.reduce(nu), shape) >= nu).all()


@pytest.mark.parametrize("spec", [p.values[0] for p in CASES], ids=str)
def test_the_json_form_makes_the_same_cover(spec):
    cover = from_spec(spec)
    adapter = TypeAdapter(CoverSpec)
    again = from_spec(adapter.validate_json(adapter.dump_json(cover.spec())))
    assert again == cover
    assert hash(again) == hash(cover)
    assert repr(again) == repr(cover)


@settings(max_examples=30, deadline=None)
@given(shape=st.lists(st.integers(1, 4), max_size=4).map(tuple), seed=st.integers(0, 2**31))
def test_singletons_are_adagrad(shape, seed):
    generator = torch.Generator().manual_seed(seed)
    cover = Singletons()
    (mu,) = cover.init(shape)
    gamma = torch.zeros(shape)
    for _ in range(4):
        g = torch.randn(shape, generator=generator)
        gamma += g * g
        (mu,) = cover.reduce(cover.bound((mu,), shape) + g * g)
    assert torch.equal(mu, gamma)


FINER = [
    (Singletons(), Slices()),
    (Singletons(), Blocks(2)),
    (Blocks(2), Blocks(4)),
    (Blocks(4), Whole()),
    (Slices(), Slices(dims=(0,))),
    (Slices(dims=(-1,)), Whole()),
    (Union(Slices(), Blocks(2)), Slices()),
    (Union(Slices(), Blocks(2)), Blocks(2)),
]


@settings(max_examples=40, deadline=None)
@given(
    pair=st.sampled_from(FINER),
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple),
    seed=st.integers(0, 2**31),
    variant=st.sampled_from(Variant),
)
def test_a_finer_cover_is_never_looser(pair, shape, seed, variant):
    generator = torch.Generator().manual_seed(seed)
    step = sm3_ii if variant is Variant.II else sm3_i
    finer, coarser = (cover.init(shape) for cover in pair)
    for _ in range(5):
        g = torch.randn(shape, generator=generator)
        nu_finer, finer = step(pair[0], finer, g)
        nu_coarser, coarser = step(pair[1], coarser, g)
        assert (nu_finer <= nu_coarser * (1 + 1e-6)).all()  # float32 sums in different orders


@settings(max_examples=20, deadline=None)
@given(shape=st.lists(st.integers(1, 4), max_size=4).map(tuple), seed=st.integers(0, 2**31))
def test_whole_is_one_shared_accumulator(shape, seed):
    generator = torch.Generator().manual_seed(seed)
    (mu,), shared = Whole().init(shape), torch.zeros(())
    for _ in range(4):
        g = torch.randn(shape, generator=generator)
        nu, (mu,) = sm3_ii(Whole(), (mu,), g)
        assert torch.equal(nu, shared + g * g)
        shared = shared + (g * g).amax()
    assert torch.equal(mu, shared)


def test_a_square_view_of_a_vector_takes_twice_the_root_of_its_size():
    assert Reshaped("square", Slices()).num_accumulators((10_000,)) == 200


def test_a_union_with_blocks_mends_the_polluted_crossing():
    spikes, one = torch.zeros(4, 4), torch.zeros(4, 4)
    spikes[0, 3] = spikes[3, 0] = 10.0
    one[0, 0] = 1.0
    crossing = {}
    for cover in (Slices(), Union(Slices(), Blocks(2))):
        _, mu = sm3_ii(cover, cover.init((4, 4)), spikes)
        crossing[cover.kind] = sm3_ii(cover, mu, one)[0][0, 0].item()
    assert crossing == {"slices": 101, "union": 1}


# Policies and errors


def test_without_rules_rank_decides():
    policy = CoverPolicy()
    assert policy.cover_for("w", (3, 2)) == Slices()
    assert policy.cover_for("b", (3,)) == policy.cover_for("t", ()) == Singletons()


def test_the_first_matching_rule_wins():
    policy = CoverPolicy(rules=(("*.embed.*", Slices(dims=(0,))), ("*", Singletons())))
    assert policy.cover_for("lm.embed.weight", (3, 2)) == Slices(dims=(0,))
    assert policy.cover_for("lm.head.weight", (3, 2)) == Singletons()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Slices(dims=()), "leaves index 0 uncovered"),
        (
            lambda: Slices(dims=(2,)).init((3, 4)),
            r"slices along dim 2 of a tensor of shape \(3, 4\): allowed are -2..1",
        ),
        (lambda: Slices(dims=(0, -2)).init((3, 4)), "twice"),
        (lambda: Blocks(0), "tile=0 leave index 0 uncovered"),
        (lambda: Blocks((2, 2)).init((3,)), r"tensors of rank 2, not of shape \(3,\)"),
        (lambda: Reshaped((-1, -1), Whole()), "at most one -1"),
        (
            lambda: Reshaped((5, -1), Whole()).init((3, 4)),
            r"shape \(3, 4\) \(12 entries\) cannot be viewed as",
        ),
        (lambda: Union(Whole()), "at least two"),
        (
            lambda: Explicit([[0, 1], [3]], (2, 2)),
            r"leave index 2 uncovered, which is \(1, 0\) in shape \(2, 2\)",
        ),
        (lambda: Explicit([[0, 4]], (2, 2)), r"set 0 holds 4; allowed are 0\.\.3"),
        (lambda: Explicit([[0, 0], [1]], (2,)), "set 0 holds an index twice"),
        (lambda: Explicit([[0, 1]], (2,)).init((3,)), r"shape \(2,\) cannot cover a tensor of shape \(3,\)"),
    ],
)
def test_what_cannot_be_covered_says_why(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "slice"},
        {"kind": "slices", "dims": []},
        {"kind": "slices", "dim": [0]},
        {"kind": "slices", "dims": [99]},
    ],
    ids=str,
)
def test_malformed_specs_are_refused(spec):
    with pytest.raises(ValidationError):
        from_spec(spec)

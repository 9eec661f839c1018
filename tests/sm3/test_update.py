"""The definition: `sm3.update` against loops over explicit sets, and the laws it must keep."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sm3.covers import Blocks, Reshaped, Singletons, Slices, Union, Whole
from sm3.update import EPSILON, Variant, advance, direction, sm3_i, sm3_ii

COVERS = [
    Slices(),
    Slices(dims=(0,)),
    Slices(dims=(-1,)),
    Singletons(),
    Whole(),
    Blocks(2),
    Reshaped("square", Slices()),
    Union(Slices(), Blocks(2)),
]
shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)


def gradients(seed, shape, steps=6):
    generator = torch.Generator().manual_seed(seed)
    scale = 10 ** torch.empty(steps, *shape).uniform_(-3, 3, generator=generator)
    g = torch.randn(steps, *shape, generator=generator) * scale
    return g * (torch.rand(steps, *shape, generator=generator) > 0.3)


@pytest.mark.parametrize("beta2", [None, 0.0, 0.9])
@pytest.mark.parametrize("variant", Variant)
@pytest.mark.parametrize("cover", COVERS, ids=repr)
@pytest.mark.parametrize("shape", [(5,), (1, 4), (4, 1), (3, 4), (2, 3, 2, 1, 2)], ids=str)
def test_the_step_equals_loops_over_explicit_sets(oracle, cover, shape, variant, beta2):
    mu = cover.init(shape)
    truth = oracle(cover.sets(shape), int(np.prod(shape)), variant=variant, beta2=beta2)
    for g in gradients(1, shape):
        u, mu = advance(cover, mu, g, variant=variant, beta2=beta2)
        # float32 against float64: a few roundings a step
        np.testing.assert_allclose(u.reshape(-1), truth.direction(g), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(torch.cat([m.reshape(-1) for m in mu]), truth.mu, rtol=1e-5)


@settings(max_examples=40, deadline=None)
@given(shape=shapes, seed=st.integers(0, 2**31), cover=st.sampled_from(COVERS))
def test_gamma_is_at_most_nu_ii_is_at_most_nu_i(shape, seed, cover):
    gamma = torch.zeros(shape)
    mu_i = mu_ii = cover.init(shape)
    for g in gradients(seed, shape):
        gamma += g * g
        nu_ii, mu_ii = sm3_ii(cover, mu_ii, g)
        nu_i, mu_i = sm3_i(cover, mu_i, g)
        slack = 1 + 1e-6  # float32 sums in different orders
        assert (gamma <= nu_ii * slack).all()
        assert (nu_ii <= nu_i * slack).all()


@settings(max_examples=40, deadline=None)
@given(
    shape=shapes, seed=st.integers(0, 2**31), cover=st.sampled_from(COVERS), variant=st.sampled_from(Variant)
)
def test_accumulators_never_fall_without_beta2(shape, seed, cover, variant):
    mu = cover.init(shape)
    for g in gradients(seed, shape):
        _, after = advance(cover, mu, g, variant=variant)
        assert all((new >= old).all() for new, old in zip(after, mu, strict=True))
        mu = after


def test_accumulators_fall_with_beta2_once_gradients_vanish():
    cover, zero = Slices(), torch.zeros(3, 4)
    _, mu = advance(cover, cover.init((3, 4)), torch.ones(3, 4), beta2=0.5)
    for halvings in range(1, 4):
        _, mu = advance(cover, mu, zero, beta2=0.5)
        assert all(torch.equal(m, torch.full_like(m, 0.5 ** (1 + halvings))) for m in mu)


def test_zero_over_zero_is_zero():
    u, _ = advance(Slices(), Slices().init((2, 3)), torch.zeros(2, 3))
    assert torch.equal(u, torch.zeros(2, 3))


def test_a_gradient_whose_square_underflows_is_divided_by_no_zero():
    u, _ = advance(Slices(), Slices().init((2, 2)), torch.full((2, 2), 1e-25))
    torch.testing.assert_close(u, torch.full((2, 2), 1e-25 / EPSILON**0.5))


def test_nan_and_inf_take_their_course():
    g = torch.tensor([float("nan"), float("inf"), 1e30, 1.0])
    u = direction(g, g * g)
    assert u.isnan().tolist() == [True, True, False, False]
    assert u[2] == 0  # the square overflows to inf


def test_a_spike_in_a_row_and_one_in_a_column_pollute_their_crossing():
    cover = Slices()
    spikes = torch.zeros(2, 2)
    spikes[0, 1] = spikes[1, 0] = 10.0
    _, mu = advance(cover, cover.init((2, 2)), spikes)
    one = torch.zeros(2, 2)
    one[0, 0] = 1.0
    nu, _ = sm3_ii(cover, mu, one)
    assert nu[0, 0] == 101

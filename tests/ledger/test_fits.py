"""What fits: the largest batch and the largest model, exactly at their edges."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sm3.ledger import Step, answer, predict
from sm3.ledger.fits import Transformer, activation_bytes, largest_batch, largest_of
from sm3.remote.ledger_specs import Dtype, LedgerSpec

LEDGER = predict({"w": (1000, 1000)}, "adamw", step=Step("cuda", foreach=False))


@settings(deadline=None)  # a loaded machine is no fault of the ledger's
@given(memory=st.integers(0, 10**9), per_sample=st.integers(1, 10**7), reserve=st.integers(0, 10**8))
def test_the_largest_batch_fits_and_one_more_does_not(memory: int, per_sample: int, reserve: int) -> None:
    batch = largest_batch(
        LEDGER, memory_bytes=memory, activation_bytes_per_sample=per_sample, reserve_bytes=reserve
    )
    room = memory - reserve
    if batch:
        assert LEDGER.peak_bytes(batch * per_sample) <= room
    assert LEDGER.peak_bytes((batch + 1) * per_sample) > room


def test_a_step_that_does_not_fit_leaves_no_batch() -> None:
    held, step = LEDGER.total.held, LEDGER.transient_bytes
    assert step == 8 * 10**6
    assert largest_batch(LEDGER, memory_bytes=held + step - 1, activation_bytes_per_sample=1) == 0
    assert largest_batch(LEDGER, memory_bytes=held + step, activation_bytes_per_sample=1) == step


def test_the_estimate_is_the_published_formula_in_16_bits() -> None:
    of = Transformer(layers=96, width=12288, heads=96, context=2048)  # GPT-3 of arXiv 2205.05198
    s, h, a = 2048, 12288, 96
    assert activation_bytes(of) == 96 * (34 * s * h + 5 * a * s * s) == 96 * s * h * (34 + 5 * a * s // h)
    assert activation_bytes(of, dtype=Dtype.FP32) == 96 * (66 * s * h + 9 * a * s * s)
    assert activation_bytes(of, tokens=1) == 96 * (34 * h + 5 * a)


def test_twice_the_batch_fits_in_the_same_memory() -> None:
    bert = {"model": "bert-large", "optimizers": ["adamw", "sm3"], "foreach": False}
    per_sample = 138_412_032
    memory = predict("bert-large", "adamw").total.held + 8 * per_sample
    fit = {"device_memory_bytes": memory, "sequence_length": 128}
    adamw, sm3 = answer(LedgerSpec.model_validate({**bert, "fit": fit})).ledgers
    assert adamw.fit.activation_bytes_per_sample == per_sample
    assert adamw.fit.largest_batch == 8
    assert sm3.fit.largest_batch == 17
    assert sm3.fit.peak_bytes <= memory
    given_ = {"device_memory_bytes": memory, "activation_bytes_per_sample": per_sample // 2}
    twice = answer(LedgerSpec.model_validate({**bert, "fit": given_})).ledgers[0]
    assert twice.fit.largest_batch == 16
    assert twice.fit.activation_source == "as given"


def test_the_largest_model_of_a_family_holds_the_batch_and_the_next_does_not() -> None:
    ask = {"model": "gpt2-small", "optimizers": ["sm3"]}
    fit = {"device_memory_bytes": 24 * 2**30, "sequence_length": 256, "batch": 4}
    found = answer(LedgerSpec.model_validate({**ask, "fit": fit})).ledgers[0].fit.largest_model
    assert found == "gpt2-xl"
    fit["device_memory_bytes"] = 2**20
    assert answer(LedgerSpec.model_validate({**ask, "fit": fit})).ledgers[0].fit.largest_model is None


def test_no_model_of_a_family_is_larger_than_what_fits() -> None:
    family = [
        ("small", LEDGER, 10),
        ("large", predict({"w": (2000, 1000)}, "adamw", step=Step("cpu", False)), 10),
    ]
    small = LEDGER.total.held + LEDGER.transient_bytes
    assert largest_of(family, memory_bytes=small - 1) is None
    assert largest_of(family, memory_bytes=small) == "small"
    assert largest_of(family, memory_bytes=2 * small) == "large"
    assert largest_of(family, memory_bytes=2 * small, batch=10**9) is None


def test_a_model_without_an_estimate_asks_for_a_number() -> None:
    ask = {"model": "resnet-50", "fit": {"device_memory_bytes": 2**33}}
    with pytest.raises(ValueError, match="there is no estimate for 'resnet-50'"):
        answer(LedgerSpec.model_validate(ask))

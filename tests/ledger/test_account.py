"""Laws that every ledger keeps, whatever the optimizer."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sm3.ledger import Bytes, LedgerError, Step, TensorShape, predict
from sm3.ledger.account import account
from sm3.ledger.rules.base import Part
from sm3.ledger.rules.registry import RULES, rule_of
from sm3.ledger.shapes import tensors_from
from sm3.remote.ledger_specs import OPTIMIZER_NAMES, AdamWLedgerSpec, Dtype
from sm3.remote.optimizer_specs import AdagradSpec, AdamWSpec, SgdSpec, Sm3Spec

shapes = st.lists(st.integers(0, 40), max_size=5).map(tuple)
models = st.lists(shapes, min_size=1, max_size=6).map(lambda all_: {f"t{k}": s for k, s in enumerate(all_)})
optimizers = st.sampled_from(OPTIMIZER_NAMES)


def test_the_registry_and_the_specs_name_the_same_optimizers() -> None:
    assert tuple(RULES) == OPTIMIZER_NAMES


@settings(deadline=None)  # a loaded machine is no fault of the ledger's
@given(model=models, optimizer=optimizers, foreach=st.booleans(), device=st.sampled_from(["cpu", "cuda"]))
def test_totals_are_the_sums_of_rows_and_of_what_is_shared(
    model: dict, optimizer: str, foreach: bool, device: str
) -> None:
    ledger = predict(model, optimizer, step=Step(device, foreach))
    shared = sum(kept.num_bytes for kept in ledger.shared)
    for field in fields(Bytes):
        rows = sum(getattr(row.bytes, field.name) for row in ledger.rows)
        assert getattr(ledger.total, field.name) == rows + (shared if field.name == "other" else 0)
    total = ledger.total
    assert total.state == total.momentum + total.accumulators + total.other
    assert total.held == total.weights + total.gradients + total.master + total.state
    assert total.state == shared + sum(kept.num_bytes for row in ledger.rows for kept in row.kept)
    assert 0 <= ledger.transient_bytes <= 2 * sum(row.transient_bytes for row in ledger.rows)
    assert ledger.peak_bytes(10**9) == total.held + max(10**9, ledger.transient_bytes)
    assert [row.tensor.name for row in ledger.rows] == list(model)


@settings(deadline=None)  # a loaded machine is no fault of the ledger's
@given(shape=st.lists(st.integers(2, 40), min_size=2, max_size=5).map(tuple))
def test_slices_never_keep_more_than_adagrad_for_two_dims_and_more_of_size_two_and_more(shape: tuple) -> None:
    sm3 = account({"w": shape}, Sm3Spec(momentum=0)).total.accumulators
    adagrad = account({"w": shape}, AdagradSpec()).total.accumulators
    assert sm3 == 4 * sum(shape)
    assert sm3 <= adagrad


@settings(deadline=None)  # a loaded machine is no fault of the ledger's
@given(shape=shapes.filter(lambda s: len(s) <= 1))
def test_vectors_keep_what_adagrad_keeps(shape: tuple) -> None:
    sm3 = account({"w": shape}, Sm3Spec(momentum=0)).total.accumulators
    assert sm3 == account({"w": shape}, AdagradSpec()).total.accumulators


@settings(deadline=None)  # a loaded machine is no fault of the ledger's
@given(
    shape=st.lists(st.integers(1, 40), min_size=1, max_size=4).map(tuple),
    dim=st.integers(0, 3),
    optimizer=optimizers.filter(lambda name: not name.startswith("adamw8bit")),
)
def test_a_larger_tensor_never_keeps_less(shape: tuple, dim: int, optimizer: str) -> None:
    larger = list(shape)
    larger[dim % len(shape)] += 1
    small, large = predict({"w": shape}, optimizer), predict({"w": tuple(larger)}, optimizer)
    for field in fields(Bytes):
        assert getattr(small.total, field.name) <= getattr(large.total, field.name)


@settings(deadline=None)  # a loaded machine is no fault of the ledger's
@given(entries=st.integers(4097, 10**6))
def test_eight_bits_keep_less_than_float32_once_a_tensor_is_quantized(entries: int) -> None:
    state = predict({"w": (entries,)}, "adamw8bit").total.state
    assert state < predict({"w": (entries,)}, "adamw").total.state
    assert state == 2 * entries + 2 * 4 * -(-entries // 256) + 2 * 4 * 256


@settings(deadline=None)  # a loaded machine is no fault of the ledger's
@given(model=models, optimizer=optimizers)
def test_frozen_tensors_cost_their_own_bytes_and_change_nothing_else(model: dict, optimizer: str) -> None:
    tensors = [TensorShape(name, shape) for name, shape in model.items()]
    frozen = TensorShape("frozen", (7, 9), Dtype.INT64, trainable=False)
    alone, beside = predict(tensors, optimizer), predict([*tensors, frozen], optimizer)
    assert beside.total == alone.total + Bytes(weights=8 * 63)
    assert beside.transient_bytes == alone.transient_bytes
    assert beside.num_parameters == alone.num_parameters


@pytest.mark.parametrize("name", OPTIMIZER_NAMES)
def test_a_master_copy_is_stepped_as_float32_and_costs_four_bytes_a_number(name: str) -> None:
    model = {"w": (128, 64), "b": (64,)}
    plain = predict(model, name)
    mixed = predict(model, name, weights=Dtype.BF16, master_weights=True)
    entries = 128 * 64 + 64
    assert mixed.total == Bytes(
        weights=2 * entries,
        gradients=2 * entries,
        master=4 * entries,
        **{part.value: getattr(plain.total, part.value) for part in Part},
    )
    assert predict(model, name, master_weights=True).total == plain.total  # float32 weights are their own


def test_gradients_are_stored_as_the_weights_unless_told_otherwise() -> None:
    model = {"w": (100,)}
    assert predict(model, "lion", weights=Dtype.BF16).total.gradients == 200
    assert predict(model, "lion", weights=Dtype.BF16, gradients=Dtype.FP32).total.gradients == 400


def test_a_jobs_own_spec_is_a_ledgers_spec() -> None:
    assert rule_of(AdamWSpec(lr=1.0)).spec == AdamWLedgerSpec(lr=1.0)
    assert account({"w": (10,)}, AdamWSpec()).total.state == 84
    assert account({"w": (10,)}, SgdSpec(momentum=0)).total.state == 0


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({"a": (-1, 3), "b": (2**41,), "c": (2**30, 2**30)}, {"tensors.0.shape", "tensors.1.shape", "tensors.2.shape"}),
        ({"a": (1,) * 17}, {"tensors.0.shape"}),
        ([TensorShape("a", (1,)), TensorShape("a", (2,))], {"tensors.1.name"}),
        ({}, {"tensors"}),
    ],
)  # fmt: skip
def test_every_impossible_shape_is_named_at_once(given: object, fields: set[str]) -> None:
    with pytest.raises(LedgerError) as caught:
        tensors_from(given)  # type: ignore[arg-type]
    assert {fault.field for fault in caught.value.faults} == fields


@pytest.mark.parametrize(
    ("tensors", "optimizer", "told"),
    [
        ([TensorShape("a", (2, 3), Dtype.INT8)], "adamw", "floating-point"),
        ([TensorShape("a", (2, 3), trainable=False)], "adamw", "at least one with trainable true"),
        ({"a": (4, 3)}, {"name": "sm3", "cover": {"kind": "blocks", "tile": [2]}}, "cover tensors of rank 1"),
        ({"a": (4, 3)}, {"name": "sm3", "rules": [{"match": "b*", "cover": {"kind": "whole"}}]}, "matches a tensor"),
        ({"a": (4, 3)}, {"name": "sm3", "cover": {"kind": "advise", "budget_bytes": 9}}, "launch a job"),
        ({"query.weight": (3, 5)}, "adam-mini", "divides the 15 entries"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_clear_error(tensors: object, optimizer: object, told: str) -> None:
    with pytest.raises(LedgerError, match=told) as caught:
        predict(tensors, optimizer)  # type: ignore[arg-type]
    assert len(caught.value.faults) == 1


@pytest.mark.parametrize(
    ("optimizer", "title"),
    [
        ({"name": "sm3"}, "SM3, momentum fp32"),
        (
            {"name": "sm3", "cover": {"kind": "slices", "dims": [0]}, "momentum": 0},
            "SM3, slices-0, no momentum",
        ),
        (
            {"name": "sm3", "rules": [{"match": "*", "cover": {"kind": "whole"}}], "momentum_dtype": "int8"},
            "SM3, slices and 1 rule, momentum int8",
        ),
        ({"name": "adamw", "amsgrad": True}, "AdamW, amsgrad"),
        ({"name": "sgd", "momentum": 0}, "SGD"),
    ],
)
def test_titles_tell_the_settings_that_cost_bytes(optimizer: dict, title: str) -> None:
    assert predict({"w": (4, 4)}, optimizer).rule.title == title

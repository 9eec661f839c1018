"""Every diagnosis is made where its numbers say so, tells them, and is silent just below."""

from __future__ import annotations

from typing import Any

import pytest

from sm3.ledger import Ledger, Step, TensorShape, predict
from sm3.ledger.diagnose import MIB, RULES, Evidence, diagnose
from sm3.remote.ledger_specs import Dtype

MODEL = {"w": (2048, 2048)}
WEIGHTS = 4 * 2048 * 2048
CPU = Step("cpu", foreach=False)


def found(ledger: Ledger, *, step: Step = CPU, **measured: Any) -> dict[str, dict[str, Any]]:
    return {f.name: f.numbers for f in diagnose(Evidence(ledger=ledger, step=step, **measured))}


def test_nothing_measured_and_nothing_large_is_nothing_found() -> None:
    assert found(predict(MODEL, "adamw", step=CPU)) == {}


def test_every_rule_has_a_name_that_is_its_own_and_is_documented() -> None:
    assert len({rule.__name__ for rule in RULES}) == len(RULES)
    assert all(rule.__doc__ for rule in RULES)


def test_a_state_that_is_not_the_predicted_one_is_told() -> None:
    ledger = predict(MODEL, "adamw", step=CPU)
    right = ledger.total.state
    assert "state-differs" not in found(ledger, state=right)
    numbers = found(ledger, state=right + 1)["state-differs"]
    assert numbers == {"measured_state_bytes": right + 1, "predicted_state_bytes": right}


def test_activations_dominate_where_the_peak_lies_beyond_twice_the_state() -> None:
    ledger = predict(MODEL, "adamw", step=CPU)
    edge = ledger.total.held + ledger.total.state
    assert "activations-dominate" not in found(ledger, device_peak=edge)
    numbers = found(ledger, device_peak=edge + 1)["activations-dominate"]
    assert numbers["beyond_held_bytes"] == ledger.total.state + 1
    assert "activations-dominate" not in found(ledger, device_peak=edge + 1, probes=1)


def test_on_a_cpu_the_process_is_what_is_large() -> None:
    ledger = predict({"w": (8, 8)}, "adamw", step=CPU)
    numbers = found(ledger, process_peak=500 * MIB)["process-dominates"]
    assert numbers["beyond_held_bytes"] == 500 * MIB - ledger.total.held
    assert "process-dominates" not in found(ledger, process_peak=2 * ledger.total.held)
    assert "process-dominates" not in found(ledger, process_peak=500 * MIB, device_peak=1)


def test_weights_dominate_once_the_optimizer_holds_a_quarter_or_less() -> None:
    lean = predict(MODEL, {"name": "sm3", "momentum": 0}, step=CPU)
    assert found(lean)["weights-dominate"]["weights_and_gradients_bytes"] == 2 * WEIGHTS
    assert "weights-dominate" not in found(predict(MODEL, "lion", step=CPU))  # a third


def test_fp32_momentum_is_found_in_sm3_alone_and_says_what_int8_would_hold() -> None:
    numbers = found(predict(MODEL, "sm3", step=CPU))["fp32-momentum"]
    assert numbers["momentum_bytes"] == WEIGHTS
    assert numbers["int8_momentum_bytes"] == 2048 * 2048 + 4 * 2048 * 8
    for other in ({"name": "sm3", "momentum_dtype": "int8"}, {"name": "sm3", "momentum": 0}, "lion"):
        assert "fp32-momentum" not in found(predict(MODEL, other, step=CPU))


def test_covers_that_keep_as_much_as_adagrad_are_named_with_their_largest_tensor() -> None:
    whole = [f for f in diagnose(Evidence(ledger=predict(
        {"small": (64, 64), "long": (10**6,)}, {"name": "sm3", "momentum": 0}, step=CPU), step=CPU))
        if f.name == "covers-keep-much"]  # fmt: skip
    assert whole[0].numbers["largest_bytes"] == 4 * 10**6
    assert "'long' (1000000,) under singletons" in whole[0].says
    assert "covers-keep-much" not in found(predict(MODEL, {"name": "sm3", "momentum": 0}, step=CPU))


def test_foreach_temporaries_are_found_where_all_tensors_step_at_once() -> None:
    layers = {f"w{k}": (256, 256) for k in range(100)}
    at_once = Step("cuda", foreach=True)
    numbers = found(predict(layers, "adamw", step=at_once), step=at_once)["foreach-temporaries"]
    one = 4 * 256 * 256
    assert numbers["transient_bytes"] == 100 * one
    assert numbers["one_by_one_bytes"] == 3 * one
    assert "foreach-temporaries" not in found(predict(layers, "adamw", step=CPU), step=CPU)


def test_copies_beside_the_optimizer_are_found_where_they_hold_more() -> None:
    ledger = predict(MODEL, {"name": "sm3", "momentum": 0}, step=CPU)
    state = ledger.total.state
    assert found(ledger, averaging=WEIGHTS, probes=5)["copies-beside"] == {
        "averaging_bytes": WEIGHTS, "probe_bytes": 5, "state_bytes": state,
    }  # fmt: skip
    assert "copies-beside" not in found(ledger, probes=state)
    none = predict(MODEL, {"name": "sgd", "momentum": 0}, step=CPU)
    assert "copies-beside" not in found(none)


@pytest.mark.parametrize(
    ("reserved", "allocated", "is_found"),
    [
        (1000, 800, True),
        (1000, 901, False),
        (100, 50, False),
        (640, 576, True),
        (None, 5, False),
        (5, None, False),
    ],
)
def test_allocator_caching_takes_a_tenth_and_64_mib(
    reserved: int | None, allocated: int | None, is_found: bool
) -> None:
    ledger = predict(MODEL, "adamw", step=CPU)
    sizes = [None if mib is None else mib * MIB for mib in (reserved, allocated)]
    assert ("allocator-caching" in found(ledger, reserved=sizes[0], allocated=sizes[1])) is is_found


def test_frozen_and_16_bit_tensors_are_diagnosed_alike() -> None:
    tensors = [TensorShape("w", (512, 512), Dtype.BF16), TensorShape("mean", (512,), trainable=False)]
    assert "fp32-momentum" in found(predict(tensors, "sm3", step=CPU))

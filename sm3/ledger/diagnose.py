"""Why did memory not shrink? Each rule looks at a ledger and at what was measured, and tells what it found in numbers.

To add a rule: a function from `Evidence` to a `Finding` or None, and its name in `RULES`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sm3.ledger.account import Ledger, draw_up
from sm3.ledger.rules.base import Step
from sm3.ledger.rules.sm3 import Sm3
from sm3.ledger.words import size
from sm3.remote.ledger_views import Finding

MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known of a run. Sizes are in bytes; None where something was not measured.

    Attributes:
        ledger: predicted, of the model under its optimizer.
        step: how steps are taken.
        state: measured on the optimizer's tensors.
        device_peak: the most that torch's allocator held on the device.
        allocated: what it holds now.
        reserved: what it keeps from the device, held or not.
        process_peak: the most that the process had resident, on a CPU.
        averaging: the averaged copy of the weights.
        probes: what statistics keep from step to step.
    """

    ledger: Ledger
    step: Step
    state: int | None = None
    device_peak: int | None = None
    allocated: int | None = None
    reserved: int | None = None
    process_peak: int | None = None
    averaging: int = 0
    probes: int = 0

    @property
    def known(self) -> int:
        """All that is held from step to step and can be named."""
        return self.ledger.total.held + self.averaging + self.probes


def diagnose(evidence: Evidence) -> tuple[Finding, ...]:
    """Returns what every rule found, in the order of `RULES`."""
    return tuple(finding for rule in RULES if (finding := rule(evidence)) is not None)


def state_differs(evidence: Evidence) -> Finding | None:
    """The optimizer holds something else than its rule says: a fault of the rule, or another version of torch."""
    predicted = evidence.ledger.total.state
    if evidence.state is None or evidence.state == predicted:
        return None
    return _finding(
        "state-differs",
        f"the optimizer holds {size(evidence.state)}, its rule says {size(predicted)}",
        f"check the rule ({evidence.ledger.rule.source}) against the versions in the job's manifest",
        measured_state_bytes=evidence.state,
        predicted_state_bytes=predicted,
    )


def activations_dominate(evidence: Evidence) -> Finding | None:
    """On the device more is taken by what a batch needs than by the optimizer's state."""
    if evidence.device_peak is None:
        return None
    rest, state = evidence.device_peak - evidence.known, evidence.ledger.total.state
    if rest <= state:
        return None
    return _finding(
        "activations-dominate",
        f"of the peak of {size(evidence.device_peak)}, {size(rest)} are activations and temporaries of a step, more "
        f"than the optimizer's {size(state)}",
        "a smaller batch, recomputing activations or bf16 save more here than any optimizer",
        peak_bytes=evidence.device_peak,
        held_bytes=evidence.known,
        beyond_held_bytes=rest,
        state_bytes=state,
    )


def process_dominates(evidence: Evidence) -> Finding | None:
    """On a CPU most of the process is neither weights nor state: Python, libraries, data, activations."""
    if evidence.process_peak is None or evidence.device_peak is not None:
        return None
    rest = evidence.process_peak - evidence.known
    if rest <= evidence.process_peak // 2:
        return None
    return _finding(
        "process-dominates",
        f"of the {size(evidence.process_peak)} the process had resident, {size(rest)} are Python, libraries, data and "
        f"activations; weights, gradients and state take {size(evidence.known)}",
        "compare the optimizer's state rather than the process: a model this small cannot show it",
        process_peak_bytes=evidence.process_peak,
        held_bytes=evidence.known,
        beyond_held_bytes=rest,
    )


def weights_dominate(evidence: Evidence) -> Finding | None:
    """Weights and gradients are three quarters of all that is held: the optimizer has little left to save."""
    total = evidence.ledger.total
    rest = total.held - total.state
    if 4 * rest < 3 * total.held:
        return None
    return _finding(
        "weights-dominate",
        f"weights and gradients take {size(rest)} of the {size(total.held)} held; the state is {size(total.state)}",
        "16-bit weights and gradients, or sharding them, are what is left",
        weights_and_gradients_bytes=rest,
        held_bytes=total.held,
        state_bytes=total.state,
    )


def foreach_temporaries(evidence: Evidence) -> Finding | None:
    """Torch's step for all tensors at once allocates a tenth or more of what is held."""
    ledger = evidence.ledger
    if not ledger.rule.at_once(evidence.step) or 10 * ledger.transient_bytes < ledger.total.held:
        return None
    one_by_one = _again(ledger, replace(evidence.step, foreach=False)).transient_bytes
    return _finding(
        "foreach-temporaries",
        f"each step allocates {size(ledger.transient_bytes)} beside the {size(ledger.total.held)} held, for it treats "
        f"all tensors at once; one by one it takes {size(one_by_one)}",
        "foreach=False or fused=True, where the peak falls into the step rather than into the backward pass",
        transient_bytes=ledger.transient_bytes,
        one_by_one_bytes=one_by_one,
        held_bytes=ledger.total.held,
    )


def fp32_momentum(evidence: Evidence) -> Finding | None:
    """SM3's momentum in float32 is half or more of its state."""
    ledger = evidence.ledger
    rule, total = ledger.rule, ledger.total
    if not isinstance(rule, Sm3) or not rule.spec.momentum or rule.spec.momentum_dtype != "fp32":
        return None
    if 2 * total.momentum < total.state:
        return None
    spec = rule.spec.model_copy(update={"momentum_dtype": "int8"})
    int8 = draw_up([row.tensor for row in ledger.rows], spec, step=evidence.step).total.momentum
    return _finding(
        "fp32-momentum",
        f"{size(total.momentum)} of the state of {size(total.state)} are momentum in float32; accumulators take "
        f"{size(total.accumulators)}",
        f"momentum_dtype int8 holds {size(int8)}, bf16 {size(total.momentum // 2)}, momentum 0 nothing",
        momentum_bytes=total.momentum,
        int8_momentum_bytes=int8,
        state_bytes=total.state,
    )


def covers_keep_much(evidence: Evidence) -> Finding | None:
    """SM3's covers keep half or more of AdaGrad's numbers: singletons, or tensors that no cover shrinks."""
    ledger = evidence.ledger
    if not isinstance(ledger.rule, Sm3) or 2 * ledger.total.accumulators < 4 * ledger.num_parameters:
        return None
    most = max(ledger.rows, key=lambda row: row.bytes.accumulators)
    return _finding(
        "covers-keep-much",
        f"accumulators take {size(ledger.total.accumulators)} where AdaGrad's take {size(4 * ledger.num_parameters)}; "
        f"most of it is {most.tensor.name!r} {most.tensor.shape} under {most.cover}",
        "slices, or for long vectors reshaped with view 'square', in a rule for these tensors",
        accumulators_bytes=ledger.total.accumulators,
        adagrad_bytes=4 * ledger.num_parameters,
        largest_bytes=most.bytes.accumulators,
    )


def copies_beside(evidence: Evidence) -> Finding | None:
    """The averaged weights and the statistics hold more than the optimizer."""
    beside, state = evidence.averaging + evidence.probes, evidence.ledger.total.state
    if beside <= state or not beside:
        return None
    return _finding(
        "copies-beside",
        f"averaged weights ({size(evidence.averaging)}) and statistics ({size(evidence.probes)}) hold more than the "
        f"optimizer's {size(state)}",
        "averaging null (a cool-down does much the same), fewer statistics, or sample_entries lower",
        averaging_bytes=evidence.averaging,
        probe_bytes=evidence.probes,
        state_bytes=state,
    )


def allocator_caching(evidence: Evidence) -> Finding | None:
    """Torch keeps a tenth or more of what it took from the device without using it."""
    if evidence.reserved is None or evidence.allocated is None:
        return None
    idle = evidence.reserved - evidence.allocated
    if 10 * idle < evidence.reserved or idle < 64 * MIB:
        return None
    return _finding(
        "allocator-caching",
        f"torch reserves {size(evidence.reserved)} of the device, of which {size(evidence.allocated)} are in use: what "
        "nvidia-smi shows is the former",
        "read allocated bytes; PYTORCH_ALLOC_CONF=expandable_segments:True lessens what is cut up",
        reserved_bytes=evidence.reserved,
        allocated_bytes=evidence.allocated,
        idle_bytes=idle,
    )


RULES: tuple[Callable[[Evidence], Finding | None], ...] = (
    state_differs,
    activations_dominate,
    process_dominates,
    weights_dominate,
    fp32_momentum,
    covers_keep_much,
    foreach_temporaries,
    copies_beside,
    allocator_caching,
)


def _again(ledger: Ledger, step: Step) -> Ledger:
    """The same ledger under another way to step."""
    return draw_up([row.tensor for row in ledger.rows], ledger.rule.spec, step=step)


def _finding(name: str, says: str, remedy: str, **numbers: int) -> Finding:
    return Finding(name=name, says=says, remedy=remedy, numbers=dict(numbers))

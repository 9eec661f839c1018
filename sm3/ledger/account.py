"""Draws up a ledger: every byte that a model and its optimizer hold, tensor by tensor and in total.

**held** is there from step to step: weights, gradients, master weights and the optimizer's state. **transient** is what
the step takes beside it and gives back. **peak** is held and the larger of transient and activations, which are not
there at the same time; it takes all gradients as there while activations are, of which some are freed by then, so the
true peak may lie a little lower.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from sm3.ledger.rules.base import Kept, Part, Rule, Step
from sm3.ledger.rules.registry import rule_of
from sm3.ledger.shapes import LedgerError, TensorShape, TensorsLike, tensors_from
from sm3.remote.ledger_specs import Dtype
from sm3.remote.spec import Spec
from sm3.remote.wire import FieldFault


@dataclass(frozen=True, slots=True, kw_only=True)
class Bytes:
    """Where bytes go; values add."""

    weights: int = 0
    gradients: int = 0
    master: int = 0
    momentum: int = 0
    accumulators: int = 0
    other: int = 0

    @property
    def state(self) -> int:
        """What the optimizer's state holds."""
        return self.momentum + self.accumulators + self.other

    @property
    def held(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.master + self.state

    def __add__(self, more: Bytes) -> Bytes:
        """Part by part."""
        return Bytes(**{f.name: getattr(self, f.name) + getattr(more, f.name) for f in fields(self)})


@dataclass(frozen=True, slots=True)
class Row:
    """One tensor's line.

    Attributes:
        tensor: name, shape and dtype as stored.
        cover: SM3's cover in a word, else ''.
        kept: the tensors of the optimizer's state.
        bytes: where its bytes go.
        transient_bytes: what stepping it takes for a while, alone.
    """

    tensor: TensorShape
    cover: str
    kept: tuple[Kept, ...]
    bytes: Bytes
    transient_bytes: int


@dataclass(frozen=True)
class Ledger:
    """A model's bytes under one optimizer.

    Attributes:
        rule: the optimizer's rule.
        rows: a line for each tensor, in the model's order.
        shared: what the optimizer keeps once for all tensors.
        transient_bytes: of the step of all tensors: together or in turn, as the optimizer steps.
    """

    rule: Rule[Any]
    rows: tuple[Row, ...]
    shared: tuple[Kept, ...]
    transient_bytes: int

    @cached_property
    def total(self) -> Bytes:
        """The sum of all rows and of what is shared."""
        parts = {f.name: sum(getattr(row.bytes, f.name) for row in self.rows) for f in fields(Bytes)}
        return Bytes(**parts) + _state(self.shared)

    @cached_property
    def num_parameters(self) -> int:
        """Entries of the trainable tensors."""
        return sum(row.tensor.num_entries for row in self.rows if row.tensor.trainable)

    def peak_bytes(self, activation_bytes: int = 0) -> int:
        """Held, and the larger of the step's own and the activations."""
        return self.total.held + max(self.transient_bytes, activation_bytes)


def account(
    tensors: TensorsLike,
    optimizer: Spec,
    *,
    weights: Dtype | None = None,
    gradients: Dtype | None = None,
    master_weights: bool = False,
    step: Step | None = None,
) -> Ledger:
    """Draws up the ledger of a model under an optimizer.

    Args:
        tensors: name to shape, or a list of `TensorShape`.
        optimizer: its spec: one of `sm3.remote.ledger_specs`, or a job's.
        weights: stores all trainable floating-point weights so; None leaves them.
        gradients: stores gradients so; None: as the weights.
        master_weights: whether each 16-bit weight has a float32 copy, which is what the optimizer steps.
        step: how steps are taken; None: by torch's default on CUDA.

    Raises:
        LedgerError: A shape is impossible, or the optimizer's settings do not fit the tensors; it tells all faults.

    >>> from sm3.remote.optimizer_specs import Sm3Spec
    >>> account({"weight": (1000, 64)}, Sm3Spec(momentum=0)).total.accumulators
    4256
    """
    stored = tensors_from(tensors)
    return draw_up(
        stored, optimizer, weights=weights, gradients=gradients, master_weights=master_weights, step=step
    )


def draw_up(
    stored: Sequence[TensorShape],
    optimizer: Spec,
    *,
    weights: Dtype | None = None,
    gradients: Dtype | None = None,
    master_weights: bool = False,
    step: Step | None = None,
) -> Ledger:
    """Does what `account` does, of tensors that are known to be possible."""
    step, rule = step or Step(), rule_of(optimizer)
    if weights is not None:
        stored = [replace(t, dtype=weights) if t.trainable else t for t in stored]
    stepped = [_stepped(t, master_weights) for t in stored]
    trainable = [t for t in stepped if t.trainable]
    if faults := [*_nothing_to_train(trainable), *rule.faults(trainable)]:
        raise LedgerError(faults[:100])
    drawn: dict[object, _Drawn] = {}  # equal layers are drawn once
    rows, working, left = [], [], []
    for own, seen in zip(stored, stepped, strict=True):
        key = (own.shape, own.dtype, own.trainable, rule.key(seen) if own.trainable else None)
        if (found := drawn.get(key)) is None:
            found = drawn[key] = _draw(rule, own, seen, gradients, step)
        rows.append(Row(own, found.cover, found.kept, found.bytes, found.working_bytes))
        if own.trainable:
            working.append(found.working_bytes)
            left.append(found.left_bytes)
    return Ledger(
        rule,
        tuple(rows),
        tuple(rule.shared(trainable)),
        rule.transient_bytes(trainable, working, left, step),
    )


def _stepped(tensor: TensorShape, master_weights: bool) -> TensorShape:
    """The tensor that the optimizer sees: its float32 copy, where there is one."""
    return replace(tensor, dtype=Dtype.FP32) if master_weights and tensor.dtype.is_half else tensor


def _nothing_to_train(trainable: list[TensorShape]) -> Iterable[FieldFault]:
    if not trainable:
        yield FieldFault(
            field="tensors", given="no trainable tensor", allowed="at least one with trainable true"
        )
    for tensor in trainable:
        if tensor.dtype in {Dtype.INT64, Dtype.INT32, Dtype.INT8, Dtype.UINT8, Dtype.BOOL}:
            yield FieldFault(
                field="tensors",
                given=f"{tensor.name!r} of {tensor.dtype}",
                allowed="floating-point dtypes for what is trained; else trainable false",
            )


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What all tensors of one shape, dtype and treatment have in common."""

    cover: str
    kept: tuple[Kept, ...]
    bytes: Bytes
    working_bytes: int
    left_bytes: int


def _draw(
    rule: Rule[Any], own: TensorShape, seen: TensorShape, gradients: Dtype | None, step: Step
) -> _Drawn:
    if not own.trainable:
        return _Drawn("", (), Bytes(weights=own.num_bytes), 0, 0)
    kept = tuple(rule.kept(seen))
    held = Bytes(
        weights=own.num_bytes,
        gradients=own.num_entries * (gradients or own.dtype).itemsize,
        master=seen.num_bytes if seen.dtype is not own.dtype else 0,
    )
    return _Drawn(
        rule.cover(seen),
        kept,
        held + _state(kept),
        rule.working_bytes(seen, step),
        rule.left_bytes(seen, step),
    )


def _state(kept: Iterable[Kept]) -> Bytes:
    parts = dict.fromkeys(Part, 0)
    for each in kept:
        parts[each.part] += each.num_bytes
    return Bytes(**{part.value: num_bytes for part, num_bytes in parts.items()})

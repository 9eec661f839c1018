"""Answers what the ledger is asked, for Python, the command line and REST alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from pydantic import TypeAdapter

from sm3.ledger.account import Bytes, Ledger, Row, account, draw_up
from sm3.ledger.catalogue.load import CatalogueModel, catalogue, model, of_recipe
from sm3.ledger.fits import activation_bytes, largest_batch, largest_of
from sm3.ledger.rules.base import Part, Step
from sm3.ledger.shapes import LedgerError, TensorsLike, tensors_from
from sm3.remote.ledger_specs import (
    MAX_LINES,
    AdamMiniSpec,
    AnyOptimizerSpec,
    Dtype,
    FitSpec,
    LedgerOptimizer,
    LedgerSpec,
)
from sm3.remote.ledger_views import (
    FitView,
    LedgerAnswer,
    ModelView,
    OptimizerLedger,
    PartBytes,
    TensorBytes,
)
from sm3.remote.spec import Spec
from sm3.remote.wire import FieldFault

if TYPE_CHECKING:
    import torch

_OPTIMIZER: TypeAdapter[AnyOptimizerSpec] = TypeAdapter(LedgerOptimizer)


def predict(
    of: str | torch.nn.Module | TensorsLike,
    optimizer: str | Mapping[str, Any] | Spec = "sm3",
    *,
    weights: Dtype | None = None,
    gradients: Dtype | None = None,
    master_weights: bool = False,
    step: Step | None = None,
) -> Ledger:
    """Returns the ledger of a model under an optimizer.

    Args:
        of: a name of the catalogue, a module (on `meta` too), name to shape, or a list of `TensorShape`.
        optimizer: a name, its JSON object, or its spec.
        weights: stores trainable weights so; None leaves them.
        gradients: stores gradients so; None: as the weights.
        master_weights: whether 16-bit weights have a float32 copy.
        step: how steps are taken.

    Raises:
        LedgerError: The model is not known, or settings do not fit it; it tells all faults.
        ValueError: The optimizer is not known or its description malformed (pydantic's error is one).

    >>> predict({"weight": (1000, 64)}, {"name": "sm3", "momentum": 0}).total.accumulators
    4256
    """
    known = model(of) if isinstance(of, str) else None
    tensors: TensorsLike
    if isinstance(of, str):
        tensors = model(of).tensors
    elif hasattr(of, "named_parameters"):  # a module: so torch is loaded already
        from sm3.ledger.measure import tensors_of

        tensors = tensors_of(cast("torch.nn.Module", of))
    else:
        tensors = of
    spec = optimizer if isinstance(optimizer, Spec) else _OPTIMIZER.validate_python(optimizer)
    return account(
        tensors,
        _with_heads(spec, known),
        weights=weights,
        gradients=gradients,
        master_weights=master_weights,
        step=step,
    )


def answer(spec: LedgerSpec) -> LedgerAnswer:
    """Returns the ledgers of the model asked for, one for each optimizer.

    Raises:
        LedgerError: Something does not fit; it tells all faults, by the fields of ``spec``, and nothing is answered.
    """
    asked = _model_of(spec)
    faults: list[FieldFault] = []
    if spec.per_tensor and (lines := len(asked.tensors) * len(spec.optimizers)) > MAX_LINES:
        allowed = (
            f"at most {MAX_LINES:,} lines, of all optimizers together: these are {lines:,}; ask for fewer"
        )
        faults.append(FieldFault(field="per_tensor", given=True, allowed=allowed))
    ledgers: list[Ledger] = []
    for number, optimizer in enumerate(spec.optimizers):
        try:
            ledgers.append(_ledger(asked, optimizer, spec))
        except LedgerError as error:
            faults += [_placed(fault, f"optimizers.{number}") for fault in error.faults]
    if spec.fit is not None and spec.fit.activation_bytes_per_sample is None and asked.transformer is None:
        faults.append(
            FieldFault(
                field="fit.activation_bytes_per_sample",
                given=None,
                allowed=f"a number: there is no estimate for {asked.name!r}",
            )
        )
    if faults:
        raise LedgerError(_once(faults))
    return LedgerAnswer(
        model=model_view(asked),
        ledgers=tuple(
            ledger_view(
                ledger, optimizer, per_tensor=spec.per_tensor, fit=_fit(spec, asked, optimizer, ledger)
            )
            for optimizer, ledger in zip(spec.optimizers, ledgers, strict=True)
        ),
    )


def model_view(shown: CatalogueModel) -> ModelView:
    """Returns a model as it is told."""
    return ModelView(
        name=shown.name,
        title=shown.title,
        family=shown.family,
        num_tensors=len(shown.tensors),
        num_parameters=shown.num_parameters,
        published=f"{shown.published_parameters:,}: {shown.published_in}"
        if shown.published_parameters
        else "",
        provenance=shown.provenance,
    )


def ledger_view(
    ledger: Ledger, optimizer: Spec, *, per_tensor: bool = False, fit: FitView | None = None
) -> OptimizerLedger:
    """Returns a ledger as it is told."""
    rule = ledger.rule
    per_sample = fit.activation_bytes_per_sample if fit else 0
    return OptimizerLedger(
        optimizer=optimizer.model_dump(mode="json", exclude_none=True),
        title=rule.title,
        verified=str(rule.verified) if rule.verified else "from the paper",
        source=rule.source,
        total=PartBytes(**_parts(ledger.total), transient_bytes=ledger.transient_bytes),
        peak_bytes=ledger.peak_bytes(per_sample),
        tensors=tuple(map(_row_view, ledger.rows)) if per_tensor else (),
        fit=fit,
        notes=tuple(rule.notes([row.tensor for row in ledger.rows if row.tensor.trainable])),
    )


def _row_view(row: Row) -> TensorBytes:
    return TensorBytes(
        name=row.tensor.name,
        shape=row.tensor.shape,
        dtype=row.tensor.dtype.value,
        cover=row.cover,
        accumulator_shapes=tuple(kept.shape for kept in row.kept if kept.part is Part.ACCUMULATORS),
        transient_bytes=row.transient_bytes,
        **_parts(row.bytes),
    )


def _parts(num_bytes: Bytes) -> dict[str, int]:
    names = ("weights", "gradients", "master", "momentum", "accumulators", "other", "state", "held")
    return {f"{name}_bytes": getattr(num_bytes, name) for name in names}


def _model_of(spec: LedgerSpec) -> CatalogueModel:
    if spec.model is not None:
        return model(spec.model)
    if spec.recipe is not None:
        return of_recipe(spec.recipe)
    assert spec.tensors is not None
    return CatalogueModel("", "the tensors given", "", tensors_from(spec.tensors), 0, "", 0, "given", None)


def _ledger(of: CatalogueModel, optimizer: Spec, spec: LedgerSpec) -> Ledger:
    foreach = spec.device == "cuda" if spec.foreach is None else spec.foreach
    return draw_up(
        of.tensors,
        _with_heads(optimizer, of),
        weights=spec.weights,
        gradients=spec.gradients,
        master_weights=spec.master_weights,
        step=Step(spec.device, foreach),
    )


def _with_heads(optimizer: Spec, of: CatalogueModel | None) -> Spec:
    """Adam-mini's spec with the model's width and heads where it leaves them open."""
    if isinstance(optimizer, AdamMiniSpec) and of is not None and of.transformer is not None:
        known = {"dim": of.transformer.width, "n_heads": of.transformer.heads}
        return optimizer.model_copy(update={k: v for k, v in known.items() if getattr(optimizer, k) is None})
    return optimizer


def _fit(spec: LedgerSpec, of: CatalogueModel, optimizer: Spec, ledger: Ledger) -> FitView | None:
    if (fit := spec.fit) is None:
        return None
    per_sample, source = _activations(fit, of)
    batch = largest_batch(
        ledger,
        memory_bytes=fit.device_memory_bytes,
        activation_bytes_per_sample=per_sample,
        reserve_bytes=fit.reserve_bytes,
    )
    relatives = [m for m in catalogue().values() if of.family and m.family == of.family and m.transformer]
    largest = None
    if fit.activation_bytes_per_sample is None:  # what is measured of one model does not serve another
        largest = largest_of(
            ((m.name, _ledger(m, optimizer, spec), _activations(fit, m)[0]) for m in relatives),
            memory_bytes=fit.device_memory_bytes,
            batch=fit.batch,
            reserve_bytes=fit.reserve_bytes,
        )
    return FitView(
        fixed_bytes=ledger.total.held,
        activation_bytes_per_sample=per_sample,
        activation_source=source,
        largest_batch=batch,
        peak_bytes=ledger.peak_bytes(batch * per_sample),
        largest_model=largest,
    )


def _activations(fit: FitSpec, of: CatalogueModel) -> tuple[int, str]:
    if fit.activation_bytes_per_sample is not None:
        return fit.activation_bytes_per_sample, "as given"
    assert of.transformer is not None
    tokens = fit.sequence_length or of.transformer.context
    num_bytes = activation_bytes(of.transformer, tokens=tokens, dtype=fit.activations)
    return num_bytes, f"estimate for {tokens} tokens in {fit.activations} (arXiv 2205.05198, equation 1)"


def _placed(fault: FieldFault, place: str) -> FieldFault:
    """A fault of one optimizer where it stands in the request; those of the tensors stand there already."""
    if fault.field.startswith("tensors"):
        return fault
    return fault.model_copy(update={"field": f"{place}.{fault.field}"})


def _once(faults: list[FieldFault]) -> list[FieldFault]:
    return list({(fault.field, fault.allowed): fault for fault in faults}.values())

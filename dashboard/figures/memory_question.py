"""What the Memory page asks the ledger: a model or a job, and what if its covers and dtypes were others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from glob import escape
from typing import Any, Literal

from dashboard.figures.cover_words import cover_of, rules_of
from sm3.remote.cover_specs import CoverRule, SlicesSpec
from sm3.remote.ledger_specs import (
    AdamW8bitSpec,
    AdamWLedgerSpec,
    AnyOptimizerSpec,
    Dtype,
    FitSpec,
    LedgerSpec,
)
from sm3.remote.optimizer_specs import AdafactorSpec, AdagradSpec, AdviseSpec, Sm3Spec
from sm3.remote.wire import AdvisedTensor, JobView

SAME = "as the job"
MOMENTA = ("fp32", "bf16", "int8", "none")
WEIGHTS = {
    "fp32": (None, False),
    "bf16": (Dtype.BF16, False),
    "bf16 + fp32 copy": (Dtype.BF16, True),
}
"""Words to dtype of weights and gradients, and whether the optimizer steps a float32 copy."""
GIB = 2**30
TOKENS = 512
"""Of a sample unless told otherwise: a model's full context would let little fit."""


@dataclass(frozen=True)
class WhatIf:
    """The page's controls, as its address holds them.

    Attributes:
        cover: in the words of `cover_words`, or `SAME`.
        momentum: one of `MOMENTA`, or `SAME`.
        weights: one of `WEIGHTS`.
        rules: in the words of `cover_words`; '' for none, or with `SAME` covers for the job's own.
        memory_gib: of the device that something is to fit on.
        tokens: of a sample; None: `TOKENS`, or a job's own.
        activations_mib: of a sample; None: estimated.
    """

    cover: str = "slices"
    momentum: str = "fp32"
    weights: str = "fp32"
    rules: str = ""
    memory_gib: float = 16.0
    tokens: int | None = None
    activations_mib: float | None = None


@dataclass(frozen=True)
class Question:
    """What is asked of the ledger.

    Attributes:
        chosen: SM3 as the controls have it.
        base: SM3 before anything was changed, None where nothing is.
        detail: asks for ``chosen`` and AdamW, tensor by tensor.
        rest: asks for the others: ``base``, ``chosen`` without momentum, AdamW in 8 bits, AdaGrad, Adafactor.
    """

    chosen: Sm3Spec
    base: Sm3Spec | None
    detail: LedgerSpec
    rest: LedgerSpec

    @property
    def without_fit(self) -> Question:
        """The same without asking what fits."""
        return replace(
            self,
            detail=self.detail.model_copy(update={"fit": None}),
            rest=self.rest.model_copy(update={"fit": None}),
        )


def question(
    what_if: WhatIf,
    *,
    model: str = "",
    job: JobView | None = None,
    advised: Sequence[AdvisedTensor] = (),
) -> Question:
    """Returns what to ask about the catalogue's ``model``, or about ``job`` with the covers that it was ``advised``.

    Raises:
        ValueError: a control holds what is none of its values; the message says what there is.
    """
    base = own_sm3(job, advised) if job is not None else Sm3Spec()
    chosen = _chosen(what_if, base)
    others: list[AnyOptimizerSpec] = [AdamW8bitSpec(), AdagradSpec(), AdafactorSpec()]
    if chosen.momentum:
        others.insert(0, chosen.model_copy(update={"momentum": 0.0}))
    if is_changed := _kept(chosen) != _kept(base):
        others.insert(0, base)
    common = _common(what_if, model, job)
    return Question(
        chosen,
        base if is_changed else None,
        LedgerSpec(optimizers=(chosen, AdamWLedgerSpec()), per_tensor=True, **common),
        LedgerSpec(optimizers=tuple(others), **common),
    )


def own_sm3(job: JobView, advised: Sequence[AdvisedTensor] = ()) -> Sm3Spec:
    """Returns the job's SM3 with the covers it was advised, slices until then; SM3's default for another optimizer."""
    spec = job.spec.optimizer
    if not isinstance(spec, Sm3Spec):
        return Sm3Spec()
    if not isinstance(spec.cover, AdviseSpec):
        return spec
    chosen = [CoverRule.model_validate({"match": escape(each.name), "cover": each.cover}) for each in advised]
    return spec.model_copy(update={"cover": SlicesSpec(), "rules": (*spec.rules, *chosen)})


def _chosen(what_if: WhatIf, base: Sm3Spec) -> Sm3Spec:
    changes: dict[str, Any] = {}
    if what_if.cover != SAME:
        changes |= {"cover": cover_of(what_if.cover), "rules": ()}
    if what_if.rules.strip():
        changes["rules"] = rules_of(what_if.rules)
    if what_if.momentum == "none":
        changes["momentum"] = 0.0
    elif what_if.momentum in MOMENTA:
        changes |= {"momentum": base.momentum or 0.9, "momentum_dtype": what_if.momentum}
    elif what_if.momentum != SAME:
        raise ValueError(f"momentum “{what_if.momentum}” is none of {', '.join(MOMENTA)}.")
    return base.model_copy(update=changes)


def _kept(spec: Sm3Spec) -> tuple[object, ...]:
    """What decides how many bytes an SM3 keeps."""
    return spec.cover, spec.rules, bool(spec.momentum) and spec.momentum_dtype


def _common(what_if: WhatIf, model: str, job: JobView | None) -> dict[str, Any]:
    if what_if.weights not in WEIGHTS:
        raise ValueError(f"weights “{what_if.weights}” are none of {', '.join(WEIGHTS)}.")
    weights, master = WEIGHTS[what_if.weights]
    device: Literal["cpu", "cuda"] = "cpu" if job is not None and job.device.startswith("CPU") else "cuda"
    given = what_if.activations_mib
    return {
        "model": model if job is None else None,
        "recipe": job.spec.recipe if job is not None else None,
        "weights": weights,
        "master_weights": master,
        "device": device,
        "fit": FitSpec(
            device_memory_bytes=max(1, round(what_if.memory_gib * GIB)),
            sequence_length=what_if.tokens or (TOKENS if job is None else None),
            activation_bytes_per_sample=max(1, round(given * 2**20)) if given else None,
        ),
    }

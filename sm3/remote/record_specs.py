"""What a job records, and how often. No torch."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from sm3.remote.cover_specs import CoverSpec, require_simple
from sm3.remote.spec import Spec

Glob = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Label = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,39}$")]


class ProbeName(StrEnum):
    """Statistics that a job can record besides loss, learning rate and timing; ``GET /v1/statistics`` tells more."""

    ACCUMULATORS = "accumulators"
    RATES = "rates"
    ACTIVATION = "activation"
    TIGHTNESS = "tightness"
    UPDATES = "updates"
    GROWTH = "growth"
    NONFINITE = "nonfinite"
    RATE_PROFILES = "rate_profiles"
    ALIKE = "alike"
    IDLE = "idle"
    TOPK = "topk"
    SQUARES = "squares"
    POISON = "poison"


DEFAULT_PROBES = (
    ProbeName.ACCUMULATORS,
    ProbeName.RATES,
    ProbeName.ACTIVATION,
    ProbeName.TIGHTNESS,
    ProbeName.GROWTH,
)


class ProbeSettings(Spec):
    """How one probe departs from the rest."""

    every: Annotated[int, Field(ge=1, le=1_000_000)] | Literal["geometric"] | None = Field(
        None,
        description="steps from reading to reading; 'geometric': step 1, then each a fifth later than the last; "
        "null: as often as frames are made",
    )
    tensors: tuple[Glob, ...] = Field(("*",), min_length=1, max_length=64, description="globs on names")
    k: int = Field(20, ge=1, le=100, description="how many the probe 'topk' lists")


class ShadowSpec(Spec):
    """Another cover on the same gradients; training does not notice."""

    cover: Annotated[CoverSpec, AfterValidator(require_simple)]
    variant: Literal["I", "II"] = "II"
    tensors: tuple[Glob, ...] = Field(("*",), min_length=1, max_length=64, description="globs on names")
    vectors: bool = Field(False, description="whether tensors of rank 0 and 1 that match are followed too")
    label: Label | None = Field(None, description="its name in frames; null: made from the cover")


class RecordSpec(Spec):
    """What is recorded, and how often a frame is made."""

    every: int = Field(10, ge=1, le=1_000_000, description="steps from frame to frame")
    probes: tuple[ProbeName, ...] = Field(DEFAULT_PROBES, max_length=len(ProbeName))
    probe_settings: dict[ProbeName, ProbeSettings] = Field(
        default_factory=dict, description="cadence and tensors of single probes"
    )
    sample_entries: int = Field(
        1024, ge=0, le=65_536, description="entries a tensor whose exact accumulators are kept; 0: none"
    )
    truth: tuple[Glob, ...] = Field(
        (), max_length=64, description="globs on the tensors whose exact accumulators are kept whole"
    )
    truth_limit_bytes: int = Field(64 * 2**20, ge=0, le=2**40, description="the most that these may take")
    shadows: tuple[ShadowSpec, ...] = Field((), max_length=32)
    shadow_limit_bytes: int = Field(
        256 * 2**20, ge=0, le=2**40, description="the most that accumulators of all shadows may take"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        faults = [
            f"probe_settings names {name.value!r}, which is not among probes: add it there or leave it out"
            for name in self.probe_settings
            if name not in self.probes
        ]
        faults += [f"probes names {name.value!r} twice" for name in ProbeName if self.probes.count(name) > 1]
        if ProbeName.POISON in self.probes and not self.truth:
            faults.append(
                "the probe 'poison' compares with whole truth: name tensors in truth, such as ['*embed*']"
            )
        if ProbeName.TIGHTNESS in self.probes and not self.truth and not self.sample_entries:
            faults.append("the probe 'tightness' needs sample_entries above 0 or tensors in truth")
        labels = [label_of(shadow) for shadow in self.shadows]
        faults += [
            f"two shadows are called {label!r}: give each a label of its own"
            for label in sorted({label for label in labels if labels.count(label) > 1})
        ]
        if faults:
            raise ValueError("; ".join(faults))
        return self


def label_of(shadow: ShadowSpec) -> str:
    """Returns the shadow's label, or one made from its cover and variant, such as ``slices-0`` or ``blocks-64-i``."""
    if shadow.label is not None:
        return shadow.label
    parts: list[str] = [shadow.cover.kind]
    for value in shadow.cover.model_dump(exclude={"kind"}, exclude_none=True).values():
        flat = value if isinstance(value, tuple | list) else (value,)
        parts += [str(item) if isinstance(item, int | str) else "etc" for item in flat[:4]]
    if shadow.variant == "I":
        parts.append("i")
    return "-".join(parts).replace("--", "-")[:40]

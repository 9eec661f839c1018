"""What a job is asked to be: the body of ``POST /v1/jobs``. No torch.

Every field but ``recipe`` has a sensible default; anything not listed is refused (``extra="forbid"``), so that
a misspelt field is an error and no code, path or URL comes in by REST.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from sm3.remote.optimizer_specs import OptimizerSpec, Sm3Spec
from sm3.remote.recipe_specs import RecipeSpec
from sm3.remote.record_specs import RecordSpec
from sm3.remote.spec import Spec


class ScheduleSpec(Spec):
    """Learning rate over the run: rises as ``(t/T0)^power`` over the first ``warmup`` share of the steps,
    stays, and falls linearly to 0 over the last ``cooldown`` share.

    SM3's accumulators only grow, so its step shrinks by itself; short runs want a long warm-up.
    """  # noqa: D205

    warmup: float = Field(0.5, ge=0, le=1, description="share of the steps, 0 to 1")
    power: float = Field(1.0, gt=0, le=10)
    cooldown: float = Field(0.0, ge=0, le=1, description="share of the steps, 0 to 1")

    @model_validator(mode="after")
    def _phases_fit(self) -> Self:
        if self.warmup + self.cooldown > 1:
            raise ValueError(
                f"warmup {self.warmup} and cooldown {self.cooldown} must not add up to more than 1: lower one"
            )
        return self


class PolyakSpec(Spec):
    """The plain mean of the parameters over all steps after the first ``start`` share of the run."""

    kind: Literal["polyak"] = "polyak"
    start: float = Field(0.5, ge=0, lt=1, description="share of the steps before averaging begins, 0 to 1")


class ExponentialSpec(Spec):
    """The exponential moving average of the parameters."""

    kind: Literal["exponential"] = "exponential"
    decay: float = Field(0.999, gt=0, lt=1, description="weight of the average against the newest parameters")


AveragingSpec = Annotated[PolyakSpec | ExponentialSpec, Field(discriminator="kind")]


class ValidationSpec(Spec):
    """How often the held-out data are evaluated; the last step always is."""

    every: int = Field(250, ge=1, le=1_000_000, description="steps from validation to validation")


class Device(StrEnum):
    """Where to train; ``auto`` is CUDA where there is one."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Precision(StrEnum):
    """Arithmetic of forward and backward; ``bf16`` uses autocast, parameters stay fp32."""

    FP32 = "fp32"
    BF16 = "bf16"


Label = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class JobSpec(Spec):
    """A training job."""

    recipe: RecipeSpec
    optimizer: OptimizerSpec = Field(default_factory=Sm3Spec)
    schedule: ScheduleSpec = Field(default_factory=ScheduleSpec)
    averaging: AveragingSpec | None = Field(
        None,
        description="an average of the parameters, validated beside the last iterate; costs a copy of them",
    )
    steps: int = Field(3000, ge=1, le=100_000_000)
    seed: int = Field(0, ge=0, lt=2**63)
    device: Device = Device.AUTO
    precision: Precision = Precision.FP32
    record: RecordSpec = Field(default_factory=RecordSpec)
    validation: ValidationSpec = Field(default_factory=ValidationSpec)
    labels: dict[Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")], Label] = Field(
        default_factory=dict, max_length=32
    )

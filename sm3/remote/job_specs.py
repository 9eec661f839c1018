"""What a job is asked to be: the body of ``POST /v1/jobs``. No torch.

Every field but ``recipe`` has a sensible default; anything not listed is refused (``extra="forbid"``), so that
a misspelt field is an error and no code, path or URL comes in by REST.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, StringConstraints, model_validator

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


class CheckpointSpec(Spec):
    """How often all that is needed to go on exactly is written to disk; pausing and the last step always do."""

    every: int = Field(500, ge=1, le=1_000_000, description="steps from checkpoint to checkpoint")
    keep: int = Field(2, ge=1, le=100, description="how many of the newest are kept")


class RetrySpec(Spec):
    """What happens when a worker crashes. What the recipe itself raises is never tried again: it would recur."""

    attempts: int = Field(
        3,
        ge=0,
        le=1000,
        description="crashes in a row, without a new checkpoint in between, that are survived",
    )
    backoff_s: float = Field(
        1.0, ge=0, le=3600, description="wait before the first; doubles with each, up to 60 s"
    )


class LimitsSpec(Spec):
    """What a job may use at most; it fails, with its last checkpoint kept, where it wants more."""

    time_s: float | None = Field(
        None, gt=0, le=10_000_000, description="seconds of training over all attempts"
    )
    memory_bytes: int | None = Field(
        None,
        ge=64 * 2**20,
        le=2**44,
        description="resident memory of its worker's processes, RAM of the host",
    )


LabelKey = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]
Label = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Labels = Annotated[dict[LabelKey, Label], Field(max_length=32)]
Priority = Annotated[int, Field(ge=-100, le=100, description="among queued jobs the highest starts first")]


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
    checkpoint: CheckpointSpec = Field(default_factory=CheckpointSpec)
    retry: RetrySpec = Field(default_factory=RetrySpec)
    limits: LimitsSpec = Field(default_factory=LimitsSpec)
    priority: Priority = 0
    labels: Labels = Field(default_factory=dict)


class CloneSpec(Spec):
    """How a clone differs from the job it is made from."""

    change: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="a JSON merge patch (RFC 7396) on the job's spec: objects merge, null takes a field back to its "
        "default. Where it changes the `name` or `kind` of an object, it replaces that object.",
    )


class JobPatch(Spec):
    """What can be changed of a job at any time; fields that are left out stay as they are."""

    labels: Labels | None = Field(None, description="all labels from now on")
    notes: Annotated[str, StringConstraints(max_length=10_000)] | None = None
    priority: Priority | None = Field(None, description="tells only while the job is queued")

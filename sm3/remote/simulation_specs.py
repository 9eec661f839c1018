"""What can be asked of a simulation: SM3 on a few gradients that are sent along, and a learning rate's schedule.

Nothing is stored and nothing trains: it is for lessons and for trying a cover on paper. No torch.
"""

from __future__ import annotations

from math import prod
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from sm3.remote.cover_specs import CoverSpec, require_simple
from sm3.remote.spec import Spec

MAX_RANK = 3
MAX_ENTRIES = 1024
MAX_STEPS = 64
MAX_COVERS = 8
MAX_NUMBERS = 65_536
"""Most that steps × (entries + accumulators), summed over the covers, may come to: what an answer can carry."""
MAX_GRADIENT = 1e9

_Gradient = Annotated[float, Field(ge=-MAX_GRADIENT, le=MAX_GRADIENT)]


class SimulationSpec(Spec):
    """A few gradients of one small tensor, and the covers that each see all of them."""

    shape: Annotated[
        tuple[Annotated[int, Field(ge=1, le=MAX_ENTRIES)], ...], Field(min_length=1, max_length=MAX_RANK)
    ] = Field(description="of the tensor, at most 1,024 entries", examples=[[4, 5]])
    gradients: Annotated[
        tuple[Annotated[tuple[_Gradient, ...], Field(max_length=MAX_ENTRIES)], ...],
        Field(min_length=1, max_length=MAX_STEPS),
    ] = Field(description="one flat (row-major) gradient a step")
    covers: Annotated[
        tuple[Annotated[CoverSpec, AfterValidator(require_simple)], ...],
        Field(min_length=1, max_length=MAX_COVERS),
    ] = Field(description="as a job has them")
    variant: Literal["I", "II"] = "II"
    lr: float = Field(0.1, gt=0, le=1e3, description="learning rate of `rate`")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        entries = prod(self.shape)
        if entries > MAX_ENTRIES:
            raise ValueError(
                f"shape {list(self.shape)} has {entries:,} entries; at most {MAX_ENTRIES:,} are allowed"
            )
        for number, gradient in enumerate(self.gradients):
            if len(gradient) != entries:
                raise ValueError(
                    f"gradients.{number} has {len(gradient)} numbers; shape {list(self.shape)} needs {entries}"
                )
        return self


class ScheduleSpec(Spec):
    """A warm-up and a cool-down, as a job has them (`sm3.schedules.WarmupCooldown`)."""

    lr: float = Field(0.1, gt=0, le=1e3, description="of the plateau")
    total_steps: int = Field(100, ge=1, le=2000, description="steps of the whole run")
    warmup: float = Field(0.5, ge=0, le=1, description="T0 as a share of the steps")
    power: float = Field(2.0, gt=0, le=16, description="exponent of the rise")
    cooldown: float = Field(0.0, ge=0, le=1, description="share of the steps spent falling to 0")

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.warmup + self.cooldown > 1 + 1e-9:
            raise ValueError(
                f"warmup={self.warmup} and cooldown={self.cooldown} overlap; allowed: warmup + cooldown ≤ 1"
            )
        return self

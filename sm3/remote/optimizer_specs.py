"""The optimizers a job can train with: a discriminated union on `name`. No torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from sm3.remote.cover_specs import CoverRule, CoverSpec, SlicesSpec, require_simple
from sm3.remote.spec import Spec


class AdviseSpec(Spec):
    """Covers chosen by the advisor: measured on the first steps, then training starts over with them.

    Tensors that a rule names keep the rule's cover and are outside the budget.
    """

    kind: Literal["advise"] = "advise"
    budget_bytes: int = Field(
        ge=1, le=2**50, description="the most that accumulators of all tensors may take"
    )
    steps: int = Field(20, ge=1, le=10_000, description="steps under slices that candidates are measured on")
    objective: Literal["spread", "level", "p99"] = Field("spread", description="what is minimised")


class Sm3Spec(Spec):
    """SM3 (arXiv 1901.11150, Algorithms SM3-I and SM3-II).

    ``rules`` are tried in order on each parameter's name; ``cover`` serves the rest. Parameters of rank 0 and
    1 keep one number an entry unless a rule says otherwise.
    """

    name: Literal["sm3"] = "sm3"
    lr: float = Field(0.1, gt=0, le=1000, description="learning rate after warm-up")
    momentum: float = Field(0.9, ge=0, lt=1, description="0 keeps no momentum buffer at all")
    momentum_dtype: Literal["fp32", "bf16", "int8"] = Field("fp32", description="how momentum is kept")
    variant: Literal["I", "II"] = Field("II", description="the paper's algorithms; II is never looser")
    beta2: float | None = Field(None, ge=0, lt=1, description="null: sums; else moving averages that forget")
    weight_decay: float = Field(0.0, ge=0, le=10, description="decoupled")
    cover: Annotated[CoverSpec | AdviseSpec, Field(discriminator="kind")] = Field(default_factory=SlicesSpec)
    rules: tuple[CoverRule, ...] = Field((), max_length=64)

    @field_validator("cover")
    @classmethod
    def _simple(cls, cover: CoverSpec | AdviseSpec) -> CoverSpec | AdviseSpec:
        return cover if isinstance(cover, AdviseSpec) else require_simple(cover)


class AdamWSpec(Spec):
    """AdamW as torch has it: the baseline a job can be compared with. Keeps two numbers a parameter."""

    name: Literal["adamw"] = "adamw"
    lr: float = Field(1e-3, gt=0, le=1000)
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.999, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0, le=10)


class AdagradSpec(Spec):
    """AdaGrad as torch has it: one number a parameter, the exact Σ g² that SM3's covers bound.

    torch's AdaGrad has no momentum: compare it with SM3 at ``momentum`` 0. It has no ``weight_decay`` here, which
    torch would add to the gradient and so to the sums.
    """

    name: Literal["adagrad"] = "adagrad"
    lr: float = Field(0.05, gt=0, le=1000)
    eps: float = Field(1e-10, ge=0, le=1, description="added to the root of the sum")


class AdafactorSpec(Spec):
    """Adafactor as torch has it (arXiv 1804.04235), without momentum: m + n numbers for an m × n matrix.

    It scales each step by the size of the tensor and clips it, so its ``lr`` is not that of the others.
    """

    name: Literal["adafactor"] = "adafactor"
    lr: float = Field(0.01, gt=0, le=1000, description="the largest step relative to the tensor's size")
    beta2_decay: float = Field(-0.8, ge=-10, lt=0, description="the average forgets by 1 - step^beta2_decay")
    clip: float = Field(1.0, ge=1, le=1000, description="the largest root mean square of an update")
    weight_decay: float = Field(0.0, ge=0, le=10, description="decoupled")


class SgdSpec(Spec):
    """Stochastic gradient descent with momentum as torch has it; it keeps no second moment.

    torch's momentum is m ← βm + g without a factor (1 − β): at momentum 0.9 a step is ten times as long as the
    same ``lr`` gives in SM3's form.
    """

    name: Literal["sgd"] = "sgd"
    lr: float = Field(0.1, gt=0, le=1000)
    momentum: float = Field(0.9, ge=0, lt=1, description="0 keeps no momentum buffer at all")
    weight_decay: float = Field(0.0, ge=0, le=10, description="added to the gradient")


OptimizerSpec = Annotated[
    Sm3Spec | AdamWSpec | AdagradSpec | AdafactorSpec | SgdSpec, Field(discriminator="name")
]

"""What a simulation answers. No torch. `null` stands where a number does not exist, never for 0.

mu, nu, gamma as in `sm3.update`: accumulators of the sets, the bound of an entry, and AdaGrad's exact Σ g².
Tensors are flat (row-major).
"""

from __future__ import annotations

from pydantic import Field

from sm3.remote.cover_specs import CoverSpec
from sm3.remote.wire import View

Numbers = tuple[float, ...]
Maybe = tuple[float | None, ...]


class Looseness(View):
    """log2(nu/gamma) of each entry, in bits, and what it comes to; over the entries whose gamma is not 0."""

    bits: Maybe = Field(description="null where gamma is 0; 0: as good as AdaGrad")
    level: float | None = Field(description="median")
    spread: float | None = Field(description="standard deviation")
    worst: float | None = Field(description="largest")


class CoverStep(View):
    """What one step does under one cover.

    SM3-II: nu = bound + g², mu_after = max of nu in each set. SM3-I: mu_after = mu_before + max of g² in each set, nu =
    min of mu_after.
    """

    mu_before: Numbers = Field(description="an accumulator a set")
    bound: Numbers = Field(description="min of mu_before over the sets that hold an entry")
    nu: Numbers
    mu_after: Numbers
    decides: tuple[tuple[int, ...], ...] = Field(
        description="of each entry the sets that attain its minimum: of mu_before for II, of mu_after for I"
    )
    looseness: Looseness
    rate: Maybe = Field(description="lr/√nu of each entry; null where nu is 0: it does not move")


class CoverSimulation(View):
    """All steps under one cover."""

    cover: CoverSpec
    sets: tuple[tuple[int, ...], ...] = Field(description="the entries of each set")
    contributing: tuple[tuple[int, ...], ...] = Field(description="the sets that hold each entry")
    num_accumulators: int
    accumulator_bytes: int = Field(description="in float32, as the optimizer keeps them")
    steps: tuple[CoverStep, ...]


class RankOneStep(View):
    """Adafactor's estimate of the same sums."""

    rows: Numbers = Field(description="sums of gamma along each row")
    columns: Numbers
    estimate: Numbers = Field(
        description="row × column / sum, which can be smaller than gamma; 0 where all is 0"
    )
    looseness: Looseness = Field(description="log2(estimate/gamma): below 0 where the estimate is too small")


class RankOne(View):
    """Adafactor's rank-1 estimate (arXiv 1804.04235, section 3) of Σ g², without its decay."""

    num_accumulators: int
    accumulator_bytes: int
    steps: tuple[RankOneStep, ...]


class SimulationAnswer(View):
    """What the covers make of the gradients."""

    shape: tuple[int, ...]
    variant: str
    lr: float
    g2: tuple[Numbers, ...] = Field(description="a step each")
    gamma: tuple[Numbers, ...] = Field(description="Σ g² after each step")
    covers: tuple[CoverSimulation, ...] = Field(description="in the order asked for")
    rank_one: RankOne | None = Field(description="null where the tensor is no matrix")


class ScheduleAnswer(View):
    """A schedule, step by step; the first step is 1."""

    warmup_steps: float = Field(description="T0")
    lr: Numbers = Field(description="of the steps 1 to total_steps")
    upside_down: Numbers = Field(
        description="lr·min(1, (T0/t)^power), for contrast: the fraction as it circulates, upside down; nothing uses it"
    )

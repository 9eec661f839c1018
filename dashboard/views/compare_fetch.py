"""What the Compare page asks the service: one round of requests a refresh, and nothing twice of what has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import streamlit as st

from dashboard.figures.compare_losses import Run
from dashboard.figures.compare_maps import Facts
from dashboard.figures.compare_sources import (
    Asked,
    Contender,
    Source,
    chosen,
    loss_series,
    of_jobs,
    of_race,
    of_shadows,
)
from sm3.remote.client import Client, ServiceError
from sm3.remote.comparison_views import ComparisonStatistics, ComparisonView, LossSeries
from sm3.remote.cover_specs import CoverRule
from sm3.remote.frames import decode
from sm3.remote.ledger_specs import LedgerSpec, TensorSpec
from sm3.remote.optimizer_specs import Sm3Spec
from sm3.remote.wire import JobView, Series, TensorInfo

_CHOICES = "compare/choices"
_CHOICES_S = 15.0
_KEPT = "compare/kept"
_MAX_KEPT = 1000
_FEWEST_POINTS = 3
_PARTS = ("level", "spread")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Choices:
    """What can be compared."""

    races: tuple[ComparisonView, ...]
    jobs: tuple[JobView, ...]

    @property
    def with_shadows(self) -> tuple[JobView, ...]:
        """Those jobs that follow other covers."""
        return tuple(job for job in self.jobs if job.spec.record.shadows)


@dataclass(frozen=True)
class Found:
    """Who is compared."""

    contenders: tuple[Contender, ...]
    shown: tuple[Contender, ...]
    said: tuple[str, ...] = ()
    race: ComparisonView | None = None

    @property
    def is_live(self) -> bool:
        """Whether anything can still change."""
        return any(not job.state.is_final for c in self.contenders for job in c.jobs)


@dataclass(frozen=True)
class Recorded:
    """What of them was recorded.

    ``tensors`` is of all contenders in the models' order; ``facts`` one a shown contender; ``bits`` maps ``level`` and
    ``spread`` to a contender's key to its series; ``runs`` is by key, too.
    """

    tensors: dict[str, tuple[int, ...]]
    tensor: str
    newest: int
    series: str
    facts: tuple[Facts, ...] = ()
    bits: dict[str, dict[str, Series]] = field(default_factory=dict)
    runs: dict[str, tuple[Run, ...]] = field(default_factory=dict)
    statistics: ComparisonStatistics | None = None
    said: tuple[str, ...] = ()


def choices(client: Client) -> Choices:
    """Returns the newest races and jobs, asked for anew only after a while: lists need not follow every refresh."""
    kept: tuple[float, Choices] | None = st.session_state.get(_CHOICES)
    if kept is not None and (kept[1].races or kept[1].jobs) and time.monotonic() - kept[0] < _CHOICES_S:
        return kept[1]
    found = Choices(client.comparisons(limit=50).items, client.jobs(limit=100).items)
    st.session_state[_CHOICES] = (time.monotonic(), found)
    return found


def forget_choices() -> None:
    """Has the lists asked for anew: something was launched."""
    st.session_state.pop(_CHOICES, None)


def find(client: Client, want: Asked) -> Found:
    """Returns who is compared. What the address names and is not there is told in words, not raised."""
    said: list[str] = list(want.faults)
    race = None
    if want.source is Source.RACE:
        race = _if_there(lambda: client.comparison(want.race), said, f"race {want.race[:80]!r}")
        jobs = client.jobs(comparison=race.id, limit=64).items if race else ()
        contenders = of_race(race, jobs, want.seed) if race else ()
        gone = [c.name for c in contenders if c.job is None]
        if gone:
            said.append(f"All jobs of {', '.join(gone)} were deleted.")
        if race and want.seed is not None and want.seed not in race.seeds:
            seeds = ", ".join(map(str, race.seeds))
            said.append(f"No seed here is {want.seed}; there are {seeds}: the first is shown.")
        elif want.seed is not None:
            said.extend(
                f"The job of {c.name} at seed {want.seed} was deleted: its map is of seed {c.job.spec.seed}."
                for c in contenders
                if c.job is not None and c.job.spec.seed != want.seed
            )
    else:
        wanted = want.jobs[:1] if want.source is Source.SHADOWS else want.jobs
        found = [_if_there(partial(client.job, j), said, f"job {j[:80]!r}") for j in wanted]
        there = [job for job in found if job is not None]
        contenders = of_jobs(there) if want.source is Source.JOBS else of_shadows(there[0]) if there else ()
    shown, more = chosen(contenders, want.covers)
    return Found(contenders, shown, (*said, *more), race)


def read(client: Client, want: Asked, found: Found) -> Recorded:
    """Returns what was recorded of the contenders that are shown."""
    shown = found.shown
    of_job = {c.job.id: _tensors(client, c.job) for c in shown if c.job is not None}
    tensors: dict[str, tuple[int, ...]] = {}
    for infos in of_job.values():
        for info in infos:
            tensors.setdefault(info.name, info.shape)
    said = []
    if want.tensor and want.tensor not in tensors and tensors:
        said.append(f"No tensor here is called {want.tensor[:120]!r}: another is shown.")
    tensor = want.tensor if want.tensor in tensors else default_tensor(tensors)
    newest = max((c.job.progress.step for c in shown if c.job), default=0)
    bits = _bits(client, shown, tensor)
    prices = _prices(client, shown, tensor, tensors.get(tensor))
    facts = tuple(
        _facts(
            client, c, of_job.get(c.job.id, ()) if c.job else (), tensor, want.step, bits, prices.get(c.key)
        )
        for c in shown
    )
    series = loss_series(want, shown)
    statistics = None
    if found.race is not None:
        reference = want.reference if want.reference in {c.key for c in found.contenders} else None
        statistics = client.comparison_statistics(
            found.race.id, reference=reference, series=LossSeries(series)
        )
    runs = {} if want.source is Source.SHADOWS else {c.key: _runs(client, c, series) for c in shown}
    return Recorded(tensors, tensor, newest, series, facts, bits, runs, statistics, tuple(said))


def default_tensor(tensors: dict[str, tuple[int, ...]]) -> str:
    """Returns the matrix with most entries, or the first tensor there is."""

    def entries(name: str) -> tuple[bool, int]:
        total = 1
        for size in tensors[name]:
            total *= size
        return len(tensors[name]) > 1, total

    return max(tensors, key=entries, default="")


def _if_there(call: Callable[[], Answer], said: list[str], what: str) -> Answer | None:
    """Returns the answer, or None and a sentence where the service knows no such thing."""
    try:
        return call()
    except ServiceError as error:
        if error.problem.status not in {404, 422}:
            raise
        said.append(f"There is no {what}: it was deleted, or never was.")
        return None


def _kept(key: Hashable, is_settled: Callable[[Answer], bool], call: Callable[[], Answer]) -> Answer:
    """Returns the answer of ``call``, from memory where it was settled: nothing of it can change any more."""
    kept: dict[Hashable, Any] = st.session_state.setdefault(_KEPT, {})
    if key in kept:
        known: Answer = kept[key]
        return known
    answer = call()
    if is_settled(answer):
        if len(kept) >= _MAX_KEPT:
            kept.clear()
        kept[key] = answer
    return answer


def _has_ended(job: JobView) -> Callable[[object], bool]:
    return lambda _: job.state.is_final


def _series(client: Client, job_id: str, names: Sequence[str], max_points: int) -> dict[str, Series]:
    """Returns those of the series that are recorded; the service refuses a question for any other."""
    available = client.metrics(job_id, max_points=_FEWEST_POINTS).available
    wanted = [name for name in names if name in available]
    return client.metrics(job_id, wanted, max_points=max_points).series if wanted else {}


def _tensors(client: Client, job: JobView) -> tuple[TensorInfo, ...]:
    return _kept(("tensors", job.id), bool, lambda: client.tensors(job.id))


def _one_series(client: Client, job_id: str, name: str, max_points: int) -> dict[str, Series]:
    """Returns the series, or nothing where it is not recorded yet: one question where `_series` asks two."""
    try:
        return client.metrics(job_id, [name], max_points=max_points).series
    except ServiceError as error:
        if error.problem.status not in {404, 422}:
            raise
        return {}


def _bits(client: Client, shown: Sequence[Contender], tensor: str) -> dict[str, dict[str, Series]]:
    """Returns level and spread by step: of all entries where the whole truth is recorded, else of the sample."""
    found: dict[str, dict[str, Series]] = {}
    by_job: dict[str, list[Contender]] = {}
    for contender in shown:
        if contender.job is not None and tensor:
            by_job.setdefault(contender.job.id, []).append(contender)
    for job_id, contenders in by_job.items():
        job = contenders[0].job
        assert job is not None
        names = [
            f"{kind}_{part}{c.at}/{tensor}"
            for c in contenders
            for kind, parts in (("truth", _PARTS), ("tightness", (*_PARTS, "spread_lo", "spread_hi")))
            for part in parts
        ]
        series = _kept(
            ("bits", job_id, *names),
            _has_ended(job),
            partial(_series, client, job_id, names, 500),
        )
        for c in contenders:
            for part in (*_PARTS, "spread_lo", "spread_hi"):
                exact, sampled = (
                    series.get(f"{kind}_{part}{c.at}/{tensor}") for kind in ("truth", "tightness")
                )
                best = exact if exact is not None and exact.steps else sampled
                if best is not None and best.steps:
                    found.setdefault(part, {})[c.key] = best
            if f"truth_spread{c.at}/{tensor}" in series and series[f"truth_spread{c.at}/{tensor}"].steps:
                for part in ("spread_lo", "spread_hi"):
                    found.get(part, {}).pop(c.key, None)
    return found


def _prices(
    client: Client, shown: Sequence[Contender], tensor: str, shape: tuple[int, ...] | None
) -> dict[str, int]:
    """Returns the bytes of ``tensor`` under each shadow's cover, as the ledger predicts them; others are measured."""
    shadows = [c for c in shown if c.shadow is not None]
    if not shadows or shape is None:
        return {}
    optimizers = tuple(
        Sm3Spec(momentum=0, cover=c.shadow.cover, rules=(CoverRule(match="*", cover=c.shadow.cover),))
        for c in shadows
        if c.shadow is not None
    )
    spec = LedgerSpec(tensors=(TensorSpec(name=tensor, shape=shape),), optimizers=optimizers)
    answer = _kept(spec.model_dump_json(), bool, lambda: client.ledger(spec))
    return {c.key: line.total.accumulators_bytes for c, line in zip(shadows, answer.ledgers, strict=True)}


def _facts(
    client: Client,
    contender: Contender,
    infos: Sequence[TensorInfo],
    tensor: str,
    step: int | None,
    bits: dict[str, dict[str, Series]],
    price: int | None,
) -> Facts:
    job = contender.job
    if job is None:
        return Facts(missing="Its jobs were deleted.")
    info = next((info for info in infos if info.name == tensor), None)
    if info is None:
        waiting = not infos and not job.state.is_final
        return Facts(
            missing=f"{job.state.value}: nothing recorded yet."
            if waiting
            else f"{job.state.value} before its first step."
            if not infos
            else "Its model has no such tensor."
        )
    at = job.progress.step if step is None else step

    def arrays() -> tuple[int, dict[str, Any]]:
        frame = decode(client.frame_at(job.id, at, tensor))
        return frame.step, dict(frame.arrays)

    try:
        shown_step, found = _kept(("frame", job.id, at, tensor), _has_ended(job), arrays)
    except ServiceError as error:
        if error.problem.status != 404:
            raise
        return Facts(shape=info.shape, num_bytes=price, missing="No frame yet.")

    def value(part: str) -> float | None:
        return _value_at(bits.get(part, {}).get(contender.key), shown_step)

    return Facts(
        shape=info.shape,
        num_bytes=price if contender.shadow is not None else info.accumulator_bytes,
        level=value("level"),
        spread=value("spread"),
        exact=value("spread_lo") is None,
        spread_low=value("spread_lo"),
        spread_high=value("spread_hi"),
        step=shown_step,
        arrays=found,
        has_cover=contender.shadow is not None or bool(info.cover),
    )


def _value_at(series: Series | None, step: int) -> float | None:
    """Returns the newest value up to ``step``."""
    if series is None:
        return None
    found = [value for at, value in zip(series.steps, series.values, strict=True) if at <= step]
    return found[-1] if found else None


def _runs(client: Client, contender: Contender, series: str) -> tuple[Run, ...]:
    found = []
    for job in contender.jobs:
        metrics = _kept(
            ("runs", job.id, series), _has_ended(job), partial(_one_series, client, job.id, series, 400)
        )
        if series in metrics and metrics[series].steps:
            found.append(Run(job.spec.seed, metrics[series]))
    return tuple(found)

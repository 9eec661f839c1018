"""The one sentence of the page for shadows and for jobs picked by hand; a race's is in `compare_verdicts`. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from dashboard.figures.compare_maps import Facts
from dashboard.figures.compare_sources import Contender
from dashboard.figures.compare_words import bits, nats, price, size
from sm3.remote.cover_specs import SingletonsSpec

_TIE_BITS = 0.05


def shadows_sentence(contenders: Sequence[Contender], facts: Sequence[Facts], tensor: str) -> str:
    """Returns what the cheapest cover costs in spread beside the tightest, on the gradients of one run."""
    told = [
        (c, f.num_bytes, f.spread)
        for c, f in zip(contenders, facts, strict=True)
        if f.num_bytes and f.spread is not None and isfinite(f.spread) and not _is_exact(c)
    ]
    if not told:
        return f"{len(contenders)} covers on the same gradients of {tensor}."
    tightest = min(told, key=lambda t: (round(t[2] / _TIE_BITS), t[1]))
    cheapest = min(told, key=lambda t: (t[1], t[2]))
    where = f"On {tensor}, {_name(tightest[0])} spreads {bits(tightest[2])} bits with {size(tightest[1])}"
    if tightest[0] is cheapest[0]:
        return f"{where}; none here is cheaper or spreads less."
    return (
        f"{where}; {_name(cheapest[0])}, with {price(cheapest[1], tightest[1])}, spreads {bits(cheapest[2])}."
    )


def jobs_sentence(contenders: Sequence[Contender], unit: str = "nats") -> str:
    """Returns which job's loss is lowest, how far behind the next is, and why that proves little."""
    told = []
    for contender in contenders:
        job = contender.job
        if job is None:
            continue
        loss = job.progress.val_loss if job.progress.val_loss is not None else job.progress.loss
        if loss is not None and isfinite(loss):
            told.append((loss, contender, job))
    diverged = [c.name for c in contenders if _has_diverged(c)]
    tail = f" {', '.join(diverged)} diverged." if diverged else ""
    told.sort(key=lambda t: t[0])
    if len(told) < 2:
        return f"{len(contenders)} jobs side by side.{tail}"
    (best, first, job), (after, second, other) = told[0], told[1]
    if any(told_job.spec.recipe != job.spec.recipe for _, _, told_job in told):
        return f"{len(contenders)} jobs of different recipes: their losses are not to be compared.{tail}"
    cost = ""
    if job.memory and other.memory:
        cost = f" for {price(job.memory.state_bytes, other.memory.state_bytes)} of state"
    caution = "one run each, so no band" if job.spec.seed == other.spec.seed else "other seeds, so not paired"
    if job.progress.step != other.progress.step:
        caution = f"at step {job.progress.step:,}, the other at {other.progress.step:,}"
    apart = f"{nats(after - best)} {unit} below" if after > best else "level with"
    return f"{first.name} is {apart} {second.name}{cost}: {caution}.{tail}"


def _has_diverged(contender: Contender) -> bool:
    """Whether its newest loss is no number: JSON brings NaN and infinities as null, and there is none before a step."""
    job = contender.job
    if job is None or job.progress.step == 0:
        return False
    return job.progress.loss is None or not isfinite(job.progress.loss)


def _is_exact(contender: Contender) -> bool:
    return contender.shadow is not None and isinstance(contender.shadow.cover, SingletonsSpec)


def _name(contender: Contender) -> str:
    return contender.name.removesuffix(", trains")

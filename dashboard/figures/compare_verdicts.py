"""Which cover holds: every contender against the reference, in a word, a table and one sentence. Pure.

A difference counts only where its band leaves 0 out. Where it holds 0 nothing is proved, and that is said: "cannot be
told from", with the ends of the band, so that one sees how much might still be lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from dashboard.figures.chart import Chart, Column, Table
from dashboard.figures.compare_words import nats, price
from sm3.remote.comparison_views import BandMethod, ComparisonStatistics, VariantStatistics
from sm3.remote.wire import JobState


class Verdict(StrEnum):
    """How a contender stands to the reference."""

    REFERENCE = "reference"
    LOWER = "lower loss"
    EVEN = "cannot be told apart"
    HIGHER = "higher loss"
    DIVERGED = "diverged"
    NO_BAND = "one figure, no band"
    WAITING = "no result yet"
    ENDED = "ended without a result"


@dataclass(frozen=True)
class Standing:
    """One variant of a race beside the reference; differences are variant minus reference."""

    name: str
    verdict: Verdict
    num_bytes: int | None
    final_loss: float | None
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    method: BandMethod = BandMethod.NONE
    num_seeds: int = 0
    last_step: int = 0
    done: int = 0
    runs: int = 0


def standings(statistics: ComparisonStatistics) -> tuple[Standing, ...]:
    """Returns how every variant of a race stands."""
    return tuple(_standing(variant, statistics.reference) for variant in statistics.variants)


def _standing(variant: VariantStatistics, reference: str) -> Standing:
    finals = [run.final_loss for run in variant.runs if run.final_loss is not None]
    sizes = [run.state_bytes for run in variant.runs if run.state_bytes]
    states = [run.state for run in variant.runs]
    final = variant.final_difference
    all_ended = all(state is None or state.is_final for state in states)
    if variant.diverged:
        verdict = Verdict.DIVERGED
    elif variant.name == reference:
        verdict = Verdict.REFERENCE
    elif final is None or final.mean is None:
        verdict = Verdict.ENDED if all_ended and not finals else Verdict.WAITING
    elif final.low is None or final.high is None:
        verdict = Verdict.NO_BAND
    else:
        verdict = Verdict.HIGHER if final.low > 0 else Verdict.LOWER if final.high < 0 else Verdict.EVEN
    return Standing(
        name=variant.name,
        verdict=verdict,
        num_bytes=max(sizes, default=None),
        final_loss=sum(finals) / len(finals) if finals and not variant.diverged else None,
        mean=final.mean if final else None,
        low=final.low if final else None,
        high=final.high if final else None,
        method=final.method if final else BandMethod.NONE,
        num_seeds=final.num_seeds if final else 0,
        last_step=max((run.last_step for run in variant.runs), default=0),
        done=sum(state is JobState.SUCCEEDED for state in states),
        runs=len(variant.runs),
    )


def race_sentence(found: Sequence[Standing], reference: str, confidence: float, unit: str = "nats") -> str:
    """Returns the page's one message: what the cheapest cover that holds costs and saves, or that none does."""
    base = next((s for s in found if s.name == reference), None)
    told = [s for s in found if s.mean is not None and s.verdict is not Verdict.DIVERGED and s is not base]
    diverged = [s.name for s in found if s.verdict is Verdict.DIVERGED]
    tail = f" {_listed(diverged)} diverged." if diverged else ""
    if base is None or base.verdict is Verdict.DIVERGED:
        return f"{reference} diverged, so nothing can be told against it: choose another reference."
    if not told:
        done, runs = sum(s.done for s in found), sum(s.runs for s in found)
        furthest = max((s.last_step for s in found), default=0)
        if all(s.verdict in {Verdict.REFERENCE, Verdict.DIVERGED, Verdict.ENDED} for s in found):
            return f"No pair of runs came to its end, so nothing can be told against {reference}.{tail}"
        far = f"the furthest at step {furthest:,}" if furthest else "none at a step yet"
        return f"{len(found)} covers race: {done} of {runs} runs are done, {far}.{tail}"
    best = _telling(told, base)
    return _said(best, base, confidence, unit, has_cheaper=any(_is_cheaper(s, base) for s in told)) + tail


def _telling(told: Sequence[Standing], base: Standing) -> Standing:
    """Returns the one to talk about: the cheapest that holds, else the nearest cheaper one, else the best."""
    cheaper = [s for s in told if _is_cheaper(s, base)]
    holding = [s for s in cheaper if s.verdict in {Verdict.LOWER, Verdict.EVEN}]
    if holding:
        return min(holding, key=lambda s: (s.num_bytes or 0, s.mean or 0.0))
    better = [s for s in told if s.verdict is Verdict.LOWER]
    return min(cheaper or better or told, key=lambda s: s.mean or 0.0)


def _is_cheaper(one: Standing, base: Standing) -> bool:
    return bool(one.num_bytes and base.num_bytes and one.num_bytes < base.num_bytes)


def _said(one: Standing, base: Standing, confidence: float, unit: str, *, has_cheaper: bool) -> str:
    assert one.mean is not None
    cost = f" for {price(one.num_bytes, base.num_bytes)} of state" if one.num_bytes and base.num_bytes else ""
    gap, signed = nats(abs(one.mean)), f"{'+' if one.mean > 0 else ''}{nats(one.mean)} {unit}"
    if one.low is None or one.high is None:
        side = "above" if one.mean > 0 else "below"
        return f"{one.name} ends {gap} {unit} {side} {base.name}{cost}; one pair of figures, so no band."
    band = f"{100 * confidence:g}\u00a0% band {nats(one.low)} to {nats(one.high)}"
    match one.verdict:
        case Verdict.LOWER:
            return f"{one.name} ends {gap} {unit} below {base.name}{cost} ({band})."
        case Verdict.HIGHER:
            lead = "No cheaper cover holds: " if has_cheaper else ""
            return f"{lead}{one.name} loses {gap} {unit} to {base.name}{cost} ({band})."
    return f"{one.name} cannot be told from {base.name} ({signed}, {band}){cost}."


def verdicts_chart(
    found: Sequence[Standing],
    statistics: ComparisonStatistics,
    spreads: Mapping[str, float | None],
    unit: str,
) -> Chart:
    """Returns the table of all variants: bytes, final loss, difference with its band, the verdict in words."""
    percent = f"{100 * statistics.confidence:g} %"
    base = next((s.num_bytes for s in found if s.name == statistics.reference), None)
    rows = tuple(
        (
            s.name,
            s.verdict.value,
            s.num_bytes,
            s.num_bytes / base if s.num_bytes and base else None,
            s.final_loss,
            s.mean,
            s.low,
            s.high,
            spreads.get(s.name),
            f"{s.done} of {s.runs}",
        )
        for s in found
    )
    return Chart(
        name=f"verdicts against {statistics.reference}",
        title=f"Which cover holds against {statistics.reference}?",
        about="press a name to compare with it",
        alt="; ".join(f"{s.name}: {s.verdict.value}" for s in found) + ".",
        table=Table(
            (
                Column("cover"),
                Column("verdict"),
                Column("state", "bytes", "B"),
                Column("× reference", "number"),
                Column("final loss", "number", unit),
                Column("difference", "signed", unit),
                Column(f"{percent} low", "signed", unit),
                Column(f"{percent} high", "signed", unit),
                Column("spread", "number", "bits"),
                Column("runs done"),
            ),
            rows,
            tuple(s.name for s in found),
        ),
        note=_band_note(found, statistics),
        height_px=min(400, 100 + 33 * len(found) + (40 if len(found) > 8 else 0)),
    )


def _band_note(found: Sequence[Standing], statistics: ComparisonStatistics) -> str:
    methods = {s.method for s in found if s.method is not BandMethod.NONE}
    seeds = max((s.num_seeds for s in found), default=0)
    said = []
    if BandMethod.STUDENT_T in methods:
        few = ": few, so only large differences show" if seeds < 4 else ""
        said.append(f"Bands: Student's t over {seeds} seeds{few}.")
    if BandMethod.BOOTSTRAP in methods:
        said.append("Bands: bootstrap of one seed's last steps, which says nothing of other seeds.")
    if said:
        said.append("Tuning the learning rate of each cover may move them more.")
    return " ".join(said)


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"

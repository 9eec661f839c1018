"""Losses of contenders over each other, and the paired difference to one of them with its band. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isfinite
from typing import Any

from dashboard.figures.chart import Chart, Column, Key, Table
from dashboard.figures.compare_sources import Contender
from dashboard.figures.compare_words import color, is_wide, key, line, log_range, markup, nats
from sm3.remote.comparison_views import ComparisonStatistics
from sm3.remote.wire import Series

_FAR = 12.0
NAMES = {"val_loss": "validation loss", "loss": "training loss"}


@dataclass(frozen=True)
class Run:
    """One job's loss: its seed, and the series as the service thinned it."""

    seed: int
    series: Series


@dataclass(frozen=True)
class Difference:
    """One contender's loss minus the reference's, step by step; ``low`` and ``high`` are None without a band."""

    contender: Contender
    steps: Sequence[int]
    mean: Sequence[float | None]
    low: Sequence[float | None]
    high: Sequence[float | None]
    num_seeds: int


def losses_chart(
    contenders: Sequence[Contender], runs: Mapping[str, Sequence[Run]], series: str, unit: str
) -> Chart:
    """Returns every run's loss; a contender's first seed in full colour, its others paler."""
    data: list[dict[str, Any]] = []
    rows: list[tuple[str | int | float | None, ...]] = []
    lows, highs = [], []
    for contender in contenders:
        for number, run in enumerate(runs.get(contender.key, ())):
            steps, values = smoothed(run.series, series)
            good = [v for v in values if v is not None]
            lows += [min(good)] if good else []
            highs += [sorted(good)[ceil(0.98 * (len(good) - 1))]] if good else []
            drawn = line(contender.place, steps, values, name=markup(contender.name), hoverinfo="all")
            if number:
                drawn = drawn[:1]
                drawn[0]["line"] |= {"width": 1, "color": color(contender.place, 0.4)}
            drawn[0]["hovertemplate"] = (
                f"{markup(contender.name)}, seed {run.seed}<br>step %{{x:,}}: %{{y:.4f}}<extra></extra>"
            )
            data += drawn
            rows += [
                (contender.name, run.seed, step, value) for step, value in zip(steps, values, strict=True)
            ]
    about = "mean of the last 2 % of steps" if series == "loss" else "at each validation"
    most = max((len(found) for found in runs.values()), default=0)
    return Chart(
        name=f"{NAMES[series]} of each cover",
        title=f"{NAMES[series].capitalize()}, {unit}",
        about=f"{about}; {most} seeds, the others pale" if most > 1 else about,
        alt=f"{NAMES[series]} over the steps, at last: {_last_values(contenders, runs)}.",
        table=Table(
            (
                Column("cover"),
                Column("seed", "integer"),
                Column("step", "integer"),
                Column("loss", "number", unit),
            ),
            tuple(rows),
        ),
        data=data,
        layout={
            "margin": {"l": 48, "r": 16, "t": 8, "b": 36},
            "xaxis": _steps_axis(),
            "yaxis": {"nticks": 6} | _range(lows, highs),
        },
        keys=tuple(key(c.name, c.place) for c in contenders),
        height_px=336,
        revision=f"losses-{series}",
        empty="" if rows else "No loss yet: a line begins with the first recorded step.",
    )


def differences_chart(
    differences: Sequence[Difference],
    reference: Contender,
    series: str,
    unit: str,
    *,
    confidence: float | None,
    why_not: str = "",
) -> Chart:
    """Returns each contender's loss minus the reference's, at the same seed and step, with its band if there is one."""
    data: list[dict[str, Any]] = []
    rows: list[tuple[str | int | float | None, ...]] = []
    values: list[list[float]] = []
    for difference in differences:
        place, name = difference.contender.place, difference.contender.name
        steps, late = list(difference.steps), list[float]()
        banded = [
            (s, lo, hi)
            for s, lo, hi in zip(steps, difference.low, difference.high, strict=True)
            if lo is not None and hi is not None
        ]
        if banded:
            xs, lows, highs = (list(part) for part in zip(*banded, strict=True))
            data.append({
                "type": "scatter",
                "mode": "lines",
                "x": xs + xs[::-1],
                "y": highs + lows[::-1],
                "fill": "toself",
                "fillcolor": color(place, 0.1),
                "line": {"width": 0},
                "hoverinfo": "skip",
            })
            tail = banded[len(banded) // 3 :]
            late += [lo for _, lo, _ in tail] + [hi for _, _, hi in tail]
        drawn = line(place, steps, list(difference.mean), hoverinfo="all", name=markup(name))
        drawn[0]["hovertemplate"] = (
            f"{markup(name)} − {markup(reference.name)}<br>step %{{x:,}}: %{{y:+.4f}}<extra></extra>"
        )
        data += drawn
        means = [m for m in difference.mean if m is not None]
        values.append(late + means[len(means) // 3 :])
        rows += [
            (name, *row) for row in zip(steps, difference.mean, difference.low, difference.high, strict=True)
        ]
    has_band = any(row[3] is not None for row in rows)
    percent = f"{100 * (confidence or 0):g} %"
    band = f"band: {percent} at each step" if has_band else "no band: it takes two seeds"
    reach = _reach(values)
    return Chart(
        name=f"difference in {NAMES[series]} to {reference.name}",
        title=f"Difference to {reference.name}, {unit}",
        about=band if rows else "",
        alt=f"{NAMES[series]} of each cover minus that of {reference.name}, paired by seed and step: "
        + "; ".join(f"{d.contender.name} {_last(d.mean)}" for d in differences)
        + ".",
        table=Table(
            (
                Column("cover"),
                Column("step", "integer"),
                Column("mean difference", "number", unit),
                Column("band, low", "number", unit),
                Column("band, high", "number", unit),
            ),
            tuple(rows),
        ),
        data=data,
        layout={
            "margin": {"l": 56, "r": 16, "t": 8, "b": 36},
            "xaxis": _steps_axis(),
            "yaxis": {"nticks": 6, "zeroline": True, "zerolinecolor": "@text", "zerolinewidth": 1}
            | ({"range": [-reach, reach]} if reach else {}),
        },
        keys=(
            *(key(d.contender.name, d.contender.place) for d in differences),
            Key("0: as the reference; below, lower loss", "@text"),
        ),
        height_px=336,
        revision=f"differences-{series}-{reference.key}",
        empty=why_not or ("" if rows else "No pair yet: it takes the loss of two runs at one step."),
    )


def differences_of_race(
    contenders: Sequence[Contender], statistics: ComparisonStatistics
) -> tuple[Difference, ...]:
    """Returns what the service computed, of the contenders that are shown."""
    by_name = {variant.name: variant for variant in statistics.variants}
    found = []
    for contender in contenders:
        variant = by_name.get(contender.key)
        if variant is None or (curve := variant.difference) is None:
            continue
        seeds = max(curve.num_seeds, default=0)
        found.append(Difference(contender, curve.steps, curve.mean, curve.low, curve.high, seeds))
    return tuple(found)


def differences_of_jobs(
    contenders: Sequence[Contender], reference: Contender, runs: Mapping[str, Sequence[Run]], series: str
) -> tuple[tuple[Difference, ...], str]:
    """Returns one run minus another wherever both saw the same data in the same order, and else why there is none."""
    found, reasons = [], []
    for contender in contenders:
        if contender.key == reference.key or not contender.job or not reference.job:
            continue
        if not is_paired(contender, reference):
            reasons.append(contender.name)
            continue
        own, other = (_values(runs.get(c.key, ()), series) for c in (contender, reference))
        steps = sorted(own.keys() & other.keys())
        mean = [a - b if (a := own[s]) is not None and (b := other[s]) is not None else None for s in steps]
        nothing = [None] * len(steps)
        found.append(Difference(contender, steps, mean, nothing, nothing, 1))
    why = (
        f"Not paired with {reference.name}: another seed, recipe or batch, so other data at the same step."
        if reasons and not found
        else ""
    )
    return tuple(found), why


def is_paired(one: Contender, other: Contender) -> bool:
    """Whether two jobs saw the same data in the same order."""
    if one.job is None or other.job is None:
        return False
    a, b = one.job.spec, other.job.spec
    return a.recipe == b.recipe and a.seed == b.seed


def smoothed(series: Series, name: str) -> tuple[list[int], list[float | None]]:
    """Returns the series, the training loss as the mean of a fiftieth of its points; a gap stays one."""
    values = [v if v is not None and isfinite(v) else None for v in series.values]
    width = max(1, len(values) // 50) if name == "loss" else 1
    if width == 1:
        return list(series.steps), values
    found: list[float | None] = []
    for end in range(1, len(values) + 1):
        part = values[max(0, end - width) : end]
        good = [v for v in part if v is not None]
        found.append(sum(good) / len(good) if len(good) == len(part) else None)
    return list(series.steps), found


def _values(runs: Sequence[Run], series: str) -> dict[int, float | None]:
    return dict(zip(*smoothed(runs[0].series, series), strict=True)) if runs else {}


def _range(lows: Sequence[float], highs: Sequence[float]) -> dict[str, Any]:
    """Leaves out the first few per cent of the highest losses, which would flatten all the rest."""
    if not lows:
        return {}
    low, high = min(lows), max(highs)
    if is_wide([low, high]):
        return log_range(low, high)
    room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return {"range": [low - room, high + room]}


def _reach(values: Sequence[Sequence[float]]) -> float:
    """Returns how far up and down to draw: one contender far off must not flatten the others to a line."""
    reaches = [reach for found in values if (reach := max((abs(v) for v in found), default=0.0)) > 0]
    return 1.15 * min(max(reaches), _FAR * min(reaches)) if reaches else 0.0


def _steps_axis() -> dict[str, Any]:
    return {"nticks": 6, "tickformat": "~s", "rangemode": "tozero", "title": {"text": "step", "standoff": 4}}


def _last(values: Sequence[float | None]) -> str:
    last = next((v for v in reversed(values) if v is not None), None)
    return "not known" if last is None else nats(last)


def _last_values(contenders: Sequence[Contender], runs: Mapping[str, Sequence[Run]]) -> str:
    said = []
    for contender in contenders:
        found = [_last(run.series.values) for run in runs.get(contender.key, ())][:1]
        said.append(f"{contender.name} {found[0] if found else 'not known'}")
    return ", ".join(said)

"""What the Compare page shows of a comparison: maps side by side, then what bytes buy, then losses and settings."""

from __future__ import annotations

import streamlit as st

from dashboard import charts, side_by_side
from dashboard.figures.chart import Chart, Column, Table
from dashboard.figures.compare_headline import jobs_sentence, shadows_sentence
from dashboard.figures.compare_losses import (
    NAMES,
    differences_chart,
    differences_of_jobs,
    differences_of_race,
    losses_chart,
)
from dashboard.figures.compare_maps import panels, scale, shown
from dashboard.figures.compare_pareto import Point, breadth, pareto_chart
from dashboard.figures.compare_settings import settings_chart
from dashboard.figures.compare_sources import Asked, Contender, Source
from dashboard.figures.compare_spreads import bits_chart
from dashboard.figures.compare_verdicts import race_sentence, standings, verdicts_chart
from dashboard.figures.compare_words import bits, size
from dashboard.views import compare_pick
from dashboard.views.compare_fetch import Found, Recorded

_UNIT = "nats"
_VERDICTS = "compare_verdicts"


def headline(want: Asked, found: Found, recorded: Recorded | None) -> str:
    """Returns the page's one message."""
    if recorded is None:
        return {
            Source.RACE: "No race to show.",
            Source.SHADOWS: "No job with shadows to show.",
        }.get(want.source or Source.JOBS, "Pick jobs to put side by side.")
    if recorded.statistics is not None:
        told = recorded.statistics
        return race_sentence(standings(told), told.reference, told.confidence, _UNIT)
    if want.source is Source.SHADOWS:
        return shadows_sentence(found.shown, recorded.facts, recorded.tensor)
    return jobs_sentence(found.shown, _UNIT)


def draw(want: Asked, found: Found, recorded: Recorded) -> None:
    """Draws everything below the choices."""
    _maps(want, found, recorded)
    if want.source is Source.SHADOWS:
        below = [_spread_pareto(found, recorded), *_bits(want, found, recorded)]
    else:
        below = [_loss_pareto(found, recorded), _losses(found, recorded), _differences(want, found, recorded)]
    with st.container(key="compare_row"):
        for column, (chart, key) in zip(
            st.columns(3, gap="small"), zip(below, ("a", "b", "c"), strict=True), strict=True
        ):
            with column:
                charts.mount(chart, f"compare_{key}")
    _tables(want, found, recorded)


def _maps(want: Asked, found: Found, recorded: Recorded) -> None:
    tensor = recorded.tensor
    show = shown(recorded.facts, found.shown, tensor, want.show)
    drawn = panels(found.shown, recorded.facts, tensor, show)
    jobs = [c.job for c in found.shown if c.job is not None]
    shape = recorded.tensors.get(tensor, ())
    rows = tuple(
        (c.name, f.num_bytes, f.level, f.spread, "all entries" if f.exact else "a sample", f.step)
        if f.spread is not None
        else (c.name, f.num_bytes, None, None, "not recorded", f.step)
        for c, f in zip(found.shown, recorded.facts, strict=True)
    )
    said = "; ".join(
        f"{c.name}: {size(f.num_bytes)}, spread {bits(f.spread)} bits"
        for c, f in zip(found.shown, recorded.facts, strict=True)
    )
    what = "Tightness, log₂(ν/γ) in bits above AdaGrad" if show == "tightness" else "ν, gradient² (log scale)"
    steps = side_by_side.Steps(
        newest=recorded.newest,
        every=min((job.spec.record.every for job in jobs), default=1),
        total=max((job.spec.steps for job in jobs), default=recorded.newest),
        shown=want.step,
    )
    side_by_side.mount(
        side_by_side.Maps(
            title=what,
            alt=f"{what} of {tensor} under {len(drawn)} covers on one scale. {said}.",
            panels=drawn,
            scale=scale(drawn, show),
            show=show,
            steps=steps,
            axes=("row", "column") if len(shape) > 1 else ("", "entry"),
            table=Table(
                (
                    Column("cover"),
                    Column("accumulators of this tensor", "bytes", "B"),
                    Column("level", "number", "bits"),
                    Column("spread", "number", "bits"),
                    Column("measured on"),
                    Column("step", "integer"),
                ),
                rows,
            ),
            revision=f"{tensor}/{show}/{'/'.join(c.key for c in found.shown)}",
        ),
        {"step": _pick_step, "show": _pick_show},
    )


def _pick_step() -> None:
    asked = side_by_side.asked_for("step")
    if asked:
        compare_pick.write_step(asked["step"], is_playing=asked["isPlaying"])


def _pick_show() -> None:
    compare_pick.write(show=str(side_by_side.asked_for("show") or ""))


def _spread_pareto(found: Found, recorded: Recorded) -> Chart:
    points = [
        Point(c, f.num_bytes, f.spread, f.spread_low, f.spread_high)
        for c, f in zip(found.shown, recorded.facts, strict=True)
    ]
    return pareto_chart(
        points,
        name=f"bytes against spread of {recorded.tensor}",
        title="Bytes against spread, bits",
        value=Column("spread", "number", "bits"),
        price="accumulators of this tensor",
        about="lower left is better",
        revision=f"spread-{recorded.tensor}-{len(points)}",
    )


def _loss_pareto(found: Found, recorded: Recorded) -> Chart:
    points = [_loss_point(c, recorded) for c in found.shown]
    return pareto_chart(
        points,
        name="bytes against loss",
        title=f"Bytes against loss, {_UNIT}",
        value=Column(NAMES[recorded.series], "number", _UNIT),
        price="optimizer state",
        about=breadth(points)
        or NAMES[recorded.series].removesuffix(" loss")
        + ("" if recorded.statistics is None else "; bars: seeds"),
        revision=f"loss-{recorded.series}-{len(points)}",
    )


def _loss_point(contender: Contender, recorded: Recorded) -> Point:
    memory = next((job.memory for job in contender.jobs if job.memory), None)
    num_bytes = memory.state_bytes if memory else None
    if recorded.statistics is None:
        progress = contender.job.progress if contender.job else None
        loss = (
            None
            if progress is None
            else progress.val_loss
            if recorded.series == "val_loss"
            else progress.loss
        )
        return Point(contender, num_bytes, loss)
    variant = next((v for v in recorded.statistics.variants if v.name == contender.key), None)
    finals = [] if variant is None else [r.final_loss for r in variant.runs if r.final_loss is not None]
    if variant is None or variant.diverged or not finals:
        return Point(contender, num_bytes, None)
    return Point(contender, num_bytes, sum(finals) / len(finals), min(finals), max(finals))


def _bits(want: Asked, found: Found, recorded: Recorded) -> tuple[Chart, Chart]:
    spread, level = (
        bits_chart(found.shown, recorded.bits.get(part, {}), part, recorded.tensor, want.step)
        for part in ("spread", "level")
    )
    return spread, level


def _losses(found: Found, recorded: Recorded) -> Chart:
    return losses_chart(found.shown, recorded.runs, recorded.series, _UNIT)


def _differences(want: Asked, found: Found, recorded: Recorded) -> Chart:
    reference_key = compare_pick.reference_key(want, found)
    reference = next(c for c in found.contenders if c.key == reference_key)
    if recorded.statistics is not None:
        differences, why_not = differences_of_race(found.shown, recorded.statistics), ""
        confidence: float | None = recorded.statistics.confidence
    else:
        differences, why_not = differences_of_jobs(found.shown, reference, recorded.runs, recorded.series)
        confidence = None
    return differences_chart(
        differences, reference, recorded.series, _UNIT, confidence=confidence, why_not=why_not
    )


def _tables(want: Asked, found: Found, recorded: Recorded) -> None:
    if recorded.statistics is not None:
        spreads = {c.key: f.spread for c, f in zip(found.shown, recorded.facts, strict=True)}
        table = verdicts_chart(standings(recorded.statistics), recorded.statistics, spreads, _UNIT)
        charts.mount(table, _VERDICTS, _pick_reference)
    if want.source is Source.SHADOWS:
        charts.mount(settings_chart(found.shown), "compare_settings")
        return
    settings, spread = st.columns([2, 1], gap="small")
    with settings:
        charts.mount(settings_chart(found.shown, height_px=336), "compare_settings")
    with spread:
        charts.mount(_spread_pareto(found, recorded), "compare_spread")


def _pick_reference() -> None:
    compare_pick.write(reference=charts.clicked(_VERDICTS))

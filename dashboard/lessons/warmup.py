"""Lesson 7: warm-up the right way up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dashboard.figures.chart import Chart, Column, Key, Table
from dashboard.lessons.numbers import short
from dashboard.lessons.scene import Case, Control, Lesson, Option, Question, Scene, Source
from sm3.remote.client import Client
from sm3.remote.simulation_specs import ScheduleSpec, SimulationSpec
from sm3.remote.simulation_views import ScheduleAnswer

TOTAL = 60
WARMUPS = {"5": "5 %", "20": "20 %", "50": "50 %", "100": "100 %"}
POWERS = {"1": "p = 1", "2": "p = 2", "4": "p = 4"}


@dataclass(frozen=True)
class _Facts:
    asked: ScheduleAnswer
    linear: ScheduleAnswer
    roots: tuple[float, ...]
    """1/√ν after each step of a gradient that is always 1: how SM3's own step shrinks."""


def _fetch(client: Client, case: Case) -> _Facts:
    warmup = int(case.choice("warmup", tuple(WARMUPS))) / 100
    power = int(case.choice("power", tuple(POWERS)))
    spec = ScheduleSpec(lr=1.0, total_steps=TOTAL, warmup=warmup, power=power)
    steady = SimulationSpec.model_validate({
        "shape": [1],
        "gradients": [[1.0]] * TOTAL,
        "covers": [{"kind": "whole"}],
        "lr": 1.0,
    })
    found = client.simulate(steady).covers[0].steps
    return _Facts(
        client.schedule(spec),
        client.schedule(spec.model_copy(update={"power": 1.0})),
        tuple(step.rate[0] or 0.0 for step in found),
    )


def _tell(case: Case, facts: _Facts) -> Scene:
    t0 = facts.asked.warmup_steps
    power = case.inputs["power"]
    asked_at = max(1, round(t0 / 2))
    right, upside_down = facts.asked.lr[asked_at - 1], facts.asked.upside_down[asked_at - 1]
    last = facts.asked.upside_down[-1]
    largest = max(range(TOTAL), key=lambda k: facts.asked.lr[k] * facts.roots[k]) + 1
    headlines = {
        1: f"T0 is {short(t0)} of {TOTAL} steps, p is {power}. How much of lr has step {asked_at}?",
        2: f"Step {asked_at} has {short(100 * right)} % of lr: it rises by (t/T0)^p until step {short(t0)}.",
        3: f"Upside down it starts at {short(100 * facts.asked.upside_down[0])} % and ends at "
        f"{short(100 * last)} %: no "
        "warm-up, and a decay nobody asked for.",
        4: f"With warm-up the largest step of a steady gradient is number {largest}, without it the first.",
    }
    says = {
        1: "SM3's accumulators start at 0, so its first steps are its largest. A warm-up guards them: "
        "lr·min(1, (t/T0)^p).",
        2: "t stands above T0: small at first, 1 from T0 on. The larger p, the longer the start stays small.",
        3: "In a README that circulates the fraction stands on its head, lr·min(1, (T0/t)^p): full from the "
        "first step, "
        "falling after T0. It is drawn for contrast only; nothing here trains with it.",
        4: "A gradient that is always 1 makes ν grow by 1 a step, so SM3's own step shrinks like 1/√t. "
        "Times the warm-up it "
        "rises first.",
    }
    return Scene(
        headline=headlines[case.step],
        text=says[case.step],
        question=_question(asked_at, right, facts.linear.lr[asked_at - 1], upside_down),
        controls=(
            Control(
                "warmup", "T0, of the steps", tuple(WARMUPS.items()), case.inputs["warmup"], is_slider=True
            ),
            Control("power", "Exponent", tuple(POWERS.items()), power),
        ),
        charts=(_chart(case, facts, asked_at),),
        source=Source(
            "The rate rises as lr·min(1, (t/T0)²), with T0 about 5 % of the steps.",
            "Anil et al., arXiv 1901.11150, section 5; computed by sm3/schedules.py",
        ),
    )


def _question(at: int, right: float, linear: float, upside_down: float) -> Question:
    def said(x: float) -> str:
        return f"{short(100 * x)} %"

    options = {said(right): Option("right", said(right), "It is (t/T0)^p.", is_right=True)}
    for value, key, why in (
        (linear, "linear", "That is t/T0 without the exponent."),
        (upside_down, "upside-down", "That is the fraction upside down: nothing would warm up."),
        (right**2, "twice", "That has the exponent twice."),
    ):
        options.setdefault(said(value), Option(key, said(value), why))
    order = sorted(options, key=lambda text: float(text.split()[0]))
    return Question(
        f"How much of lr does the warm-up leave to step {at}?", tuple(options[text] for text in order)
    )


def _chart(case: Case, facts: _Facts, asked_at: int) -> Chart:
    steps = list(range(1, TOTAL + 1))
    asked = facts.asked
    own = [lr * root for lr, root in zip(asked.lr, facts.roots, strict=True)]
    lines: list[tuple[str, list[float], str, str]] = []
    if case.step in {2, 3}:
        lines.append(("the right way up: (t/T0)^p", list(asked.lr), "@c1", "solid"))
    if case.step == 3:
        lines.append(("upside down: (T0/t)^p, for contrast", list(asked.upside_down), "@c2", "dash"))
    if case.step == 4:
        lines += [
            ("with warm-up", own, "@c1", "solid"),
            ("without", list(facts.roots), "@c3", "dot"),
        ]
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x": steps,
            "y": values,
            "line": {"color": color, "dash": dash, "width": 2.5},
            "hovertemplate": f"step %{{x}}: %{{y:.1%}} of lr<extra>{name}</extra>",
        }
        for name, values, color, dash in lines
    ]
    shapes = [
        {
            "type": "line",
            "x0": x,
            "x1": x,
            "y0": 0,
            "y1": 1,
            "yref": "paper",
            "line": {"color": "@muted", "dash": "dot", "width": 1},
        }
        for x in (asked.warmup_steps, asked_at)
    ]
    notes = [
        {
            "x": x,
            "y": 1,
            "yref": "paper",
            "yanchor": "bottom",
            "text": text,
            "showarrow": False,
            "font": {"color": "@muted"},
        }
        for x, text in ((asked.warmup_steps, "T0"), (asked_at, f"step {asked_at}"))
    ]
    unit = "share of lr" if case.step < 4 else "lr/√ν, share of lr"
    return Chart(
        name="lesson-warmup",
        title="Learning rate, share of lr"
        if case.step < 4
        else "Effective step lr/√ν of a gradient that is always 1",
        alt="; ".join(
            f"{name}: {short(100 * v[0])} % at step 1, {short(100 * v[-1])} % at the end"
            for name, v, *_ in lines
        )
        or "An empty plot: the curve is shown after the guess.",
        table=Table(
            (Column("step", "integer"), *(Column(name, "percent") for name, *_ in lines)),
            tuple((t, *(values[t - 1] for _, values, *_ in lines)) for t in steps),
        ),
        data=data or [{"type": "scatter", "x": [1, TOTAL], "y": [None, None]}],
        layout={
            "xaxis": {"title": {"text": "step t"}, "range": [0, TOTAL + 1]},
            "yaxis": {"title": {"text": unit}, "tickformat": ".0%", "range": [0, 1.04]},
            "shapes": shapes,
            "annotations": notes,
            "margin": {"t": 28},
        },
        keys=tuple(Key(name, color, dash) for name, _, color, dash in lines),  # type: ignore[arg-type]
        height_px=420,
        revision=f"warmup-{case.step}",
    )


LESSON = Lesson(
    slug="warmup",
    title="Warm-up",
    idea="t over T0: small first, full later.",
    steps=("Guess", "Rising", "Upside down", "With SM3"),
    reveal=2,
    defaults={"warmup": "50", "power": "2"},
    fetch=_fetch,
    tell=_tell,
)

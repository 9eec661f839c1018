"""How level and spread of every cover's tightness develop over the steps. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.figures.chart import Chart, Column, Table
from dashboard.figures.compare_sources import Contender
from dashboard.figures.compare_words import key, line, markup
from sm3.remote.wire import Series

MEANINGS = {
    "spread": ("Spread by step", "what tuning cannot absorb"),
    "level": ("Level by step", "acts like a smaller learning rate"),
}


def bits_chart(
    contenders: Sequence[Contender], series: Mapping[str, Series], part: str, tensor: str, step: int | None
) -> Chart:
    """Returns ``part`` (``spread`` or ``level``) of log2(ν/γ) by step, with a rule at the step that is shown."""
    title, meaning = MEANINGS[part]
    data: list[dict[str, Any]] = []
    rows: list[tuple[str | int | float | None, ...]] = []
    highest = 0.0
    for contender in contenders:
        found = series.get(contender.key)
        if found is None or not found.steps:
            continue
        values = list(found.values)
        highest = max([highest, *(v for v in values if v is not None)])
        drawn = line(contender.place, list(found.steps), values, hoverinfo="all")
        drawn[0]["hovertemplate"] = (
            f"{markup(contender.name)}<br>step %{{x:,}}: %{{y:.2f}} bits<extra></extra>"
        )
        data += drawn
        rows += [(contender.name, s, v) for s, v in zip(found.steps, values, strict=True)]
    shapes = []
    if step is not None:
        rule = {"type": "line", "xref": "x", "yref": "paper", "x0": step, "x1": step, "y0": 0, "y1": 1}
        shapes.append(rule | {"line": {"color": "@muted", "width": 1, "dash": "dot"}})
    return Chart(
        name=f"{part} of tightness of {tensor}",
        title=f"{title}, bits",
        about=meaning,
        alt=f"{title} of {tensor} over the steps for {', '.join(c.name for c in contenders)}.",
        table=Table(
            (Column("cover"), Column("step", "integer"), Column(part, "number", "bits")),
            tuple(rows),
        ),
        data=data,
        layout={
            "margin": {"l": 44, "r": 16, "t": 8, "b": 36},
            "xaxis": {
                "nticks": 6,
                "tickformat": "~s",
                "rangemode": "tozero",
                "title": {"text": "step", "standoff": 4},
            },
            "yaxis": {"nticks": 6, "range": [-0.04 * (highest or 1), 1.08 * (highest or 1)]},
            "shapes": shapes,
        },
        keys=tuple(key(c.name, c.place) for c in contenders if c.key in series),
        height_px=336,
        revision=f"{part}-{tensor}",
        empty="" if rows else "Not recorded: the probe 'tightness' tells it.",
    )

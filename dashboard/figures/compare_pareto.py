"""What bytes buy: state against spread, and against loss. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, isfinite, log2, log10
from typing import Any

from dashboard.figures.chart import Chart, Column, Key, Table
from dashboard.figures.compare_sources import Contender
from dashboard.figures.compare_words import color, is_wide, key, log_range, markup, size, symbol


@dataclass(frozen=True)
class Point:
    """A contender's price and what it gets for it; ``low`` and ``high`` are None where there is no interval."""

    contender: Contender
    num_bytes: int | None
    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def is_known(self) -> bool:
        """Whether it can be drawn."""
        return bool(self.num_bytes) and self.value is not None and isfinite(self.value)


def front(points: Sequence[Point]) -> tuple[Point, ...]:
    """Returns, cheapest first, the points that no other beats: nothing is as cheap and lower, or as low and cheaper."""
    found: list[Point] = []
    for point in sorted((p for p in points if p.is_known), key=lambda p: (p.num_bytes or 0, p.value or 0.0)):
        if not found or (point.value or 0.0) < (found[-1].value or 0.0):
            found.append(point)
    return tuple(found)


def pareto_chart(
    points: Sequence[Point], *, name: str, title: str, value: Column, price: str, about: str, revision: str
) -> Chart:
    """Returns the points over bytes on a log axis, those that none beats joined by a stair.

    Args:
        points: what is compared.
        name: of the chart.
        title: of the chart.
        value: what the bytes buy, less being better.
        price: whose bytes these are.
        about: beside the title.
        revision: zoom is kept while this stays the same.
    """
    known = [p for p in points if p.is_known]
    best = front(points)
    data: list[dict[str, Any]] = []
    if len(best) > 1:
        xs = [p.num_bytes for p in best for _ in (0, 1)][1:]
        ys = [p.value for p in best for _ in (0, 1)][:-1]
        data.append({
            "type": "scatter",
            "mode": "lines",
            "x": xs,
            "y": ys,
            "line": {"color": "@muted", "width": 1, "dash": "dot"},
            "hoverinfo": "skip",
        })
    price_axis, value_axis = byte_axis([p.num_bytes or 1 for p in known], price), _value_range(known)
    sides = _sides(known, best, (price_axis, value_axis)) if known else []
    for p, side in zip(known, sides, strict=True):
        place, is_best = p.contender.place, p in best
        data.append({
            "type": "scatter",
            "mode": "markers+text",
            "x": [p.num_bytes],
            "y": [p.value],
            "text": [markup(p.contender.name)],
            "textposition": side,
            "textfont": {"size": 12, "color": "@text"},
            "cliponaxis": False,
            "marker": {
                "color": color(place) if is_best else "@paper",
                "symbol": symbol(place),
                "size": 11,
                "line": {"color": color(place), "width": 2},
            },
            "error_y": _error(p),
            "customdata": [p.contender.key],
            "hovertemplate": f"{markup(p.contender.name)}<br>{size(p.num_bytes)}<br>{markup(value.name)} "
            f"%{{y:.3f}} {value.unit}<extra></extra>",
        })
    missing = [p.contender.name for p in points if not p.is_known]
    return Chart(
        name=name,
        title=title,
        about=about,
        alt=f"{title}, {price}: "
        + "; ".join(f"{p.contender.name} {size(p.num_bytes)}, {p.value:.3f} {value.unit}" for p in known)
        + (f". Not beaten by any: {', '.join(p.contender.name for p in best)}." if best else "."),
        table=Table(
            (
                Column("cover"),
                Column(price, "bytes", "B"),
                value,
                Column("interval, low", "number", value.unit),
                Column("interval, high", "number", value.unit),
                Column("not beaten"),
            ),
            tuple(
                (p.contender.name, p.num_bytes, p.value, p.low, p.high, "yes" if p in best else "no")
                for p in points
            ),
        ),
        data=data,
        layout={
            "margin": {"l": 52, "r": 24, "t": 16, "b": 40},
            "xaxis": price_axis,
            "yaxis": {"nticks": 6} | value_axis,
        },
        keys=(
            Key("filled: nothing cheaper is as good", "@muted", glyph="●"),
            *((key(f"{', '.join(missing)}: not known", 0),) if missing and not known else ()),
            *((Key(f"no figure: {', '.join(missing)}", "@muted", glyph="–"),) if missing and known else ()),
        ),
        height_px=336,
        revision=revision,
        empty="" if known else "Nothing to place yet: bytes or result are not known.",
    )


def byte_axis(values: Sequence[int], title: str) -> dict[str, Any]:
    """Returns a log axis with ticks at powers of two or, where all cost about the same, at the ends."""
    low, high = (min(values), max(values)) if values else (1, 1024)
    span = log10(high / low)
    room = max(0.14 * span, 0.0005)
    if high / low > 4:
        low_power, high_power = floor(log2(low)), ceil(log2(high))
        stride = max(1, ceil((high_power - low_power + 1) / 5))
        ticks: list[float] = [2**power for power in range(low_power, high_power + stride, stride)]
    else:
        ticks = sorted({low, high})
    return {
        "type": "log",
        "range": [log10(low) - room, log10(high) + room],
        "tickvals": ticks,
        "ticktext": [size(tick, digits=4 if high / low < 1.1 else 3) for tick in ticks],
        "title": {"text": f"{title}, log scale", "standoff": 4},
    }


def breadth(points: Sequence[Point]) -> str:
    """Returns by how much the bytes differ at most, where that is so little that a log axis would deceive; else ''."""
    known = [p.num_bytes for p in points if p.num_bytes]
    if len(known) < 2 or max(known) > 1.25 * min(known):
        return ""
    return f"all within {100 * (max(known) / min(known) - 1):.2g} % of bytes"


def _value_range(known: Sequence[Point]) -> dict[str, Any]:
    if not known:
        return {}
    lows = [p.value if p.low is None else p.low for p in known if p.value is not None]
    highs = [p.value if p.high is None else p.high for p in known if p.value is not None]
    low, high = min(lows), max(highs)
    if is_wide([low, high]):
        return log_range(low, high)
    room = 0.12 * (high - low) or max(0.1 * abs(high), 0.1)
    return {"range": [low - room, high + room]}


def _error(p: Point) -> dict[str, Any]:
    if p.low is None or p.high is None or p.value is None or p.high <= p.low:
        return {"visible": False}
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(0.0, p.high - p.value)],
        "arrayminus": [max(0.0, p.value - p.low)],
        "color": color(p.contender.place, 0.6),
        "thickness": 1,
        "width": 4,
    }


def _sides(
    known: Sequence[Point], best: Sequence[Point], axes: tuple[dict[str, Any], dict[str, Any]]
) -> list[str]:
    """Returns where each name goes: where it covers least of names, symbols and stair, on a card of usual size."""
    (left, right), (low, high) = axes[0]["range"], axes[1]["range"]
    is_log = axes[1].get("type") == "log"

    def at(p: Point) -> tuple[float, float]:
        value = log10(p.value or 1.0) if is_log else p.value or 0.0
        across = (log10(p.num_bytes or 1) - left) / (right - left)
        return across * _WIDTH_PX, (high - value) / (high - low) * _HEIGHT_PX

    places = [at(p) for p in known]
    taken = [(x - 8, y - 8, x + 8, y + 8) for x, y in places]
    for (x, y), (after, below) in pairwise([at(p) for p in best]):
        taken += [(x, y - 2, after, y + 2), (after - 2, y, after + 2, below)]
    sides = []
    for p, (x, y) in zip(known, places, strict=True):
        width = 6.5 * len(p.contender.name) + 4
        boxes = {side: _box(side, x, y, width) for side in _SIDES}
        chosen = min(_SIDES, key=lambda side: (_cost(boxes[side], taken), _SIDES.index(side)))
        taken.append(boxes[chosen])
        sides.append(chosen)
    return sides


_SIDES = (
    "middle right",
    "middle left",
    "top center",
    "bottom center",
    "top right",
    "bottom right",
    "top left",
    "bottom left",
)
_WIDTH_PX, _HEIGHT_PX = 340.0, 190.0
_Box = tuple[float, float, float, float]


def _box(side: str, x: float, y: float, width: float) -> _Box:
    up, along = side.split()
    left = {"left": x - 8 - width, "right": x + 8, "center": x - width / 2}[along]
    top = {"top": y - 24, "middle": y - 8, "bottom": y + 8}[up]
    return left, top, left + width, top + 16


def _cost(box: _Box, taken: Sequence[_Box]) -> float:
    """Returns how much of ``box`` is covered by others or lies outside of the card."""
    left, top, right, bottom = box
    outside = (
        max(0.0, -left)
        + max(0.0, right - _WIDTH_PX - 16)
        + max(0.0, -top - 8)
        + max(0.0, bottom - _HEIGHT_PX)
    )
    covered = sum(
        max(0.0, min(right, r) - max(left, x)) * max(0.0, min(bottom, b) - max(top, t))
        for x, t, r, b in taken
    )
    return covered + 16 * outside

"""What bytes buy: state against spread, and against loss. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from typing import Any

from dashboard.figures.chart import Chart, Column, Key, Table
from dashboard.figures.compare_sources import Contender
from dashboard.figures.compare_words import color, key, markup, size, symbol


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
    for p in known:
        place, is_best = p.contender.place, p in best
        data.append({
            "type": "scatter",
            "mode": "markers+text",
            "x": [p.num_bytes],
            "y": [p.value],
            "text": [markup(p.contender.name)],
            "textposition": _side(p, known),
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
            "xaxis": byte_axis([p.num_bytes or 1 for p in known], price),
            "yaxis": {"nticks": 6} | _value_range(known),
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
    """Returns a log axis with room on both sides and ticks at powers of two that read as bytes."""
    low, high = (min(values), max(values)) if values else (1, 1024)
    low_power, high_power = floor(log10(low) / log10(2)), ceil(log10(high) / log10(2))
    stride = max(1, ceil((high_power - low_power + 1) / 5))
    ticks = [2**power for power in range(low_power - stride, high_power + stride + 1, stride)]
    room = max(0.12 * log10(high / low), 0.06)
    return {
        "type": "log",
        "range": [log10(low) - room, log10(high) + 1.6 * room],
        "tickvals": ticks if high / low > 4 else _between(low, high),
        "ticktext": [size(tick) for tick in (ticks if high / low > 4 else _between(low, high))],
        "title": {"text": f"{title}, log scale", "standoff": 4},
        "minor": {"ticks": ""},
    }


def _between(low: int, high: int) -> list[float]:
    """Returns ends and middle of a narrow range, where powers of two would be too far apart."""
    return [low] if low == high else [low, high] if high / low < 1.2 else [low, (low * high) ** 0.5, high]


def _value_range(known: Sequence[Point]) -> dict[str, Any]:
    if not known:
        return {}
    lows = [p.value if p.low is None else p.low for p in known if p.value is not None]
    highs = [p.value if p.high is None else p.high for p in known if p.value is not None]
    low, high = min(lows), max(highs)
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


def _side(p: Point, known: Sequence[Point]) -> str:
    """Returns where a point's name goes: to the side that has room, above or below where a neighbour is close."""
    prices = sorted(q.num_bytes or 1 for q in known)
    low, high = log10(prices[0]), log10(prices[-1])
    at = 0.5 if high == low else (log10(p.num_bytes or 1) - low) / (high - low)
    crowd = [
        q for q in known if abs(log10((q.num_bytes or 1) / (p.num_bytes or 1))) < 0.15 * max(high - low, 0.01)
    ]
    if len(crowd) > 1:
        order = sorted(crowd, key=lambda q: q.value or 0.0)
        rise = "bottom" if order.index(p) < len(order) / 2 else "top"
        return f"{rise} {'left' if at > 0.7 else 'right' if at < 0.3 else 'center'}"
    return "middle left" if at > 0.7 else "middle right"

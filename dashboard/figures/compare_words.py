"""Numbers and looks that all of the Compare page shares. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, isfinite, log10
from typing import Any

from dashboard.figures.chart import Key

_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
_GLYPHS = ("●", "■", "◆", "▲", "✚", "✕", "★")


def color(place: int, alpha: float | None = None) -> str:
    """Returns the token of a contender's colour."""
    token = f"@c{place % 7 + 1}"
    return token if alpha is None else f"{token}/{alpha:g}"


def dash(place: int) -> str:
    """Returns Plotly's name of a contender's dash."""
    return _DASHES[place % len(_DASHES)]


def symbol(place: int) -> str:
    """Returns Plotly's name of a contender's symbol."""
    return _SYMBOLS[place % len(_SYMBOLS)]


def glyph(place: int) -> str:
    """Returns a contender's symbol as a letter."""
    return _GLYPHS[place % len(_GLYPHS)]


def key(name: str, place: int) -> Key:
    """Returns a contender's entry in a legend."""
    return Key(name, color(place), glyph=glyph(place))


def line(place: int, xs: list[Any], ys: list[Any], **more: Any) -> list[dict[str, Any]]:
    """Returns a contender's line, with its symbol where it ends: colour is never the only sign."""
    drawn: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines",
        "x": xs,
        "y": ys,
        "line": {"color": color(place), "width": 2, "dash": dash(place)},
        "hoverinfo": "skip",
    } | more
    last = next((i for i in range(len(ys) - 1, -1, -1) if ys[i] is not None), None)
    if last is None:
        return [drawn]
    end = {
        "type": "scatter",
        "mode": "markers",
        "x": [xs[last]],
        "y": [ys[last]],
        "marker": {"color": color(place), "symbol": symbol(place), "size": 9},
        "hoverinfo": "skip",
        "cliponaxis": False,
    }
    axes = {name: more[name] for name in ("xaxis", "yaxis") if name in more}
    return [drawn, end | axes]


def markup(text: str) -> str:
    """Returns ``text`` for Plotly's hover and annotations, where tags would come alive."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("%{", "%\u2060{")


def size(num_bytes: float | None, digits: int = 3) -> str:
    """Returns bytes with so many significant digits in a binary unit.

    >>> size(8704), size(4), size(None)
    ('8.5 KiB', '4 B', 'bytes not known')
    """
    if num_bytes is None:
        return "bytes not known"
    amount, units = float(num_bytes), ["B", "KiB", "MiB", "GiB", "TiB"]
    while amount >= 1024 and len(units) > 1:
        amount /= 1024
        units.pop(0)
    if units[0] == "B":
        return f"{amount:.0f} B"
    return f"{amount:.0f} {units[0]}" if amount >= 10**digits else f"{amount:.{digits}g} {units[0]}"


def is_wide(values: Sequence[float]) -> bool:
    """Whether values are all positive and so far apart that only a log axis shows them all."""
    return bool(values) and min(values) > 0 and max(values) > 50 * min(values)


def log_range(low: float, high: float) -> dict[str, Any]:
    """Returns a log axis over whole decades: ticks nowhere else."""
    room = 0.05 * log10(high / low) if high > low else 0.1
    return {
        "type": "log",
        "dtick": max(1, ceil(log10(high / low) / 6)),
        "range": [log10(low) - room, log10(high) + room],
        "exponentformat": "power",
    }


def bits(value: float | None) -> str:
    """Returns bits with one or two digits behind the point, without the unit."""
    if value is None or not isfinite(value):
        return "–"
    return f"{abs(value):.2f}" if abs(value) < 9.95 else f"{value:.1f}"


def nats(value: float) -> str:
    """Returns a difference in loss with two significant digits at least, and a true minus.

    >>> nats(-0.0123), nats(1.5), nats(12345.6)
    ('−0.012', '1.50', '12,346')
    """
    if abs(value) >= 100:
        return f"{value:,.0f}".replace("-", "−")
    digits = 2 if abs(value) >= 0.1 else 3 if abs(value) >= 0.01 else 4
    text = f"{value:.{digits}f}"
    return "0" if float(text) == 0 else text.replace("-", "−")


def price(num_bytes: float, than: float) -> str:
    """Returns what one costs beside another; a share's sign stays on the line of its number.

    >>> price(1, 100), price(300, 100), price(100, 100)
    ('100× fewer bytes', '3.0× the bytes', 'the same bytes')
    """
    if num_bytes == than:
        return "the same bytes"
    ratio = num_bytes / than
    if ratio >= 2:
        return f"{_times(ratio)} the bytes"
    if ratio <= 0.5:
        return f"{_times(1 / ratio)} fewer bytes"
    share = abs(ratio - 1) * 100
    text = f"{share:.0f}" if share >= 9.95 else f"{share:.1f}" if share >= 0.05 else f"{share:.1g}"
    return f"{text}\u00a0% {'more' if ratio > 1 else 'fewer'} bytes"


def _times(ratio: float) -> str:
    return f"{ratio:.1f}×" if ratio < 9.95 else f"{ratio:,.0f}×"

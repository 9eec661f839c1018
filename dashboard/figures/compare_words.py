"""Numbers and looks that all of the Compare page shares. Pure."""

from __future__ import annotations

from math import isfinite
from typing import Any, Literal

from dashboard.figures.chart import Key

Dash = Literal["solid", "dash", "dot", "dashdot"]
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
_GLYPHS = ("●", "■", "◆", "▲", "✚", "✖", "★")


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


def size(num_bytes: float | None) -> str:
    """Returns bytes with three significant digits in a binary unit.

    >>> size(8704), size(4), size(None)
    ('8.50 KiB', '4 B', 'bytes not known')
    """
    if num_bytes is None:
        return "bytes not known"
    amount, units = float(num_bytes), ["B", "KiB", "MiB", "GiB", "TiB"]
    while amount >= 1024 and len(units) > 1:
        amount /= 1024
        units.pop(0)
    if units[0] == "B":
        return f"{amount:.0f} B"
    return f"{amount:.0f} {units[0]}" if amount >= 100 else f"{amount:.3g} {units[0]}"


def bits(value: float | None) -> str:
    """Returns bits with one or two digits behind the point, without the unit."""
    if value is None or not isfinite(value):
        return "–"
    return f"{abs(value):.2f}" if abs(value) < 9.95 else f"{value:.1f}"


def nats(value: float) -> str:
    """Returns a difference in loss with two significant digits at least, and a true minus.

    >>> nats(-0.0123), nats(1.5)
    ('−0.012', '1.50')
    """
    digits = 2 if abs(value) >= 0.1 else 3 if abs(value) >= 0.01 else 4
    text = f"{value:.{digits}f}"
    return "0" if float(text) == 0 else text.replace("-", "−")


def price(num_bytes: float, than: float) -> str:
    """Returns what one costs beside another.

    >>> price(103, 100), price(1, 100), price(300, 100), price(100, 100)
    ('3.0 % more bytes', '99 % fewer bytes', '3.0× the bytes', 'the same bytes')
    """
    ratio = num_bytes / than
    if ratio >= 2:
        return f"{ratio:,.1f}× the bytes" if ratio < 100 else f"{ratio:,.0f}× the bytes"
    share = abs(ratio - 1) * 100
    if num_bytes == than:
        return "the same bytes"
    text = (
        f"{share:.0f}" if 9.95 <= share < 99 else f"{share:.1f}" if 0.05 <= share < 99.9 else f"{share:.3g}"
    )
    return f"{text} % {'more' if ratio > 1 else 'fewer'} bytes"

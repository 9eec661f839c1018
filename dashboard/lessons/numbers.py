"""Numbers of a lesson in a cell's few characters, and as tints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log2


def short(x: float | None) -> str:
    """Returns a number in at most about five characters; '–' for one that does not exist.

    >>> short(101.0), short(0.25), short(1 / 3), short(None), short(12345.0), short(0.00012)
    ('101', '0.25', '0.33', '–', '1.2e4', '1.2e-4')
    """
    if x is None:
        return "–"
    size = abs(x)
    if x == int(x) and size < 10_000:
        return str(int(x))
    if 0.01 <= size < 10_000:
        return f"{x:.0f}" if size >= 1000 else f"{x:.1f}" if size >= 10 else f"{x:.2f}"
    mantissa, _, exponent = f"{x:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def bits(x: float | None) -> str:
    """Returns bits as cells show them; '–' where there are none.

    >>> bits(2.0), bits(0.0), bits(-0.584), bits(None)
    ('2.0', '0', '-0.6', '–')
    """
    return "–" if x is None else "0" if x == 0 else f"{x:.1f}"


def times(x: float) -> str:
    """Returns a ratio, such as 2, 1.5 or 101.

    >>> times(2.0), times(1.5), times(100.6)
    ('2', '1.5', '101')
    """
    return f"{x:.0f}" if x >= 10 or x == int(x) else f"{x:.1f}"


def binary(n: float) -> str:
    """Returns bytes in a binary unit, with three digits.

    >>> binary(36), binary(3351016), binary(1348255448)
    ('36 B', '3.20 MiB', '1.26 GiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if n < 1024 or unit == "TiB":
            break
        n /= 1024
    if unit == "B":
        return f"{n:.0f} B"
    return f"{n:.{2 if n < 10 else 1 if n < 100 else 0}f} {unit}"


def shades(values: Sequence[float | None], top: float | None = None) -> tuple[float | None, ...]:
    """Returns values of at least 0 as tints of 0 to 1, by their logarithm; 0 and None have none."""
    peak = top if top is not None else max((v for v in values if v), default=1.0)
    if peak <= 0:
        return tuple(None for _ in values)
    return tuple(None if not v or v < 0 else log2(1 + v) / log2(1 + max(peak, v)) for v in values)


def place(flat: int, columns: int) -> str:
    """Returns a cell's place as people count: from 1.

    >>> place(6, 5)
    'row 2, column 2'
    """
    return f"row {flat // columns + 1}, column {flat % columns + 1}"


def texts(values: Iterable[float | None]) -> tuple[str, ...]:
    """Returns each as :func:`short` writes it."""
    return tuple(map(short, values))

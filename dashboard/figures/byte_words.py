"""Bytes in words and on axes, in binary units."""

from __future__ import annotations

from math import ceil, log2

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(num_bytes: float) -> str:
    """Returns bytes with three significant digits in the binary unit that suits them.

    >>> size(0), size(1348255448), size(47.6 * 1024), size(-2048)
    ('0 B', '1.26 GiB', '47.6 KiB', '−2.00 KiB')
    """
    sign, left, unit = "−" if num_bytes < 0 else "", abs(float(num_bytes)), 0
    while left >= 1024 and unit < len(_UNITS) - 1:
        left, unit = left / 1024, unit + 1
    digits = 0 if unit == 0 or left >= 100 else 1 if left >= 10 else 2
    return f"{sign}{left:.{digits}f} {_UNITS[unit]}"


def ticks(largest: float, *, about: int = 5) -> tuple[list[float], list[str]]:
    """Returns where an axis from 0 to ``largest`` bytes has its marks, whole numbers of one unit, and their texts.

    >>> ticks(2.6 * 2**30)
    ([0, 536870912.0, 1073741824.0, 1610612736.0, 2147483648.0, 2684354560.0], ['0', '0.5', '1', '1.5', '2', '2.5 GiB'])
    """
    if largest <= 0:
        return [0], ["0"]
    unit = min(max(0, int(log2(largest) // 10)), len(_UNITS) - 1)
    rough = largest / 1024**unit / about
    power = 10 ** (ceil(_log10(rough)) - 1)
    step = next(k for k in (1, 2, 2.5, 5, 10) if k * power >= rough * 0.999) * power
    step = max(step, 1) if unit == 0 else step
    count = int(largest / 1024**unit / step + 1e-9)
    values = [k * step for k in range(count + 1)]
    texts = [f"{value:g}" for value in values]
    texts[-1] += f" {_UNITS[unit]}"
    return [value and value * 1024.0**unit for value in values], texts


def _log10(value: float) -> float:
    return log2(value) / log2(10)


def times(ratio: float) -> str:
    """Returns how many times less.

    >>> times(1.994), times(312.7), times(1.0)
    ('1.99', '313', '1.00')
    """
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.1f}" if ratio >= 10 else f"{ratio:.2f}"

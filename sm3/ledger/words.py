"""Bytes in words, in binary units."""

from __future__ import annotations


def size(num_bytes: float) -> str:
    """Returns bytes in the binary unit that suits them: whole below 1 KiB, else with two decimals.

    >>> size(0), size(1348255448), size(-2048)
    ('0 B', '1.26 GiB', '−2.00 KiB')
    """
    sign = "−" if num_bytes < 0 else ""
    left = abs(float(num_bytes))
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if left < 1024 or unit == "TiB":
            break
        left /= 1024
    return f"{sign}{left:.0f} B" if unit == "B" else f"{sign}{left:.2f} {unit}"

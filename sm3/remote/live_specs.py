"""What long series and short looks at many tensors are called on the live WebSocket. No torch."""

from __future__ import annotations

from enum import StrEnum

SMOOTHED_SERIES = ("loss", "grad_norm")
"""Series whose smoothed curves come along where they are too long to be sent whole."""
SMOOTHING_SPANS = (10, 100, 1000)
"""Over about how many points they are smoothed."""


def smoothed_name(series: str, span: int) -> str:
    """Returns what the smoothed curve of a series is called: ``loss~100``."""
    return f"{series}~{span}"


class GlanceStatistic(StrEnum):
    """Statistics that a list of tensors can show of all of them at once."""

    RATE = "rate_p50"
    ZERO_ROWS = "zero_rows"
    TIGHTNESS = "tightness_level"
    SATURATED = "saturated"


MOSTLY = 0.5
"""Share of a tensor's sets from which on it counts as saturated."""

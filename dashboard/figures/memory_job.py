"""A job's bytes: predicted next to measured, and why memory did not shrink where it did not."""

from __future__ import annotations

from dashboard.figures.chart import Cell, Chart, Column, Table
from dashboard.figures.memory import HEIGHT_PX, short
from sm3.remote.ledger_views import JobLedger, MeasuredBytes

_OUTSIDE = (
    ("averaging_bytes", "averaged weights"),
    ("probe_bytes", "statistics"),
    ("rss_bytes", "the process, now"),
    ("peak_rss_bytes", "the process, at most"),
    ("cuda_allocated_bytes", "CUDA, allocated"),
    ("cuda_peak_bytes", "CUDA, at most"),
    ("cuda_reserved_bytes", "CUDA, reserved"),
)


def verdict(ledger: JobLedger) -> str:
    """Returns whether the prediction holds, in a few words."""
    if ledger.measured is None:
        return "Measured after the first step"
    if ledger.difference_bytes is None:
        return "The state was not measured"
    if ledger.difference_bytes == 0:
        return "Predicted and measured: 0 B apart ✓"
    return f"Predicted and measured: {ledger.difference_bytes:+,} B apart"


def comparison(ledger: JobLedger, name: str) -> Chart:
    """Returns the table of what was predicted and what was measured."""
    total, measured = ledger.predicted.total, ledger.measured or MeasuredBytes()
    pairs: list[tuple[str, int | None, int | None]] = [
        ("accumulators", total.accumulators_bytes, measured.accumulators_bytes),
        ("momentum", total.momentum_bytes, measured.momentum_bytes),
        ("counters", total.other_bytes or None, None),
        ("optimizer state", total.state_bytes, measured.state_bytes),
        ("weights", total.weights_bytes, None),
        ("gradients", total.gradients_bytes, None),
    ]
    pairs += [(word, None, getattr(measured, field)) for field, word in _OUTSIDE]
    rows: list[tuple[Cell, ...]] = [
        (word, predicted, found, _apart(predicted, found))
        for word, predicted, found in pairs
        if predicted is not None or found is not None
    ]
    return Chart(
        name=f"measured-{name}",
        title=verdict(ledger),
        about=short(ledger.predicted),
        alt=f"{verdict(ledger)}: a table of {len(rows)} parts.",
        table=Table(
            (
                Column("part"),
                Column("predicted", "bytes", "B"),
                Column("measured", "bytes", "B"),
                Column("apart"),
            ),
            tuple(rows),
        ),
        note="Predicted from shapes alone; measured on the optimizer’s own tensors and on the worker’s process.",
        height_px=HEIGHT_PX,
    )


def _apart(predicted: int | None, measured: int | None) -> str | None:
    if predicted is None or measured is None:
        return None
    return "0 B ✓" if predicted == measured else f"{measured - predicted:+,} B"


def findings(ledger: JobLedger) -> tuple[tuple[str, str, str], ...]:
    """Returns each finding: its name in words, what it says with the numbers that led to it, and its remedy."""
    return tuple(
        (finding.name.replace("-", " ").capitalize(), finding.says, finding.remedy)
        for finding in ledger.findings
    )

"""What fits: the largest batch of the model, and the largest model of its family, on a device."""

from __future__ import annotations

from dashboard.figures.byte_words import size
from dashboard.figures.chart import Chart, Column, Table
from dashboard.figures.memory import HEIGHT_PX, LABELS_PX, Answers
from sm3.remote.ledger_views import FitView, OptimizerLedger

NO_ESTIMATE = "There is no estimate of this model’s activations: say how many MiB a sample takes."


def fitting(answers: Answers) -> tuple[tuple[str, OptimizerLedger, FitView], ...]:
    """Returns the optimizers whose fit was answered, as the bars order them."""
    return tuple((name, each, each.fit) for name, each in answers.lines if each.fit is not None)


def sentence(answers: Answers, memory_gib: float) -> str:
    """Returns what fits under SM3 and under AdamW."""
    ours, theirs = answers.chosen.fit, answers.adamw.fit
    if ours is None or theirs is None:
        return "What fits"
    if not ours.largest_batch and not theirs.largest_batch:
        return f"In {memory_gib:g} GiB not one sample fits, under either"
    return f"In {memory_gib:g} GiB: SM3 a batch of {ours.largest_batch:,}, AdamW {theirs.largest_batch:,}"


def chart(answers: Answers, memory_gib: float) -> Chart:
    """Returns a bar an optimizer: the largest batch, with the family's largest model behind it."""
    found = fitting(answers)
    batches = [fit.largest_batch for *_, fit in found]
    largest = max(batches, default=0)
    rows = tuple(
        (
            name,
            each.total.held_bytes,
            fit.activation_bytes_per_sample,
            fit.largest_batch,
            fit.peak_bytes,
            fit.largest_model or "none",
        )
        for name, each, fit in found
    )
    texts = [f" <b>{fit.largest_batch:,}</b>{_model(fit)}" for *_, fit in found]
    places = list(range(len(found)))
    note = ""
    if found:
        fit = found[0][2]
        note = f"{size(fit.activation_bytes_per_sample)} of activations a sample, {fit.activation_source}. "
        steps = "on CUDA, torch’s own defaults" if answers.asked.detail.device == "cuda" else "on the CPU"
        note += f"Batch = (memory − held) ÷ that; {steps}."
    return Chart(
        name=f"fits-{answers.model.name or 'model'}",
        title=sentence(answers, memory_gib),
        about="samples; largest of its family",
        alt=f"{sentence(answers, memory_gib)}.",
        table=Table(
            (
                Column("optimizer"),
                Column("held", "bytes", "B"),
                Column("activations a sample", "bytes", "B"),
                Column("largest batch", "integer"),
                Column("peak", "bytes", "B"),
                Column("largest of the family"),
            ),
            rows,
        ),
        data=[
            {
                "type": "bar",
                "orientation": "h",
                "y": places,
                "x": batches,
                "marker": {"color": ["@accent", *["@c7/0.45"] * (len(found) - 1)], "line": {"width": 0}},
                "hovertext": [_hover(name, fit, memory_gib) for name, _, fit in found],
                "hoverinfo": "text",
            },
            {
                "type": "scatter",
                "mode": "text",
                "x": batches,
                "y": places,
                "text": texts,
                "textposition": "middle right",
                "textfont": {"color": "@text", "size": 12},
                "hoverinfo": "skip",
                "cliponaxis": False,
            },
        ],
        layout={
            "bargap": 0.34,
            "margin": {"l": LABELS_PX, "r": 16, "t": 4, "b": 28},
            "xaxis": {
                "range": [0, largest / (1 - min(0.7, 0.02 * max(map(len, texts), default=0))) or 1],
                "rangemode": "tozero",
                "showgrid": True,
                "fixedrange": True,
                "nticks": 5,
                **({} if largest else {"tickvals": [0]}),
            },
            "yaxis": {
                "tickvals": places,
                "ticktext": [f"<b>{name}</b>" if k == 0 else name for k, (name, *_) in enumerate(found)],
                "autorange": "reversed",
                "showgrid": False,
                "fixedrange": True,
            },
        },
        note=note,
        height_px=HEIGHT_PX,
        empty="" if found else NO_ESTIMATE,
    )


def _model(fit: FitView) -> str:
    return f"  {fit.largest_model}" if fit.largest_model else "  no model of the family"


def _hover(name: str, fit: FitView, memory_gib: float) -> str:
    return "<br>".join((
        f"<b>{name}</b>",
        f"({memory_gib:g} GiB − {size(fit.fixed_bytes)} held) ÷ {size(fit.activation_bytes_per_sample)} a sample",
        f"= a batch of {fit.largest_batch:,}; at it the peak is {size(fit.peak_bytes)}",
        f"largest of the family that still trains: {fit.largest_model or 'none'}",
    ))

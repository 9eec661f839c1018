"""Where the bytes go under each optimizer: the headline and the stacked bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.figures.byte_words import size, ticks
from dashboard.figures.chart import Cell, Chart, Column, Key, Table
from dashboard.figures.memory_question import Question
from sm3.remote.ledger_views import JobLedger, LedgerAnswer, ModelView, OptimizerLedger, PartBytes
from sm3.remote.wire import TensorInfo


@dataclass(frozen=True)
class Part:
    """One part of the bytes: its field, its word, and how it looks everywhere on the page."""

    field: str
    word: str
    color: str
    shape: str
    glyph: str
    meaning: str

    @property
    def tile(self) -> str:
        """Its colour where text stands on it."""
        color, _, opacity = self.color.partition("/")
        return f"{color}/{0.6 * float(opacity) if opacity else 0.28:.2g}"

    def of(self, parts: PartBytes) -> int:
        """Returns its bytes."""
        found: int = getattr(parts, self.field)
        return found


PARTS = (
    Part("weights_bytes", "weights", "@c7/0.45", "", "■", "parameters × bytes a number"),
    Part("gradients_bytes", "gradients", "@c7/0.25", ".", "▤", "parameters × bytes a number"),
    Part("master_bytes", "fp32 copies", "@c5/0.5", "-", "▥", "4 bytes for each 16-bit weight"),
    Part("momentum_bytes", "momentum", "@c4/0.6", "/", "▨", "parameters × bytes a number of momentum"),
    Part("accumulators_bytes", "accumulators", "@accent", "", "■", "4 bytes a set of the cover"),
    Part("other_bytes", "counters", "@text", "x", "▩", "step counters and tables"),
    Part("transient_bytes", "the step's own", "@c6/0.4", "\\", "▧", "taken by the step and given back"),
)
HEIGHT_PX = 280
"""Of the cards of the first row; with those of the second the page fits on a screen."""
_SEEN = 1e-4
LABELS_PX = 208
"""Room for the optimizers' names."""
STATE = tuple(part for part in PARTS if part.word in {"momentum", "accumulators", "counters"})


@dataclass(frozen=True)
class Answers:
    """What the service answered.

    Attributes:
        detail: SM3 as chosen and AdamW, tensor by tensor.
        rest: the other optimizers.
        asked: the question.
        job: the job's own ledger; None for a model of the catalogue.
        measured: what the job's worker said of its tensors; empty before its first step.
        label: what the page calls the job or the model.
    """

    detail: LedgerAnswer
    rest: LedgerAnswer
    asked: Question
    label: str
    job: JobLedger | None = None
    measured: tuple[TensorInfo, ...] = ()

    @property
    def model(self) -> ModelView:
        """The model."""
        return self.detail.model

    @property
    def chosen(self) -> OptimizerLedger:
        """SM3 as chosen."""
        return self.detail.ledgers[0]

    @property
    def adamw(self) -> OptimizerLedger:
        """AdamW."""
        return self.detail.ledgers[1]

    @property
    def lines(self) -> tuple[tuple[str, OptimizerLedger], ...]:
        """Every optimizer with what it is called, as chosen first, then AdamW, then the others."""
        before = "now" if self.job else "default"
        named = [
            (f"{short(each)} ({before})" if self.asked.base is not None and k == 0 else short(each), each)
            for k, each in enumerate(self.rest.ledgers)
        ]
        return ((short(self.chosen), self.chosen), (short(self.adamw), self.adamw), *named)

    @property
    def is_as_it_runs(self) -> bool:
        """Whether the job's optimizer is SM3 and nothing was changed."""
        return self.job is not None and self.job.predicted.total.state_bytes == self.chosen.total.state_bytes


def short(ledger: OptimizerLedger) -> str:
    """Returns an optimizer's title without the package it was compared with.

    >>> from types import SimpleNamespace
    >>> short(SimpleNamespace(title="AdamW8bit (bitsandbytes)"))
    '8-bit AdamW'
    """
    title = ledger.title.partition(" (")[0]
    return {"AdamW8bit": "8-bit AdamW"}.get(title, title)


def headline(answers: Answers) -> str:
    """Returns the page's one sentence."""
    job, ours, adamw = answers.job, answers.chosen.total.state_bytes, answers.adamw.total.state_bytes
    if job is not None and job.predicted.optimizer.get("name") != "sm3":
        own = job.predicted.total.state_bytes
        return (
            f"This job’s {short(job.predicted)} keeps {size(own)} of state, SM3 would keep {size(ours)}"
            f"{_difference(own, ours)}."
        )
    keeps = "keeps" if job is None or answers.is_as_it_runs else "would keep"
    return f"SM3 {keeps} {size(ours)} of state, AdamW {size(adamw)}{_difference(adamw, ours)}."


def _difference(theirs: int, ours: int) -> str:
    saved = theirs - ours
    if abs(saved) < 0.005 * max(theirs, ours, 1):
        return ": no difference"
    return f": {size(saved)} back" if saved > 0 else f": {size(-saved)} more"


def about(answers: Answers) -> str:
    """Returns the line below the headline: what it is about, and what the number hangs on."""
    model, total = answers.model, answers.chosen.total
    momentum = "no momentum"
    if total.momentum_bytes:
        momentum = f"{size(total.momentum_bytes)} of momentum"
    numbers = sum(numbers_of(tensor.accumulator_shapes) for tensor in answers.chosen.tensors)
    per_parameter = f"{model.num_parameters / numbers:,.0f} parameters" if numbers else "no parameter"
    return (
        f"{answers.label} · {model.num_parameters:,} parameters in {model.num_tensors:,} tensors · {momentum} and "
        f"{size(total.accumulators_bytes)} of accumulators: {numbers:,} of them, one for {per_parameter}"
    )


def numbers_of(shapes: Sequence[Sequence[int]]) -> int:
    """Returns how many numbers tensors of these shapes hold."""
    count = 0
    for shape in shapes:
        entries = 1
        for length in shape:
            entries *= length
        count += entries
    return count


def bars(answers: Answers, *, whole: bool) -> Chart:
    """Returns a stacked bar an optimizer: its state alone, or with ``whole`` all that is held and taken at the peak."""
    parts = tuple(
        part for part in (PARTS if whole else STATE) if any(part.of(each.total) for _, each in answers.lines)
    )
    names = [name for name, _ in answers.lines]
    sums = [sum(part.of(each.total) for part in parts) for _, each in answers.lines]
    rows: list[tuple[Cell, ...]] = [
        (name, *(part.of(each.total) for part in parts), total, each.verified)
        for (name, each), total in zip(answers.lines, sums, strict=True)
    ]
    places = list(range(len(names)))
    largest = max(sums, default=0)
    values, texts = ticks(largest)
    return Chart(
        name=f"memory-{'peak' if whole else 'state'}-{answers.model.name or 'model'}",
        title="All memory at the peak of a step" if whole else "Optimizer state",
        about="without activations" if whole else "what stays from step to step",
        alt=f"Stacked bars of bytes for {len(names)} optimizers: {names[0]} {size(sums[0])}, AdamW {size(sums[1])}.",
        table=Table(
            (
                Column("optimizer"),
                *(Column(part.word, "bytes", "B") for part in parts),
                Column("together", "bytes", "B"),
                Column("rule equals"),
            ),
            tuple(rows),
        ),
        data=[
            *(_bar(part, answers.lines, places) for part in parts),
            _totals(sums, places, answers.adamw.total.state_bytes, whole=whole),
        ],
        layout={
            "barmode": "stack",
            "bargap": 0.34,
            "margin": {"l": LABELS_PX, "r": 16, "t": 4, "b": 28},
            "xaxis": {
                "range": [0, largest * 1.2 or 1],
                "tickvals": values,
                "ticktext": texts,
                "showgrid": True,
                "fixedrange": True,
            },
            "yaxis": {
                "tickvals": places,
                "ticktext": [f"<b>{names[0]}</b>", *names[1:]],
                "autorange": "reversed",
                "showgrid": False,
                "fixedrange": True,
            },
        },
        keys=tuple(
            Key(part.word, part.color.partition("/")[0], glyph=part.glyph)
            for part in parts
            if any(part.of(each.total) >= _SEEN * largest for _, each in answers.lines)
        ),
        note=_bars_note(answers, whole=whole),
        height_px=HEIGHT_PX,
    )


def _bar(part: Part, lines: Sequence[tuple[str, OptimizerLedger]], places: list[int]) -> dict[str, Any]:
    values = [part.of(each.total) for _, each in lines]
    return {
        "type": "bar",
        "orientation": "h",
        "name": part.word,
        "y": places,
        "x": values,
        "marker": {
            "color": part.color,
            "pattern": {
                "shape": part.shape,
                "size": 6,
                "solidity": 0.2,
                "fillmode": "overlay",
                "fgcolor": "@text/0.6",
            },
            "line": {"width": 0},
        },
        "hovertext": [
            f"<b>{name}</b><br>{part.word}: {size(value)} ({value:,} B)<br>{part.meaning}"
            for (name, _), value in zip(lines, values, strict=True)
        ],
        "hoverinfo": "text",
    }


def _totals(sums: list[int], places: list[int], adamw_bytes: int, *, whole: bool) -> dict[str, Any]:
    """The number at the end of each bar, which a bar too short to be seen needs most."""
    texts = []
    for total in sums:
        ratio = adamw_bytes / total if total and not whole else 0
        texts.append(f" <b>{size(total)}</b>" + (f"  {ratio:,.0f}× less than AdamW" if ratio >= 10 else ""))
    return {
        "type": "scatter",
        "mode": "text",
        "x": sums,
        "y": places,
        "text": texts,
        "textposition": "middle right",
        "textfont": {"color": "@text", "size": 12},
        "hoverinfo": "skip",
        "cliponaxis": False,
    }


def _bars_note(answers: Answers, *, whole: bool) -> str:
    if whole:
        return "Weights and gradients cost the same under every optimizer: what it keeps is the rest."
    bare = [
        name
        for name, each in answers.lines[2:]
        if not each.total.momentum_bytes and not name.startswith("SM3")
    ]
    return f"{' and '.join(bare)} keep no momentum: compare them with SM3 without." if bare else ""

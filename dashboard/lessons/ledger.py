"""Lesson 6: where did my memory go: state against peak, and why it did not shrink."""

from __future__ import annotations

from typing import Any

from dashboard.figures.chart import Chart, Column, Key, Table
from dashboard.lessons.numbers import binary
from dashboard.lessons.scene import Case, Control, Lesson, Option, Question, Scene, Source
from sm3.remote.client import Client
from sm3.remote.ledger_specs import LedgerSpec
from sm3.remote.ledger_views import LedgerAnswer, OptimizerLedger

MODELS = {"bert-large": "BERT-Large", "gpt2-small": "GPT-2 small", "gpt2-xl": "GPT-2 XL"}
BATCHES = ("1", "8", "32", "128")
OPTIMIZERS: tuple[dict[str, Any], ...] = (
    {"name": "adamw"},
    {"name": "sm3"},
    {"name": "sm3", "momentum_dtype": "int8"},
    {"name": "sm3", "momentum": 0.0},
)
PARTS = (
    ("weights", "@c7"),
    ("gradients", "@c4"),
    ("momentum", "@c1"),
    ("accumulators", "@c2"),
    ("activations", "@c3"),
)


def _fetch(client: Client, case: Case) -> LedgerAnswer:
    return client.ledger(
        LedgerSpec.model_validate({
            "model": case.choice("model", tuple(MODELS)),
            "optimizers": OPTIMIZERS,
            "fit": {"device_memory_bytes": 2**40, "sequence_length": 128},
            "foreach": False,
        })
    )


def _parts(ledger: OptimizerLedger, batch: int) -> dict[str, int]:
    """Returns the bytes of each part at the peak: what is held, and a batch's activations or the step's own."""
    total = ledger.total
    activations = batch * ledger.fit.activation_bytes_per_sample if ledger.fit else 0
    return {
        "weights": total.weights_bytes,
        "gradients": total.gradients_bytes,
        "momentum": total.momentum_bytes,
        "accumulators": total.accumulators_bytes + total.other_bytes,
        "activations": max(activations, total.transient_bytes),
    }


def _tell(case: Case, facts: LedgerAnswer) -> Scene:
    batch = int(case.choice("batch", BATCHES))
    adamw, sm3, _, bare = facts.ledgers
    theirs, ours = _parts(adamw, batch), _parts(sm3, batch)
    peaks = sum(theirs.values()), sum(ours.values())
    model = MODELS[case.choice("model", tuple(MODELS))]
    saved = adamw.total.state_bytes - sm3.total.state_bytes
    accumulators = binary(theirs["accumulators"]), binary(ours["accumulators"])
    headlines = {
        1: f"{model}: accumulators fall from {accumulators[0]} to {accumulators[1]}. How far does the peak fall?",
        2: f"State: SM3 keeps {binary(sm3.total.state_bytes)}, AdamW {binary(adamw.total.state_bytes)}. "
        f"{binary(saved)} are back.",
        3: f"Peak: {binary(peaks[0])} become {binary(peaks[1])}, {_fall(*peaks)} less, at a batch of {batch}.",
        4: f"The {binary(saved)} are all there; they are {_fall(*peaks)} of the peak, because the rest does "
        "not shrink.",
    }
    says = {
        1: f"AdamW keeps two numbers for each of {facts.model.num_parameters:,} parameters; SM3 keeps the "
        "momentum, and one number "
        "a row and a column. Memory at the peak of training holds more than the optimizer.",
        2: "Momentum is as large as the weights and stays. Only the second moments shrink, to almost nothing.",
        3: f"Weights, gradients and momentum are {binary(ours['weights'])} each; a batch of {batch} takes "
        f"{binary(ours['activations'])} of activations (estimated at 128 tokens a sample). Change the batch.",
        4: f"Three reasons why it did not shrink: momentum ({binary(ours['momentum'])}) is kept, so try int8 or none "
        f"({binary(bare.total.state_bytes)} of state); activations grow with the batch; and an allocator "
        "keeps what it once "
        "took, so measure what is allocated, not what the device shows.",
    }
    return Scene(
        headline=headlines[case.step],
        text=says[case.step],
        question=_question(adamw, sm3, theirs, ours, batch),
        controls=(
            Control("model", "Model", tuple(MODELS.items()), case.inputs["model"]),
            Control("batch", "Batch", tuple((b, b) for b in BATCHES), str(batch), is_slider=True),
        ),
        charts=(_chart(case, facts, batch),),
        source=Source(
            f"{facts.model.title}: {facts.model.num_parameters:,} parameters, published as {facts.model.published}",
            sm3.fit.activation_source if sm3.fit else sm3.source,
        ),
    )


def _fall(before: float, after: float) -> str:
    share = 100 * (1 - after / before)
    return f"{share:.1f} %" if share < 10 or share > 99 else f"{share:.0f} %"


def _question(
    adamw: OptimizerLedger, sm3: OptimizerLedger, theirs: dict[str, int], ours: dict[str, int], batch: int
) -> Question:
    right = _fall(sum(theirs.values()), sum(ours.values()))
    options = {
        right: Option(
            "peak", right, "Weights, gradients, momentum and activations are the same in both.", is_right=True
        )
    }
    for key, share, why in (
        ("accumulators", _fall(theirs["accumulators"], ours["accumulators"]),
         "That is what happens to the accumulators alone."),
        ("state", _fall(adamw.total.state_bytes, sm3.total.state_bytes),
         "That is the optimizer's state; the model and its activations are there, too."),
        ("held", _fall(adamw.total.held_bytes, sm3.total.held_bytes),
         "That is all that is held from step to step; activations come on top."),
    ):  # fmt: skip
        options.setdefault(share, Option(key, share, why))
    order = sorted(options, key=lambda text: float(text.split()[0]))
    return Question(
        f"By how much does the peak memory of training fall, at a batch of {batch}?",
        tuple(options[text] for text in order),
    )


def _chart(case: Case, facts: LedgerAnswer, batch: int) -> Chart:
    state = case.step <= 2
    found = [_parts(ledger, batch) for ledger in facts.ledgers]
    shown = facts.ledgers[: 1 if case.step == 1 else 4]
    names = [ledger.title for ledger in shown]
    parts = [(part, color) for part, color in PARTS if not state or part in {"momentum", "accumulators"}]
    gib = 2**30

    def label(part: str, size: int, total: int) -> str:
        return f"{part} {binary(size)}" if size > 0.14 * total else ""

    widest = max(sum(one[part] for part, _ in parts) for one in found)
    rows: tuple[tuple[str | int, ...], ...] = tuple(
        (name, *(one[part] for part, _ in parts), sum(one[part] for part, _ in parts))
        for name, one in zip(names, found, strict=False)
    )
    return Chart(
        name="lesson-ledger",
        title="Optimizer state, GiB" if state else f"Peak memory at a batch of {batch}, GiB",
        alt="; ".join(f"{row[0]}: {binary(float(row[-1]))}" for row in rows),
        table=Table(
            (Column("optimizer"), *(Column(part, "bytes") for part, _ in parts), Column("total", "bytes")),
            rows,
        ),
        data=[
            {
                "type": "bar",
                "orientation": "h",
                "name": part,
                "y": names,
                "x": [one[part] / gib for one, _ in zip(found, names, strict=False)],
                "text": [label(part, one[part], widest) for one, _ in zip(found, names, strict=False)],
                "textposition": "inside",
                "insidetextanchor": "start",
                "textfont": {"color": "@paper"},
                "marker": {"color": color, "line": {"color": "@paper", "width": 1}},
                "customdata": [binary(one[part]) for one, _ in zip(found, names, strict=False)],
                "hovertemplate": f"%{{y}}: {part} %{{customdata}}<extra></extra>",
            }
            for part, color in parts
        ],
        layout={
            "barmode": "stack",
            "uniformtext": {"minsize": 11, "mode": "hide"},
            "bargap": 0.35,
            "xaxis": {"title": {"text": "GiB"}, "range": [0, 1.02 * widest / gib]},
            "yaxis": {"autorange": "reversed", "showgrid": False},
            "margin": {"l": 168},
        },
        keys=tuple(Key(part, color, glyph="■") for part, color in parts),
        height_px=340,
        revision=f"ledger-{case.step}-{case.inputs['model']}-{batch}",
    )


LESSON = Lesson(
    slug="ledger",
    title="Where memory goes",
    idea="SM3 gives back the second moments; whatever else the peak holds stays.",
    steps=("Guess", "State", "Peak", "Why not more?"),
    reveal=3,
    defaults={"model": "bert-large", "batch": "8"},
    fetch=_fetch,
    tell=_tell,
)

"""Lesson 5: activation patterns, of a real embedding and a real attention layer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dashboard.figures.chart import Chart, Column, Key, Table
from dashboard.figures.demo import invitation
from dashboard.figures.labels import job_label
from dashboard.lessons.numbers import short
from dashboard.lessons.scene import Case, Control, Lesson, Option, Question, Scene, Source, Unknown
from sm3.remote.client import Client
from sm3.remote.frames import decode
from sm3.remote.wire import JobView, TensorInfo

WHEN = {"first": "first frame", "half": "halfway", "last": "newest"}


@dataclass(frozen=True)
class _Layer:
    """One matrix at one step: which bins of rows and columns have any gradient, and what share of rows has none."""

    info: TensorInfo
    rows: tuple[float, ...]
    columns: tuple[float, ...]
    zero_rows: float


@dataclass(frozen=True)
class _Facts:
    """Of the newest job that recorded activation: None where there is none, no layers until a frame is there."""

    job: JobView | None
    step: int = 0
    layers: tuple[_Layer, ...] = ()
    tokens: int = 0


def _fetch(client: Client, case: Case) -> _Facts:
    when = case.choice("when", tuple(WHEN))
    job = _job(client, case.inputs["job"])
    if job is None or not job.progress.frames:
        return _Facts(job)
    step = {"first": 1, "half": max(1, job.progress.step // 2), "last": job.progress.step}[when]
    layers = []
    at = step
    for info in _matrices(client.tensors(job.id)):
        frame = decode(client.frame_at(job.id, step, info.name))
        at = frame.step
        parts = [frame.arrays.get(f"activation/dim{dim}/{info.name}") for dim in (0, 1)]
        series = client.metrics(job.id, [f"zero_rows/{info.name}"], max_points=20_000).series
        points = series.get(f"zero_rows/{info.name}")
        if parts[0] is None or parts[1] is None or points is None or not points.steps:
            continue
        nearest = min(range(len(points.steps)), key=lambda k: abs(points.steps[k] - at))
        rows, columns = (tuple(np.asarray(part, float).tolist()) for part in parts)
        layers.append(_Layer(info, rows, columns, points.values[nearest] or 0.0))
    recipe = job.spec.recipe
    tokens = getattr(recipe, "batch_size", 0) * getattr(recipe, "context", 0)
    return _Facts(job, at, tuple(layers), tokens)


def _job(client: Client, wanted: str) -> JobView | None:
    """Returns the job asked for, else the newest language model that records activation and has a frame, if any."""
    if wanted:
        return client.job(wanted)
    found = [
        job
        for job in client.jobs(limit=100, recipe="language-model").items
        if "activation" in job.spec.record.probes and (job.progress.frames or not job.state.is_final)
    ]
    return next((job for job in found if job.progress.frames), next(iter(found), None))


def _matrices(tensors: tuple[TensorInfo, ...]) -> tuple[TensorInfo, ...]:
    """Returns the largest embedding and the first matrix of attention."""
    matrices = [info for info in tensors if len(info.shape) == 2]
    embeddings = sorted((t for t in matrices if "embed" in t.name), key=lambda t: -t.shape[0])
    attention = [t for t in matrices if "attention" in t.name or "attn" in t.name]
    return (*embeddings[:1], *attention[:1])


def _tell(case: Case, facts: _Facts) -> Scene:
    if facts.job is None:
        return Scene(
            headline="This lesson looks at a real training job, and none has been recorded yet.",
            text=invitation(),
            offer="Run the demo",
        )
    if len(facts.layers) < 2:
        if facts.job.state.is_final:
            raise Unknown(
                f"job={facts.job.id} has no recorded activation of an embedding and an attention layer."
            )
        return Scene(
            headline=f"{job_label(facts.job)} is {facts.job.state.value}; its first frame will be here soon.",
            text="The accumulators appear within seconds of the first steps. This page looks again by itself.",
            waits=True,
        )
    embedding, attention = facts.layers
    idle, busy = _percent(embedding.zero_rows), _percent(attention.zero_rows)
    height = embedding.info.shape[0]
    headlines = {
        1: f"{height:,} words have a row in this embedding. At step {facts.step:,}, how many rows got no "
        "gradient at all?",
        2: f"{idle} of the embedding's rows got no gradient at step {facts.step:,}; of the attention layer's, {busy}.",
        3: f"{height - round(embedding.zero_rows * height):,} of {height:,} rows learn at step "
        f"{facts.step:,}; the others "
        "keep what they have.",
    }
    says = {
        1: f"A batch holds {facts.tokens:,} tokens, and a word that is not in it has no gradient. The job is "
        f"{job_label(facts.job)}, recorded at its step {facts.step:,}.",
        2: "In the embedding a row is a word: in the batch or not. In the attention layer every row sees every batch.",
        3: "A silent row's accumulator stays as it was, and its first gradient later gets a large step, as "
        "with AdaGrad. One number "
        "for a column would grow with every batch, so for embeddings rows alone lose little.",
    }
    return Scene(
        headline=headlines[case.step],
        text=says[case.step],
        question=_question(facts, embedding, attention),
        controls=(Control("when", "Recorded at", tuple(WHEN.items()), case.inputs["when"], is_slider=True),),
        charts=tuple(_chart(layer, facts.step, case.revealed, k) for k, layer in enumerate(facts.layers)),
        source=Source(
            "Gradients show an activation pattern: entries of one row or column tend to be active together "
            "and of similar size.",
            "after Anil et al., arXiv 1901.11150, section 4",
        ),
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share == 0 or share >= 0.1 else f"{100 * share:.1f} %"


def _question(facts: _Facts, embedding: _Layer, attention: _Layer) -> Question:
    right = _percent(embedding.zero_rows)
    height = embedding.info.shape[0]
    fewest = max(0.0, 1 - facts.tokens / height)
    options = {
        right: Option(
            "recorded",
            right,
            f"That is {round(embedding.zero_rows * height):,} of {height:,} rows.",
            is_right=True,
        )
    }
    for key, share, why in (
        ("attention", attention.zero_rows, "That is the attention layer, where every row has a gradient."),
        ("distinct", fewest, f"That would be {facts.tokens:,} tokens, all different; words repeat."),
        ("active", 1 - embedding.zero_rows, "That is the share of rows that did get one."),
    ):
        options.setdefault(_percent(share), Option(key, _percent(share), why))
    order = sorted(options, key=lambda text: float(text.split()[0]))
    return Question(
        f"Of the embedding's {height:,} rows, what share had a gradient of exactly zero at step {facts.step:,}?",
        tuple(options[text] for text in order),
    )


def _chart(layer: _Layer, step: int, revealed: bool, number: int) -> Chart:
    info, rows, columns = layer.info, layer.rows, layer.columns
    width = -(-info.shape[0] // len(rows))
    active = sum(rows)
    z = [[1 if r and c else None for c in columns] for r in rows]
    bins = "" if width == 1 else f", {width} rows a line"
    return Chart(
        name=f"lesson-activation-{number}",
        title=f"{info.name}: where a gradient can be",
        about=f"{info.shape[0]:,} × {info.shape[1]:,}{bins}",
        alt=f"{short(active)} of {len(rows)} lines of rows are active at step {step}."
        if revealed
        else "Shown after the guess.",
        table=Table(
            (Column("rows from", "integer"), Column("active", "integer")),
            tuple((k * width, int(r)) for k, r in enumerate(rows)) if revealed else (),
        ),
        data=[
            {
                "type": "heatmap",
                "z": z if revealed else [[None]],
                "y0": width / 2,
                "dy": width,
                "zmin": 0,
                "zmax": 1,
                "colorscale": [[0, "@accent"], [1, "@accent"]],
                "showscale": False,
                "xgap": 0,
                "ygap": 0,
                "hovertemplate": "from row %{y:.0f}, column %{x}: active<extra></extra>",
            }
        ],
        layout={
            "xaxis": {"title": {"text": "column"}, "range": [-0.5, len(columns) - 0.5]},
            "yaxis": {"title": {"text": "row"}, "range": [info.shape[0], 0], "showgrid": False},
        },
        keys=(
            Key("some gradient", "@accent", glyph="■"),
            Key("a silent row stays empty", "@muted", glyph="□"),
        ),
        height_px=400,
        revision=info.name,
        empty="" if revealed else "Guess first.",
    )


LESSON = Lesson(
    slug="activation",
    title="Activation patterns",
    idea="Whole rows are active or silent together, so they can share a number.",
    steps=("Guess", "Recorded", "So what"),
    reveal=2,
    defaults={"when": "half", "job": ""},
    fetch=_fetch,
    tell=_tell,
)

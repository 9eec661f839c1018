"""Lesson 3: from a number an entry to one for all: bytes against looseness."""

from __future__ import annotations

from typing import Any

from dashboard.figures.chart import Chart, Column, Key, Table
from dashboard.lessons.drawn import PATTERNS, gradients
from dashboard.lessons.numbers import binary, bits, shades, short
from dashboard.lessons.scene import Case, Control, Grid, Lesson, Option, Question, Scene, Source
from sm3.remote.client import Client
from sm3.remote.simulation_specs import SimulationSpec
from sm3.remote.simulation_views import CoverSimulation, SimulationAnswer

SHAPE = (8, 8)
STEPS = 8
SEEDS = ("1", "2", "3", "4", "5")
STOPS: dict[str, tuple[str, dict[str, Any]]] = {
    "singletons": ("singletons", {"kind": "singletons"}),
    "pairs": ("blocks 1 × 2", {"kind": "blocks", "tile": [1, 2]}),
    "blocks": ("blocks 2 × 2", {"kind": "blocks", "tile": 2}),
    "slices": ("rows + columns", {"kind": "slices"}),
    "rows": ("rows", {"kind": "slices", "dims": [0]}),
    "quarters": ("blocks 4 × 4", {"kind": "blocks", "tile": 4}),
    "whole": ("whole", {"kind": "whole"}),
}


def _fetch(client: Client, case: Case) -> SimulationAnswer:
    pattern = case.choice("pattern", tuple(PATTERNS))
    seed = int(case.choice("seed", SEEDS))
    return client.simulate(
        SimulationSpec.model_validate({
            "shape": SHAPE,
            "gradients": gradients(pattern, seed, SHAPE, STEPS),
            "covers": [spec for _, spec in STOPS.values()],
        })
    )


def _tell(case: Case, facts: SimulationAnswer) -> Scene:
    found = dict(zip(STOPS, facts.covers, strict=True))
    stop = case.choice("stop", tuple(STOPS))
    blocks, slices = found["blocks"], found["slices"]
    shown, level = found[stop], _level(found[stop])
    entries = SHAPE[0] * SHAPE[1]
    same = f"{_bytes(blocks)} for {blocks.num_accumulators} blocks"
    winner = "blocks 2 × 2" if _level(blocks) < _level(slices) else "rows + columns"
    headlines = {
        1: f"{same}, {_bytes(slices)} for {slices.num_accumulators} rows and columns: which is tighter?",
        2: f"For the same bytes {winner} is tighter: {_level(slices):.2f} bits for rows + columns, "
        f"{_level(blocks):.2f} for blocks."
        if _level(blocks) != _level(slices)
        else f"A tie: both are {_level(slices):.2f} bits loose.",
        3: f"{STOPS[stop][0].capitalize()}: {shown.num_accumulators} numbers instead of {entries}, {_bytes(shown)}, "
        f"and {level:.2f} bits loose.",
    }
    says = {
        1: "An 8 × 8 matrix after 8 steps. Looseness is log₂(ν/γ): 0 bits is as good as AdaGrad; each bit "
        "more shrinks the step "
        "by √2. Look at the squares: what is large together?",
        2: "What counts is not how many numbers, but whether a set's entries are alike. Change what the gradients look "
        "like, and the answer can change.",
        3: "Move the slider from a number an entry to one for all. Each cell shows by how many bits its ν "
        "is too large.",
    }
    revealed = case.revealed
    grids = [
        Grid(
            "gamma",
            "γ: Σ g² of each entry",
            SHAPE,
            tuple(map(short, facts.gamma[-1])),
            shades(facts.gamma[-1]),
        ),
    ]
    for key in ("slices", "blocks") if case.step < 3 else (stop,):
        grids.append(_map(found[key], STOPS[key][0], revealed))
    pattern = Control("pattern", "Gradients", tuple(PATTERNS.items()), case.inputs["pattern"])
    seed = Control("seed", "Draw", tuple((s, s) for s in SEEDS), case.inputs["seed"])
    slider = Control("stop", "Cover", tuple((k, v) for k, (v, _) in STOPS.items()), stop, is_slider=True)
    return Scene(
        headline=headlines[case.step],
        text=says[case.step],
        question=_question(blocks, slices),
        controls=(slider, pattern, seed) if case.step == 3 else (pattern, seed),
        grids=tuple(grids),
        charts=(_chart(found, stop),) if case.step == 3 else (),
        source=Source(
            "A cover is good where entries of one set are of similar size: the activation pattern.",
            "after Anil et al., arXiv 1901.11150, section 4",
        ),
    )


def _level(found: CoverSimulation) -> float:
    return found.steps[-1].looseness.level or 0.0


def _bytes(found: CoverSimulation) -> str:
    return binary(found.accumulator_bytes)


def _map(found: CoverSimulation, name: str, revealed: bool) -> Grid:
    found_bits = found.steps[-1].looseness.bits
    level = f"level {_level(found):.2f} bits" if revealed else "level ? bits"
    return Grid(
        f"bits-{name}",
        f"{name}: looseness, bits",
        SHAPE,
        tuple(map(bits, found_bits)) if revealed else ("?",) * len(found_bits),
        shades(found_bits, 8.0) if revealed else (),
        note=f"{_bytes(found)} · {level}",
    )


def _question(blocks: CoverSimulation, slices: CoverSimulation) -> Question:
    a, b = _level(slices), _level(blocks)
    why = f"Rows + columns are {a:.2f} bits loose, blocks {b:.2f}."
    right = "slices" if a < b else "blocks" if b < a else "tie"
    return Question(
        f"{_bytes(blocks)} either way. Which cover is tighter on these gradients?",
        (
            Option("slices", "rows + columns", why, right == "slices"),
            Option("blocks", "blocks 2 × 2", why, right == "blocks"),
            Option("tie", "the same", why, right == "tie"),
        ),
    )


def _chart(found: dict[str, CoverSimulation], stop: str) -> Chart:
    def row(key: str) -> tuple[str, int, float | None, float | None, float | None]:
        told = found[key].steps[-1].looseness
        return STOPS[key][0], found[key].accumulator_bytes, told.level, told.spread, told.worst

    rows = [row(key) for key in STOPS]
    lower = "blocks" if _level(found["blocks"]) < _level(found["slices"]) else "slices"
    sides = {"rows": "middle left", lower: "bottom center"}  # two have the same bytes: their names keep apart
    return Chart(
        name="lesson-slider",
        title="Looseness against bytes",
        about="median of log₂(ν/γ), bits",
        alt=f"Covers from {rows[0][1]} bytes down to {rows[-1][1]}: looseness grows from {short(rows[0][2])} to "
        f"{short(rows[-1][2])} bits.",
        table=Table(
            (
                Column("cover"),
                Column("accumulators", "bytes"),
                Column("level", "number", "bits"),
                Column("spread", "number", "bits"),
                Column("worst", "number", "bits"),
            ),
            tuple(rows),
        ),
        data=[
            {
                "type": "scatter",
                "mode": "markers+text",
                "x": [r[1] for r in rows],
                "y": [r[2] for r in rows],
                "text": [r[0] for r in rows],
                "textposition": [sides.get(key, "top center") for key in STOPS],
                "cliponaxis": False,
                "marker": {
                    "size": [16 if key == stop else 9 for key in STOPS],
                    "symbol": ["diamond" if key == stop else "circle" for key in STOPS],
                    "color": ["@c2" if key == stop else "@c1" for key in STOPS],
                },
                "customdata": list(STOPS),
                "hovertemplate": "%{text}: %{x} B, %{y:.2f} bits<extra></extra>",
            }
        ],
        layout={
            "xaxis": {
                "type": "log",
                "title": {"text": "accumulators, bytes"},
                "tickvals": sorted({r[1] for r in rows}),
                "range": [0.4, 2.6],
            },
            "yaxis": {"rangemode": "tozero", "title": {"text": "bits"}},
            "margin": {"t": 24},
        },
        keys=(Key("this cover", "@c2", glyph="◆"), Key("the others", "@c1", glyph="●")),
        height_px=420,
    )


LESSON = Lesson(
    slug="slider",
    title="The slider",
    idea="Fewer numbers cost bits, but likeness inside a set counts more than their count.",
    steps=("Guess", "Same bytes", "The slider"),
    reveal=2,
    defaults={"stop": "slices", "pattern": "rows", "seed": "1"},
    fetch=_fetch,
    tell=_tell,
)

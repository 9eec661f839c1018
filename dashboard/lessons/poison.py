"""Lesson 4: two outliers poison a weight that neither touched, and which set frees it."""

from __future__ import annotations

from dataclasses import dataclass
from math import log2
from typing import Any

from dashboard.lessons.covered import outlines, set_name, sides
from dashboard.lessons.numbers import binary, place, shades, short, texts, times
from dashboard.lessons.scene import Case, Control, Edit, Grid, Lesson, Option, Question, Scene, Source
from sm3.remote.client import Client
from sm3.remote.simulation_specs import SimulationSpec
from sm3.remote.simulation_views import CoverSimulation, SimulationAnswer

SHAPE = (4, 5)
ENTRIES = 20
SPIKES = ("2", "5", "10", "30")
CURES = {
    "whole": "one number for all",
    "pairs": "columns in pairs",
    "blocks": "2 × 2 blocks",
    "own": "a set of its own",
}
PLACES = {"a": "first outlier", "b": "second outlier", "w": "the weight"}


@dataclass(frozen=True)
class _Inputs:
    a: int
    b: int
    w: int
    spike: int


def _inputs(case: Case) -> _Inputs:
    a, b, w = (case.whole(name, 0, ENTRIES - 1) for name in ("a", "b", "w"))
    return _Inputs(a, b, w, int(case.choice("spike", SPIKES)))


def _fetch(client: Client, case: Case) -> SimulationAnswer:
    asked = _inputs(case)
    first = [float(asked.spike) if i in {asked.a, asked.b} else 0.0 for i in range(ENTRIES)]
    second = [1.0 if i == asked.w else 0.0 for i in range(ENTRIES)]
    rest = [i for i in range(ENTRIES) if i != asked.w]
    added: dict[str, dict[str, Any]] = {
        "whole": {"kind": "whole"},
        "pairs": {"kind": "blocks", "tile": [SHAPE[0], 2]},
        "blocks": {"kind": "blocks", "tile": 2},
        "own": {"kind": "explicit", "shape": SHAPE, "sets": [[asked.w], rest]},
    }
    slices = {"kind": "slices"}
    return client.simulate(
        SimulationSpec.model_validate({
            "shape": SHAPE,
            "gradients": [first, second],
            "covers": [slices, *({"kind": "union", "members": [slices, added[key]]} for key in CURES)],
        })
    )


def _tell(case: Case, facts: SimulationAnswer) -> Scene:
    asked = _inputs(case)
    slices, *cured = facts.covers
    cures = dict(zip(CURES, cured, strict=True))
    cure = _cure(case, cures, asked.w)
    shown = cures[cure]
    exact, nu = facts.gamma[1][asked.w], slices.steps[1].nu[asked.w]
    after = shown.steps[1].nu[asked.w]
    where = place(asked.w, SHAPE[1])
    worse = nu > exact
    headlines = {
        1: f"ν is {short(nu)} at {where}, where AdaGrad has {short(exact)}: "
        + (f"a step {times((nu / exact) ** 0.5)}× too small." if worse else "nothing is poisoned here."),
        2: f"With {CURES[cure]} as well, ν at {where} is {short(after)}; AdaGrad has {short(exact)}.",
        3: f"Outliers of {asked.spike}: ν at {where} is {short(nu)} by rows and columns, {short(after)} with "
        f"{CURES[cure]} as well.",
    }
    says = {
        1: f"An outlier of {asked.spike} in its row and one in its column, a step ago (▲). Its own gradient "
        "is 1 (●). Row and "
        "column both remember the outlier, so their minimum does too. Which set would free it?",
        2: "A further set helps only where it holds the weight and no outlier. It costs numbers: compare the bytes.",
        3: "Move the outliers and the weight by pressing cells, change their size, and try each set.",
    }
    costs = f"{binary(shown.accumulator_bytes)} of accumulators instead of {binary(slices.accumulator_bytes)}"
    controls = (
        Control("cure", "Added to rows and columns", tuple(CURES.items()), cure),
        Control("spike", "Size of the outliers", tuple((s, s) for s in SPIKES), str(asked.spike)),
        Control("put", "Pressing a cell moves", tuple(PLACES.items()), case.choice("put", tuple(PLACES))),
    )
    put = case.inputs["put"] if case.step == 3 else ""
    edit = Edit("pick", put, hint=f"move {PLACES[put]} here") if put else None
    marks = {asked.a: "▲", asked.b: "▲", asked.w: "●"}
    grids = [
        _grid("slices", "ν by rows and columns", slices, asked.w, marks, edit, hidden=False),
        _grid(
            "cured", f"ν with {CURES[cure]} as well", shown, asked.w, marks, edit, hidden=not case.revealed,
            note=costs if case.revealed else "",
        ),
        Grid("gamma", "γ: AdaGrad, the exact Σ g²", SHAPE, texts(facts.gamma[1]), shades(facts.gamma[1]), asked.w,
             marks=marks, edit=edit),
    ]  # fmt: skip
    if not case.revealed:
        del grids[1]
    return Scene(
        headline=headlines[case.step],
        text=says[case.step],
        question=_question(slices, cures, asked.w, exact),
        controls=controls if case.step == 3 else controls[:1] if case.step == 2 else controls[1:2],
        grids=tuple(grids),
        source=Source(
            "Sets share a max, so one outlier in a row and one in a column pollute the entry where they cross.",
            "a weakness of any cover of slices; follows from algorithm SM3-II, arXiv 1901.11150, section 3",
        ),
    )


def _cure(case: Case, cures: dict[str, CoverSimulation], cell: int) -> str:
    """Returns the cure to show: the one asked for, else the one guessed, else the cheapest that frees most."""
    if case.choice("cure", ("auto", *CURES)) != "auto":
        return case.inputs["cure"]
    if case.guess in CURES:
        return case.guess
    return min(CURES, key=lambda key: (cures[key].steps[1].nu[cell], cures[key].accumulator_bytes))


def _grid(
    name: str,
    title: str,
    found: CoverSimulation,
    cell: int,
    marks: dict[int, str],
    edit: Edit | None,
    *,
    hidden: bool,
    note: str = "",
) -> Grid:
    step = found.steps[1]
    decides = step.decides[cell]
    kept = sides(found, step.mu_before, SHAPE, cell, decides)
    least = " and ".join(set_name(found, number, SHAPE[1]) for number in decides)
    told = f"{least} decide{'s' if len(decides) == 1 else ''}: {short(step.bound[cell])} + g²"
    return Grid(
        name,
        title,
        SHAPE,
        ("?",) * ENTRIES if hidden else texts(step.nu),
        () if hidden else shades(step.nu),
        cell,
        () if hidden else outlines(found, cell, SHAPE[1], decides),
        kept.rows,
        kept.columns,
        tuple((label, margin) for label, margin in kept.chips if margin.holds),
        edit,
        marks,
        f"{told} · {note}" if note else told,
    )


def _question(
    slices: CoverSimulation, cures: dict[str, CoverSimulation], cell: int, exact: float
) -> Question:
    found = {key: cover.steps[1].nu[cell] for key, cover in cures.items()}
    least = min(found.values())

    def why(key: str) -> str:
        nu, bytes_ = found[key], binary(cures[key].accumulator_bytes)
        if nu == exact:
            return (
                f"ν falls from {short(slices.steps[1].nu[cell])} to {short(nu)}, AdaGrad's own; that "
                f"takes {bytes_} in all."
            )
        bits = f", {short(log2(nu / exact))} bits too large" if exact > 0 else ""
        return f"It leaves ν at {short(nu)}{bits}: its set that holds the weight holds an outlier, too."

    return Question(
        f"Rows and columns stay. Which further sets free the weight at {place(cell, SHAPE[1])}?",
        tuple(Option(key, label, why(key), found[key] == least) for key, label in CURES.items()),
    )


LESSON = Lesson(
    slug="poison",
    title="Poison a weight",
    idea="A set that holds an outlier pays for it; another set can free the weight.",
    steps=("Guess", "The cure", "Your turn"),
    reveal=2,
    defaults={"a": "3", "b": "10", "w": "0", "spike": "10", "cure": "auto", "put": "a"},
    fetch=_fetch,
    tell=_tell,
)

"""Lesson 1: paint a cover, and step through min, add and max."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dashboard.lessons.covered import Sides, outlines, set_name, sides
from dashboard.lessons.numbers import place, shades, short, texts
from dashboard.lessons.scene import Case, Control, Edit, Grid, Lesson, Option, Question, Scene, Source
from sm3.remote.client import Client
from sm3.remote.simulation_specs import SimulationSpec
from sm3.remote.simulation_views import CoverSimulation, SimulationAnswer

SHAPE = (4, 5)
ENTRIES = 20
LETTERS = "ABCD"
BITS = "0123456789abcdef"
COVERS: dict[str, tuple[str, dict[str, Any]]] = {
    "slices": ("rows and columns", {"kind": "slices"}),
    "rows": ("rows", {"kind": "slices", "dims": [0]}),
    "columns": ("columns", {"kind": "slices", "dims": [1]}),
    "blocks": ("2 × 2 blocks", {"kind": "blocks", "tile": 2}),
    "whole": ("one set", {"kind": "whole"}),
    "own": ("painted by you", {}),
}
EDITS = {"look": "look", "before": "g before", "now": "g now"} | {f"set{k}": f"paint {k}" for k in LETTERS}


@dataclass(frozen=True)
class _Inputs:
    cover: str
    before: tuple[int, ...]
    now: tuple[int, ...]
    paint: tuple[int, ...]
    at: int
    edit: str


def _inputs(case: Case) -> _Inputs:
    cover = case.choice("cover", tuple(COVERS))
    edit = case.choice("edit", tuple(EDITS))
    return _Inputs(
        cover,
        case.digits("before", ENTRIES),
        case.digits("now", ENTRIES),
        case.digits("paint", ENTRIES, BITS),
        case.whole("at", 0, ENTRIES - 1),
        edit,
    )


def painted(paint: tuple[int, ...]) -> dict[str, Any]:
    """Returns the explicit cover of the painted sets; what none of them holds is one more set, the rest."""
    sets = [[i for i, bits in enumerate(paint) if bits >> k & 1] for k in range(len(LETTERS))]
    rest = [i for i, bits in enumerate(paint) if not bits]
    return {"kind": "explicit", "shape": list(SHAPE), "sets": [s for s in [*sets, rest] if s]}


def names(paint: tuple[int, ...]) -> tuple[str, ...]:
    """Returns what the sets of :func:`painted` are called, in their order."""
    used = tuple(letter for k, letter in enumerate(LETTERS) if any(bits >> k & 1 for bits in paint))
    return (*used, "the rest") if 0 in paint else used


def _fetch(client: Client, case: Case) -> SimulationAnswer:
    asked = _inputs(case)
    cover = painted(asked.paint) if asked.cover == "own" else COVERS[asked.cover][1]
    return client.simulate(
        SimulationSpec.model_validate({
            "shape": SHAPE,
            "gradients": [asked.before, asked.now],
            "covers": [cover],
        })
    )


def _tell(case: Case, facts: SimulationAnswer) -> Scene:
    asked = _inputs(case)
    cover, at = facts.covers[0], asked.at
    step = cover.steps[1]
    g2, nu = facts.g2[1][at], step.nu[at]
    where = place(at, SHAPE[1])
    kept = "1 number" if cover.num_accumulators == 1 else f"{cover.num_accumulators} numbers"
    numbers = f"{kept} instead of {ENTRIES}"
    called = names(asked.paint) if asked.cover == "own" else ()
    deciding = " and ".join(set_name(cover, number, SHAPE[1], called) for number in step.decides[at])
    headlines = {
        1: f"SM3 keeps {numbers}. What is ν at {where}?",
        2: f"First the min: of the sets that hold {where}, {deciding} has the least, {short(step.bound[at])}.",
        3: f"Then add: ν = {short(step.bound[at])} + {short(g2)} = {short(nu)} at {where}.",
        4: f"Last the max: each set keeps its largest ν, and {numbers} go on to the next step.",
        5: f"Your cover keeps {kept}; ν is {short(nu)} where AdaGrad has {short(facts.gamma[1][at])}.",
    }
    says = {
        1: "Left: what the sets remember of the gradient before. Right: the new gradient, squared. Press another cell "
        "to ask about it.",
        2: "Dashed lines are the sets that hold the cell, the solid one decides. A set remembers the largest ν in it, "
        "so the smallest of them is the best that is known about this cell.",
        3: "The new squared gradient is added, entry by entry. ν takes the place of AdaGrad's sum: the step is "
        "lr·g/√ν.",
        4: "ν itself is forgotten. What stays is one maximum a set: that is all the memory SM3 takes.",
        5: "Choose a cover or paint one: sets may overlap, and what you leave out becomes a set of its own. Set g by "
        "pressing, by dragging, or by digits on the keyboard.",
    }
    return Scene(
        headline=headlines[case.step],
        text=says[case.step],
        question=_question(cover, facts, at),
        controls=_controls(asked) if case.step == 5 else (),
        grids=_grids(case.step, asked, facts, cover),
        source=Source(
            "SM3-II: ν = min over the sets of μ, plus g²; then μ = max of ν in each set.",
            "Anil et al., arXiv 1901.11150, algorithm SM3-II (section 3)",
        ),
    )


def _question(cover: CoverSimulation, facts: SimulationAnswer, at: int) -> Question:
    step, g2 = cover.steps[1], facts.g2[1][at]
    held = [step.mu_before[number] for number in cover.contributing[at]]
    right = step.nu[at]
    wrong = {
        "max": (max(held) + g2, "That takes the largest of its sets; SM3 trusts the smallest."),
        "sum": (sum(held) + g2, "That adds its sets up; SM3 takes the smallest of them."),
        "own": (g2, "That is this step alone; what the sets remember comes on top."),
        "exact": (facts.gamma[1][at], "That is AdaGrad's exact sum; SM3 no longer knows it."),
    }
    options = {
        right: Option(
            "min",
            short(right),
            f"The least of its sets is {short(step.bound[at])}, and g² adds {short(g2)}.",
            is_right=True,
        )
    }
    for key, (value, why) in wrong.items():
        options.setdefault(value, Option(key, short(value), why))
    return Question(
        f"ν at {place(at, SHAPE[1])}: the sets that hold it remember {', '.join(map(short, held))}, and the new g² is "
        f"{short(g2)}. What will ν be?",
        tuple(options[value] for value in sorted(options)),
    )


def _controls(asked: _Inputs) -> tuple[Control, ...]:
    edits = [(k, v) for k, v in EDITS.items() if asked.cover == "own" or not k.startswith("set")]
    return (
        Control("cover", "Cover", tuple((key, words) for key, (words, _) in COVERS.items()), asked.cover),
        Control("edit", "Pressing a cell", tuple(edits), asked.edit),
    )


def _grids(step: int, asked: _Inputs, facts: SimulationAnswer, cover: CoverSimulation) -> tuple[Grid, ...]:
    at, now = asked.at, cover.steps[1]
    called = names(asked.paint) if asked.cover == "own" else ()
    marks = {
        i: "".join(k for n, k in enumerate(LETTERS) if bits >> n & 1) for i, bits in enumerate(asked.paint)
    }
    decides = now.decides[at] if step >= 2 else ()
    before = sides(cover, now.mu_before, SHAPE, at, decides, called)
    after = sides(cover, now.mu_after, SHAPE, at, (), called)
    drawn = outlines(cover, at, SHAPE[1], decides, called)
    hidden = ("?",) * ENTRIES
    peak = max((*now.nu, 1.0))
    look = Edit("pick", "at", hint="ask about this cell")
    first = look
    if asked.edit == "before":
        first = _digits("before", asked.before)
    elif asked.edit.startswith("set") and asked.cover == "own":
        k = LETTERS.index(asked.edit[3:])
        first = Edit(
            "bit", "paint", _text(asked.paint, BITS), BITS, 1 << k, f"put it into set {LETTERS[k]}, or out"
        )
    second = _digits("now", asked.now) if asked.edit == "now" else look
    is_before = step == 5 and asked.edit == "before"
    return (
        Grid(
            "bound",
            "g before, being set" if is_before else "bound: min of μ",
            SHAPE,
            texts(asked.before) if is_before else texts(now.bound) if step >= 2 else hidden,
            () if is_before or step < 2 else shades(now.bound, peak),
            at,
            drawn,
            **_kept(before),
            edit=first if step == 5 else look,
            marks=marks if asked.cover == "own" else {},
            note="Beside it: μ, what each set remembers",
        ),
        Grid(
            "g2",
            "g now, being set" if step == 5 and asked.edit == "now" else "+ g² of this step",
            SHAPE,
            texts(asked.now if step == 5 and asked.edit == "now" else facts.g2[1]),
            shades(facts.g2[1], peak),
            at,
            edit=second if step == 5 else look,
        ),
        Grid(
            "nu",
            "= ν",
            SHAPE,
            texts(now.nu) if step >= 3 else hidden,
            shades(now.nu, peak) if step >= 3 else (),
            at,
            edit=look,
        ),
        Grid(
            "mu",
            "new μ: max in each set",
            SHAPE,
            texts(now.nu) if step >= 4 else hidden,
            shades(now.nu, peak) if step >= 4 else (),
            at,
            drawn if step >= 4 else (),
            **(_kept(after) if step >= 4 else {}),
            edit=look,
        ),
    )


def _kept(found: Sides) -> dict[str, Any]:
    return {"rows": found.rows, "columns": found.columns, "chips": found.chips}


def _digits(name: str, values: tuple[int, ...]) -> Edit:
    return Edit("digit", name, _text(values), "01234", hint="0 to 9 by the keyboard")


def _text(values: tuple[int, ...], alphabet: str = "0123456789") -> str:
    return "".join(alphabet[value] for value in values)


LESSON = Lesson(
    slug="paint",
    title="Paint a cover",
    idea="One number a set: min to read it, add the new square, max to keep it.",
    steps=("Guess", "Min", "Add", "Max", "Your turn"),
    reveal=3,
    defaults={
        "cover": "slices",
        "before": "30100010000200310020",
        "now": "01020200100103000210",
        "paint": "11000110002200022004",
        "at": "13",
        "edit": "look",
    },
    fetch=_fetch,
    tell=_tell,
)

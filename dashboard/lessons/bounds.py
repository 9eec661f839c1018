"""Lesson 2: gamma ≤ nu_II ≤ nu_I, entry by entry."""

from __future__ import annotations

from dataclasses import dataclass

from dashboard.figures.chart import Chart, Column, Key, Table
from dashboard.lessons.drawn import gradients
from dashboard.lessons.numbers import place, shades, short, texts
from dashboard.lessons.scene import Case, Control, Edit, Grid, Lesson, Option, Question, Scene, Source
from sm3.remote.client import Client
from sm3.remote.simulation_specs import SimulationSpec
from sm3.remote.simulation_views import SimulationAnswer

SHAPE = (4, 5)
STEPS = ("1", "2", "4", "8", "16")
SEEDS = ("1", "2", "3", "4", "5")
MOST = int(STEPS[-1])


@dataclass(frozen=True)
class _Facts:
    one: SimulationAnswer
    two: SimulationAnswer


def _fetch(client: Client, case: Case) -> _Facts:
    seed = int(case.choice("seed", SEEDS))
    drawn = gradients("lines", seed, SHAPE, MOST)
    asked = SimulationSpec.model_validate({
        "shape": SHAPE,
        "gradients": drawn,
        "covers": [{"kind": "slices"}],
    })
    return _Facts(client.simulate(asked.model_copy(update={"variant": "I"})), client.simulate(asked))


def _tell(case: Case, facts: _Facts) -> Scene:
    steps = int(case.choice("after", STEPS))
    now = steps - 1
    gamma = facts.two.gamma[now]
    two, one = facts.two.covers[0].steps[now].nu, facts.one.covers[0].steps[now].nu
    at = _widest(gamma, two, one) if case.inputs["at"] == "auto" else case.whole("at", 0, len(gamma) - 1)
    where = place(at, SHAPE[1])
    count = len(gamma)
    ordered = sum(a <= b <= c for a, b, c in zip(gamma, two, one, strict=True))
    above = sum(b > a for a, b in zip(gamma, two, strict=True))
    apart = sum(c > b for b, c in zip(two, one, strict=True))
    after = "1 step" if steps == 1 else f"{steps} steps"
    headlines = {
        1: f"After {after} AdaGrad's sum at {where} is {short(gamma[at])}, SM3-I says {short(one[at])}. What "
        "says SM3-II?",
        2: f"{short(gamma[at])} ≤ {short(two[at])} ≤ {short(one[at])}: SM3-II lies between, at {where}.",
        3: f"γ ≤ ν of SM3-II ≤ ν of SM3-I at {ordered} of {count} entries, after {after}.",
    }
    says = {
        1: "Three ways to remember the same gradients. AdaGrad keeps each entry's own sum, SM3 one number a "
        "row and a column.",
        2: "Neither variant forgets: a set's number is at least the sum of each of its entries. SM3-I adds "
        "up maxima that "
        "may come from different entries; SM3-II takes the maximum of sums, which is never more.",
        3: f"SM3-II is above the exact sum at {above} entries, SM3-I above SM3-II at {apart}. A larger ν is a smaller "
        "step, never a wrong one. Change the steps or the draw: the order stays.",
    }
    top = max(one)
    look = Edit("pick", "at", hint="compare this entry")
    hidden = ("?",) * count
    grids = (
        Grid("gamma", "γ: AdaGrad, the exact Σ g²", SHAPE, texts(gamma), shades(gamma, top), at, edit=look),
        Grid(
            "two",
            "ν of SM3-II",
            SHAPE,
            texts(two) if case.revealed else hidden,
            shades(two, top) if case.revealed else (),
            at,
            edit=look,
        ),
        Grid("one", "ν of SM3-I", SHAPE, texts(one), shades(one, top), at, edit=look),
    )
    return Scene(
        headline=headlines[case.step],
        text=says[case.step],
        question=_question(gamma[at], two[at], one[at], where),
        controls=(
            Control("after", "After steps", tuple((s, s) for s in STEPS), str(steps), is_slider=True),
            Control("seed", "Draw", tuple((s, s) for s in SEEDS), case.inputs["seed"]),
        ),
        grids=grids,
        charts=(_chart(gamma, two, one),) if case.step == 3 else (),
        source=Source(
            "γ ≤ ν of SM3-II ≤ ν of SM3-I, at every entry and step",
            "Anil et al., arXiv 1901.11150, section 3; tested on random gradients in tests/sm3/test_simulation.py",
        ),
    )


def _widest(gamma: tuple[float, ...], two: tuple[float, ...], one: tuple[float, ...]) -> int:
    """Returns the entry where all three differ, and most."""
    return max(
        range(len(gamma)), key=lambda i: (gamma[i] > 0, min(two[i] - gamma[i], one[i] - two[i]), one[i])
    )


def _question(gamma: float, two: float, one: float, where: str) -> Question:
    options = {two: Option("two", short(two), "It lies between the exact sum and SM3-I.", is_right=True)}
    for value, key, why in (
        (gamma, "gamma", "That would be exact; a number shared by a whole row cannot know each entry."),
        (one, "one", "That is SM3-I; SM3-II keeps the max of sums instead of the sum of maxima."),
        ((gamma + two) / 2, "under", "Close to the exact sum, but the rows and columns remember more."),
        (2 * one, "over", "Above SM3-I: SM3-II is never looser than that."),
    ):
        options.setdefault(value, Option(key, short(value), why))
    return Question(
        f"At {where}: γ = {short(gamma)}, SM3-I has {short(one)}. What is ν of SM3-II?",
        tuple(options[value] for value in sorted(options)),
    )


def _chart(gamma: tuple[float, ...], two: tuple[float, ...], one: tuple[float, ...]) -> Chart:
    order = sorted(range(len(gamma)), key=lambda i: (gamma[i], two[i], one[i]))
    names = [f"{i // SHAPE[1] + 1},{i % SHAPE[1] + 1}" for i in order]
    series = (
        ("γ, AdaGrad", gamma, "@c1", "circle", "●"),
        ("ν of SM3-II", two, "@c2", "diamond-open", "◇"),
        ("ν of SM3-I", one, "@c3", "triangle-up-open", "△"),
    )
    sizes = {"circle": 7, "diamond-open": 12, "triangle-up-open": 18}
    return Chart(
        name="lesson-bounds",
        title="Each entry's three numbers",
        about="entries sorted by γ; none for γ = 0, which has no logarithm",
        alt=f"For each of {len(gamma)} entries γ lies lowest, ν of SM3-II on or above it, ν of SM3-I on or above that.",
        table=Table(
            (Column("entry"), *(Column(name, "number") for name, *_ in series)),
            tuple((names[k], gamma[i], two[i], one[i]) for k, i in enumerate(order)),
        ),
        data=[
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": names,
                "y": [values[i] or None for i in order],
                "marker": {"color": color, "symbol": symbol, "size": sizes[symbol], "line": {"width": 2}},
                "hovertemplate": f"entry %{{x}}: {name} %{{y:.4~g}}<extra></extra>",
            }
            for name, values, color, symbol, _ in series
        ],
        layout={
            "xaxis": {"type": "category", "title": {"text": "entry: row, column"}},
            "yaxis": {"type": "log", "dtick": 1, "title": {"text": "sum of squares"}},
        },
        keys=tuple(Key(name, color, glyph=glyph) for name, _, color, _, glyph in series),
        height_px=264,
    )


LESSON = Lesson(
    slug="bounds",
    title="Never too small",
    idea="SM3 may remember too much of an entry, never too little.",
    steps=("Guess", "Between", "Every entry"),
    reveal=2,
    defaults={"after": "4", "seed": "1", "at": "auto"},
    fetch=_fetch,
    tell=_tell,
)

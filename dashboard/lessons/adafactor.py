"""Lesson 8: SM3 and Adafactor's rank-1 estimate on the same sums."""

from __future__ import annotations

from dashboard.figures.chart import Chart, Column, Key, Table
from dashboard.lessons.drawn import PATTERNS, gradients
from dashboard.lessons.numbers import binary, place, shades, short, texts
from dashboard.lessons.scene import Case, Control, Edit, Grid, Lesson, Option, Question, Scene, Source
from sm3.remote.client import Client
from sm3.remote.simulation_specs import SimulationSpec
from sm3.remote.simulation_views import Maybe, SimulationAnswer

SHAPE = (4, 5)
STEPS = 4
SEEDS = ("1", "2", "3", "4", "5")


def _fetch(client: Client, case: Case) -> SimulationAnswer:
    pattern, seed = case.choice("pattern", tuple(PATTERNS)), int(case.choice("seed", SEEDS))
    drawn = gradients(pattern, seed, SHAPE, STEPS)
    return client.simulate(
        SimulationSpec.model_validate({"shape": SHAPE, "gradients": drawn, "covers": [{"kind": "slices"}]})
    )


def _tell(case: Case, facts: SimulationAnswer) -> Scene:
    assert facts.rank_one is not None
    cover, gamma = facts.covers[0], facts.gamma[-1]
    ours, theirs = cover.steps[-1], facts.rank_one.steps[-1]
    least = min(range(len(gamma)), key=lambda i: _bit(theirs.looseness.bits, i))
    at = least if case.inputs["at"] == "auto" else case.whole("at", 0, len(gamma) - 1)
    where = place(at, SHAPE[1])
    below = {
        "sm3": [i for i, b in enumerate(ours.looseness.bits) if b is not None and b < -1e-9],
        "adafactor": [i for i, b in enumerate(theirs.looseness.bits) if b is not None and b < -1e-9],
    }
    headlines = {
        1: f"Both keep {cover.num_accumulators} numbers for {len(gamma)} entries. Which falls below the exact sum?",
        2: f"At {where} the exact sum is {short(gamma[at])}: SM3 says {short(ours.nu[at])}, Adafactor "
        f"{short(theirs.estimate[at])}.",
        3: f"Adafactor falls below the exact sum at {len(below['adafactor'])} of {len(gamma)} entries, SM3 at "
        f"{len(below['sm3'])}.",
    }
    says = {
        1: f"The same {STEPS} gradients, {binary(cover.accumulator_bytes)} of accumulators each. SM3 keeps a "
        "maximum for each row "
        "and column, Adafactor a sum for each; its estimate is row × column / total.",
        2: "A sum spread over a row is right on average, so it is too small where the row's weight sits "
        "(▼). A step there is "
        "larger than AdaGrad's would be. A maximum is never too small, and often too large.",
        3: f"0 bits is exact; below it the step is too large, above it too small. In the middle Adafactor is "
        f"{_side(theirs.looseness.level)}, SM3 {_side(ours.looseness.level)}. Both see plain sums here: Adafactor's "
        "decay is left out.",
    }
    look = Edit("pick", "at", hint="compare this entry")
    hidden = ("?",) * len(gamma)
    top = max(ours.nu)
    shown = case.revealed
    grids = (
        Grid("gamma", "γ: AdaGrad, the exact Σ g²", SHAPE, texts(gamma), shades(gamma, top), at, edit=look),
        Grid(
            "sm3",
            "ν of SM3-II, rows and columns",
            SHAPE,
            texts(ours.nu) if shown else hidden,
            shades(ours.nu, top) if shown else (),
            at,
            edit=look,
            marks=dict.fromkeys(below["sm3"], "▼") if shown else {},
        ),
        Grid(
            "adafactor",
            "Adafactor: row × column / total",
            SHAPE,
            texts(theirs.estimate) if shown else hidden,
            shades(theirs.estimate, top) if shown else (),
            at,
            edit=look,
            marks=dict.fromkeys(below["adafactor"], "▼") if shown else {},
            note="▼ below the exact sum" if shown else "",
        ),
    )
    return Scene(
        headline=headlines[case.step],
        text=says[case.step],
        question=_question(below, len(gamma)),
        controls=(
            Control("pattern", "Gradients", tuple(PATTERNS.items()), case.inputs["pattern"]),
            Control("seed", "Draw", tuple((s, s) for s in SEEDS), case.inputs["seed"]),
        ),
        grids=grids,
        charts=(_chart(facts),) if case.step == 3 else (),
        source=Source(
            "Adafactor estimates the second moments by the outer product of row and column sums over their total.",
            "Shazeer and Stern, arXiv 1804.04235, section 3",
        ),
    )


def _bit(bits: Maybe, i: int) -> float:
    found = bits[i]
    return 99.0 if found is None else found


def _side(bits: float | None) -> str:
    if bits is None:
        return "no bits"
    return f"{abs(bits):.2f} bits {'below' if bits < 0 else 'above'}"


def _question(below: dict[str, list[int]], count: int) -> Question:
    ours, theirs = bool(below["sm3"]), bool(below["adafactor"])
    why = f"Adafactor is below at {len(below['adafactor'])} of {count} entries, SM3 at {len(below['sm3'])}."
    return Question(
        "Somewhere in this matrix, which of the two is smaller than the exact sum of squares?",
        (
            Option("sm3", "only SM3", why, ours and not theirs),
            Option("adafactor", "only Adafactor", why, theirs and not ours),
            Option("both", "both", why, ours and theirs),
            Option("none", "neither", why, not ours and not theirs),
        ),
    )


def _chart(facts: SimulationAnswer) -> Chart:
    assert facts.rank_one is not None
    ours, theirs = facts.covers[0].steps[-1].looseness.bits, facts.rank_one.steps[-1].looseness.bits
    order = sorted((i for i, b in enumerate(theirs) if b is not None), key=lambda i: _bit(theirs, i))
    names = [f"{i // SHAPE[1] + 1},{i % SHAPE[1] + 1}" for i in order]
    series = (("SM3-II", ours, "@c1", "circle", "●"), ("Adafactor", theirs, "@c2", "diamond-open", "◇"))
    return Chart(
        name="lesson-adafactor",
        title="log₂(estimate/γ), bits",
        about="entries sorted by Adafactor's",
        alt="SM3's bits are never below 0; Adafactor's lie on both sides of it.",
        table=Table(
            (Column("entry"), *(Column(name, "number", "bits") for name, *_ in series)),
            tuple((names[k], ours[i], theirs[i]) for k, i in enumerate(order)),
        ),
        data=[
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": names,
                "y": [bits[i] for i in order],
                "marker": {
                    "color": color,
                    "symbol": symbol,
                    "size": 7 if symbol == "circle" else 12,
                    "line": {"width": 2},
                },
                "hovertemplate": f"entry %{{x}}: {name} %{{y:.2f}} bits<extra></extra>",
            }
            for name, bits, color, symbol, _ in series
        ],
        layout={
            "xaxis": {"type": "category", "title": {"text": "entry: row, column"}},
            "yaxis": {
                "title": {"text": "bits"},
                "zeroline": True,
                "zerolinecolor": "@text",
                "zerolinewidth": 1,
            },
        },
        keys=(
            *(Key(name, color, glyph=glyph) for name, _, color, _, glyph in series),
            Key("exact", "@text"),
        ),
        height_px=264,
    )


LESSON = Lesson(
    slug="adafactor",
    title="Against Adafactor",
    idea="A maximum is never too small; a share of a sum can be.",
    steps=("Guess", "Side by side", "Every entry"),
    reveal=2,
    defaults={"pattern": "patches", "seed": "1", "at": "auto"},
    fetch=_fetch,
    tell=_tell,
)

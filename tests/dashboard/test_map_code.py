"""What the map shows, in Chromium, against a frame of a real optimizer and what Python makes of the same numbers."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from playwright.sync_api import Page

from sm3 import SM3
from sm3.probes.recorder import Recorder
from sm3.remote.frames import Frame, Point, Scalars, answer_of, encode
from sm3.remote.record_specs import RecordSpec
from tests.dashboard.conftest import OpenPage, RunningDashboard

pytestmark = pytest.mark.browser

LR = 0.25
ROWS, COLUMNS = 300, 70  # of rows two share a bin, and five a bin of the grids
PROBES = ("accumulators", "activation", "tightness", "squares", "rates")
Call = Any
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Known:
    """A frame as Python wrote it, and the formed matrices that it was made from."""

    blob: bytes
    step: int
    nu: Matrix
    gamma: Matrix
    grad: Matrix


@pytest.fixture(scope="module")
def trained() -> list[Known]:
    """Frames after steps 1 and 2 of a matrix, a third of whose rows and a few of whose columns have no gradient."""
    torch.manual_seed(0)
    param = torch.nn.Parameter(torch.zeros(ROWS, COLUMNS))
    optimizer = SM3([("w", param)], lr=LR)
    recorder = Recorder(optimizer, RecordSpec.model_validate({"probes": PROBES, "truth": ["w"], "every": 1}))
    gamma = torch.zeros(ROWS, COLUMNS, dtype=torch.float64)
    frames = []
    for step in (1, 2):
        param.grad = torch.randn(ROWS, COLUMNS) * torch.rand(ROWS, 1)
        param.grad[100 * step :: 3] = 0
        param.grad[: 5 * step] = 0
        param.grad[:, step] = 0
        gamma += param.grad.double().square()
        recorder.before(step)
        optimizer.step()
        recorder.observe()
        arrays, scalars = recorder.read(step, [LR])
        points = [Point("lr", step, LR), *(Point(name, step, value) for name, value in scalars.items())]
        nu = optimizer.cover(param).bound(optimizer.accumulators(param), (ROWS, COLUMNS))
        blob = encode(Frame("job", 0, step - 1, step, 1.5, arrays, Scalars.from_points(points)))
        frames.append(
            Known(blob, step, nu.double().numpy(), gamma.numpy().copy(), param.grad.double().numpy())
        )
    return frames


@pytest.fixture
def call(dashboard: RunningDashboard, open_page: OpenPage) -> Call:
    """Runs an expression over a module's exports ``m``, those of layers.js and scale.js, and the argument ``a``."""
    page: Page = open_page(f"{dashboard.url}/_stcore/health")

    def run(module: str, expression: str, argument: object = None) -> Any:
        folder = f"{dashboard.url}/scope-assets/any/live"
        return page.evaluate(
            f"""async (a) => {{
              const m = await import("{folder}/{module}.js");
              const layers = await import("{folder}/layers.js");
              const scale = await import("{folder}/scale.js");
              const {{ decodeMessage }} = await import("{folder}/safetensors.js");
              const read = (text) => decodeMessage(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
              const plain = (grid) => grid.map((row) => row.map((v) => v === undefined ? null : v));
              const known = (more) => ({{...a.known, estimate: () => undefined, ...more}});
              const layer = (mode, frame, more = {{}}) => layers.layerOf(mode, a.tensor, frame, known(more));
              return ({expression});
            }}""",
            argument,
        )

    return run


def asked(*frames: Known, name: str = "w", shape: tuple[int, ...] = (ROWS, COLUMNS), **record: object) -> Any:
    spec = RecordSpec.model_validate({"probes": PROBES, "truth": ["w"], **record})
    return {
        "tensor": {"name": name, "shape": shape, "cover": "slices", "parts": ["dim0", "dim1"]},
        "known": {"lr": LR, "record": spec.model_dump(mode="json")},
        "frames": [base64.b64encode(known.blob).decode() for known in frames],
    }


def pooled(matrix: Matrix, bins: int) -> Matrix:
    """The largest entry of each tile, as a frame is pooled."""
    heights, widths = (-(-size // bins) for size in matrix.shape)
    return np.array([
        [matrix[i : i + heights, j : j + widths].max() for j in range(0, matrix.shape[1], widths)]
        for i in range(0, matrix.shape[0], heights)
    ])


def blank_where(grid: Matrix, is_blank: npt.NDArray[np.bool_]) -> list[list[float | None]]:
    return [
        [None if blank else value for value, blank in zip(row, blanks, strict=True)]
        for row, blanks in zip(grid.tolist(), is_blank.tolist(), strict=True)
    ]


def same(
    found: list[list[float | None]], expected: list[list[float | None]], tolerance: float = 1e-5
) -> None:
    """Float32 arrays against float64 ones: equal to a few units of the seventh digit."""
    assert [[v is None for v in row] for row in found] == [[v is None for v in row] for row in expected]
    pairs = [(x, y) for r, s in zip(found, expected, strict=True) for x, y in zip(r, s, strict=True)]
    assert all(abs(x - y) < tolerance for x, y in pairs if x is not None and y is not None)


def drawn(call: Call, mode: str, known: Known) -> list[list[float | None]]:
    grid: list[list[float | None]] = call(
        "scale", f"plain(layer('{mode}', read(a.frames[0])).layer.grid())", asked(known)
    )
    return grid


def test_the_rate_is_the_learning_rate_over_the_root_of_nu(call: Call, trained: list[Known]) -> None:
    nu = pooled(trained[1].nu, 256)
    with np.errstate(divide="ignore"):
        expected = blank_where(np.log10(LR / np.sqrt(nu)), nu == 0)
    same(drawn(call, "rate", trained[1]), expected)


def test_tightness_is_the_bound_over_the_exact_sum(call: Call, trained: list[Known]) -> None:
    known = trained[1]
    bits = np.log2(known.nu, where=known.nu > 0, out=np.zeros_like(known.nu))
    bits -= np.log2(known.gamma, where=known.gamma > 0, out=bits.copy())
    tiles = pooled(np.where(known.gamma > 0, bits, 0.0).clip(min=0), 64)
    found = drawn(call, "tightness", known)
    # A float32 sum of two squares and the bound that adds them in another order differ by an ulp: 1e-7 bits, or 0.
    close = [[value or 0.0 for value in row] for row in found]
    np.testing.assert_allclose(close, tiles, atol=1e-5)
    assert all(value is None or value > 0 for row in found for value in row)


def test_squares_are_the_steps_own(call: Call, trained: list[Known]) -> None:
    square = pooled(np.square(trained[1].grad), 64)
    with np.errstate(divide="ignore"):
        same(drawn(call, "g2", trained[1]), blank_where(np.log10(square), square == 0))


def test_without_a_grid_squares_are_bounded_by_row_and_column(call: Call, trained: list[Known]) -> None:
    known = trained[1]
    found, title, sentence = call(
        "scale",
        """(() => {
          const frame = read(a.frames[0]);
          frame.arrays.delete("squares/grid/w");
          const { layer: l } = layer("g2", frame);
          return [plain(l.grid()), l.title, l.says(10, 3)];
        })()""",
        asked(known),
    )
    square = pooled(np.square(known.grad), 256)
    above = [
        (10**bound if bound is not None else 0.0) - exact
        for bounds, row in zip(found, square.tolist(), strict=True)
        for bound, exact in zip(bounds, row, strict=True)
    ]
    assert min(above) > -1e-6 * square.max()  # float32
    assert title == "g² ≤ min(row's, column's largest)"
    assert "g² at most" in sentence
    assert "says so" in sentence


def test_activation_is_where_a_gradient_may_be(call: Call, trained: list[Known]) -> None:
    known = trained[0]
    active = np.outer((known.grad != 0).any(1), (known.grad != 0).any(0)).astype(float)
    tiles = pooled(active, 256)
    same(drawn(call, "activation", known), blank_where(tiles, tiles == 0))
    inside, outside, share = call(
        "scale",
        """(() => {
          const { layer: l } = layer("activation", read(a.frames[0]));
          return [l.says(20, 0), l.says(0, 1), layers.blankShare(l)];
        })()""",
        asked(known),
    )
    assert "may have had one" in inside
    assert "its row and column are zero throughout" in outside
    assert share == pytest.approx(1 - tiles.mean())


@pytest.mark.parametrize(
    ("mode", "says"),
    [
        ("nu", "decides"),
        ("rate", "decides: it allows the larger step"),
        ("g2", "g² up to"),
        ("tightness", "× AdaGrad's sum"),
        ("activation", "row and column both had a gradient"),
    ],
)
def test_each_statistic_has_a_sentence_a_table_and_a_range_of_its_own(
    call: Call, trained: list[Known], mode: str, says: str
) -> None:
    sentence, columns, rows, low, high = call(
        "layer_table",
        f"""(() => {{
          const {{ layer: l }} = layer("{mode}", read(a.frames[0]));
          const table = m.tableOf(l);
          return [l.says(10, 0), table.columns.map(({{ name }}) => name), table.rows, ...scale.rangeOf(l)];
        }})()""",
        asked(trained[0]),
    )
    assert says in sentence
    assert low < high
    assert all(len(row) == len(columns) for row in rows)
    assert len(rows) == (150 + 70 if mode in {"nu", "rate", "activation"} else 60 * 35)


def test_a_difference_is_the_logarithm_of_the_ratio(call: Call, trained: list[Known]) -> None:
    first, second = (pooled(known.nu, 256) for known in trained)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = blank_where(np.log2(second / first), first == 0)
    grid, scale, says, low, high = call(
        "compare_steps",
        """(() => {
          const [x, y] = a.frames.map((text) => layer("nu", read(text)).layer);
          const d = m.difference(x, y, {a: 1, b: 2});
          return [plain(d.grid()), d.scale, d.says(10, 0), ...scale.rangeOf(d)];
        })()""",
        asked(*trained),
    )
    same(grid, expected)
    assert scale == "ratio"
    assert low == -high <= -1
    assert "at A (step 1)" in says
    assert "larger" in says


def test_a_difference_of_patterns_says_what_came_and_went(call: Call, trained: list[Known]) -> None:
    grid = call(
        "compare_steps",
        """(() => {
          const [x, y] = a.frames.map((text) => layer("activation", read(text)).layer);
          return plain(m.difference(x, y, {a: 1, b: 2}).grid());
        })()""",
        asked(*trained),
    )
    before, after = (
        pooled(np.outer((known.grad != 0).any(1), (known.grad != 0).any(0)).astype(float), 256)
        for known in trained
    )
    same(grid, blank_where(after - before, (before == 0) & (after == 0)))


@pytest.mark.parametrize(
    ("mode", "change", "why", "code"),
    [
        ("g2", {"probes": ["accumulators"]}, "g² is not recorded", '"squares"'),
        ("tightness", {"truth": []}, "exact sums", '{"truth": ["w"]}'),
        ("activation", {"probes": ["accumulators"]}, "activation is not recorded", '"activation"'),
        ("nu", {"probes": ["activation"]}, "ν is not recorded", '"accumulators"'),
    ],
)
def test_what_is_not_recorded_says_how_to(
    call: Call, mode: str, change: dict[str, object], why: str, code: str
) -> None:
    told = call("layers", f"layer('{mode}', {{arrays: new Map()}})", asked(**change))
    assert why in told["why"]
    assert code in told["code"]
    assert "layer" not in told


def test_an_estimate_stands_in_for_a_map_of_tightness(call: Call) -> None:
    parts = {"level": 1, "level_lo": 0.5, "level_hi": 1.5, "spread": 2, "p99": 7}
    told = call(
        "layers",
        """layer("tightness", {arrays: new Map()}, {estimate: (name) => a.series[name]})""",
        asked(truth=[]) | {"series": {f"tightness_{part}": bits for part, bits in parts.items()}},
    )
    assert told["why"].startswith(
        "From sampled entries: 1.0 bits above AdaGrad in the median (95 %: 0.5 to 1.5)"
    )


def test_an_answer_about_the_past_is_told_from_news(call: Call, trained: list[Known]) -> None:
    blobs = [answer_of(trained[0].blob, "w", 7), answer_of(None, "w", 7)]
    found, nothing = call(
        "layers",
        """a.map(read).map(({kind, asked, tensor, step, lr, arrays}) =>
             [kind, asked, tensor, step ?? null, lr ?? null, arrays.has("accumulators/dim0/w")])""",
        [base64.b64encode(blob).decode() for blob in blobs],
    )
    assert found == ["stored", 7, "w", 1, LR, True]
    assert nothing == ["stored", 7, "w", None, None, False]


def test_an_address_is_read_back_and_nonsense_is_told(call: Call) -> None:
    read = "m.readPlace(a)"
    assert call("place", read, {"show": "rate", "step": "400", "a": "1"}) == {
        "place": {"mode": "rate", "step": 400, "a": 1},
        "problem": "",
    }
    nonsense = call("place", read, {"show": "<b>", "step": "-3", "a": "1e5"})
    assert nonsense["place"] == {"mode": "nu", "step": None, "a": None}
    assert all(text in nonsense["problem"] for text in ("show=<b>", "step=-3", "a=1e5"))
    assert call("place", "m.writePlace(m.readPlace(a).place)", {"show": "g2", "step": "", "a": "7"}) == {
        "show": "g2",
        "step": None,
        "a": "7",
    }


def test_one_question_is_on_its_way_and_of_those_that_wait_the_newest_counts(call: Call) -> None:
    asked_for, kept = call(
        "past",
        """(() => {
          const said = [];
          let open = false;
          const past = new m.Past({ say: (q) => open && said.push(q.step), came: () => {} });
          past.at("w", 1, "shown");
          open = true;
          past.again();
          for (const step of [2, 3, 4]) past.at("w", step, "shown");
          past.at("w", 9, "a");
          const answer = (step) => past.take({ asked: step, tensor: "w", step, arrays: new Map() });
          [1, 4, 9].forEach(answer);
          const here = [past.at("w", 4, "shown")?.step, past.at("w", 2, "shown")?.step ?? null];
          for (let step = 100; step < 200; step++) answer(step);
          return [said, [...here, past.parts.size]];
        })()""",
    )
    assert asked_for == [1, 4, 9, 2]
    assert kept == [4, None, 24]

"""The live view's pure modules, in Chromium, against what Python says."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
import pytest

from sm3.remote.frames import Frame, Point, Scalars, encode, encode_scalars
from sm3.remote.wire import TensorInfo

pytestmark = pytest.mark.browser

Call = Any


def text(blob: bytes) -> str:
    return base64.b64encode(blob).decode()


def frame(**arrays: np.ndarray) -> bytes:
    named = {name.replace("__", "/"): array for name, array in arrays.items()}
    points = [Point("loss", 1, 2.5), Point("loss", 2, math.nan), Point("lr", 2, 0.1)]
    return encode(Frame("job", 1, 7, 2**40, 1.5, named, Scalars.from_points(points)))


def tensor(name: str, shape: tuple[int, ...]) -> dict[str, object]:
    parts = tuple(f"dim{i}" for i in range(len(shape))) if len(shape) > 1 else ("entries",)
    return TensorInfo(
        name=name,
        shape=shape,
        dtype="float32",
        cover="slices",
        parts=parts,
        num_accumulators=sum(shape),
        accumulator_bytes=4 * sum(shape),
        momentum_bytes=0,
    ).model_dump(mode="json")


def test_a_frame_is_read_as_python_wrote_it(call: Call) -> None:
    rows = np.array([0.0, 1e-30, 3.5], np.float32)
    read = call(
        "safetensors",
        """(() => {
          const f = m.decodeMessage(bytes(a));
          return [f.kind, f.attempt, f.seq, f.step, f.time_s, [...f.arrays.keys()],
                  [...f.arrays.get("accumulators/dim0/w/é").values],
                  f.points.get("loss").steps, f.points.get("loss").values.map(String), f.points.get("lr").values];
        })()""",
        text(frame(**{"accumulators__dim0__w/é": rows, "accumulators__dim1__w": np.ones(1, np.float32)})),
    )
    assert read[:5] == ["frame", 1, 7, 2**40, 1.5]
    assert sorted(read[5]) == ["accumulators/dim0/w/é", "accumulators/dim1/w"]
    assert np.array_equal(np.array(read[6], np.float32), rows)
    assert read[7:] == [[1, 2], ["2.5", "NaN"], [0.1]]


def test_history_is_told_from_a_frame(call: Call) -> None:
    points = Scalars.from_points([Point("loss", step, step / 2) for step in range(5)])
    blob = encode_scalars(points, of="history")
    kind, values = call(
        "safetensors",
        "(() => { const h = m.decodeMessage(bytes(a)); return [h.kind, h.points.get('loss').values]; })()",
        text(blob),
    )
    assert kind == "history"
    assert values == [0, 0.5, 1, 1.5, 2]


@pytest.mark.parametrize("blob", [b"", b"\xff" * 9, frame()[:20]])
def test_what_is_no_frame_is_refused(call: Call, blob: bytes) -> None:
    outcome = call(
        "safetensors",
        "(() => { try { m.decodeMessage(bytes(a)); return 'read'; } catch (e) { return 'refused'; } })()",
        text(blob),
    )
    assert outcome == "refused"


@pytest.mark.parametrize("shape", [(3, 4), (1, 7), (700, 5), (256, 257), (513, 300)])
def test_the_heatmap_is_the_largest_minimum_of_each_tile(call: Call, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    vectors = [rng.random(size).astype(np.float32) * (rng.random(size) < 0.9) for size in shape]
    widths = [-(-size // 256) for size in shape]
    pooled = [
        np.array([v[k : k + w].max() for k in range(0, len(v), w)], np.float32)
        for v, w in zip(vectors, widths, strict=True)
    ]
    nu = np.minimum.outer(*vectors)
    tiles = np.array([
        [nu[i : i + widths[0], j : j + widths[1]].max() for j in range(0, shape[1], widths[1])]
        for i in range(0, shape[0], widths[0])
    ])
    grid, edges, zeros = call(
        "accumulators",
        """(() => {
          const map = m.accumulatorMap(a.tensor, s.decodeMessage(bytes(a.blob)));
          return [m.logGrid(map).map((row) => row.map((v) => v === undefined ? null : v)),
                  [map.rows.edges, map.columns.edges], map.zeros];
        })()""",
        {
            "tensor": tensor("w", shape),
            "blob": text(frame(accumulators__dim0__w=pooled[0], accumulators__dim1__w=pooled[1])),
        },
    )
    expected = [[math.log10(v) if v > 0 else None for v in row] for row in tiles.tolist()]
    assert [[v is None for v in row] for row in grid] == [[v is None for v in row] for row in expected]
    flat = [(a, b) for x, y in zip(grid, expected, strict=True) for a, b in zip(x, y, strict=True) if b]
    assert all(abs(a - b) < 1e-6 for a, b in flat)
    for size, width, limits in zip(shape, widths, edges, strict=True):
        assert limits == [*range(0, size, width), size]
    assert abs(zeros - np.mean(np.concatenate(pooled) == 0)) < 1e-9


@pytest.mark.parametrize(
    ("row", "column", "says"),
    [(1.0, 2.0, "the row decides"), (2.0, 1.0, "the column decides"), (1.0, 1.0, "row and column agree")],
)
def test_the_sentence_names_the_set_that_decides(call: Call, row: float, column: float, says: str) -> None:
    sentence = call(
        "words",
        """m.cellSentence({rank1: false, rows: {edges: [0, 1]}, columns: {edges: [0, 8, 10]}}, 0, 1,
             {nu: Math.min(...a), row: a[0], column: a[1],
              decides: a[0] === a[1] ? "both" : a[0] < a[1] ? "row" : "column"})""",
        [row, column],
    )
    assert sentence.startswith("row 0 ∧ columns 8–9: ν = 1.000")
    assert says in sentence


def test_the_headline_counts_as_the_service_measured(call: Call) -> None:
    memory = {
        "num_parameters": 929280,
        "parameter_bytes": 3717120,
        "accumulator_bytes": 48896,
        "momentum_bytes": 3717120,
        "state_bytes": 3766016,
        "adam_bytes": 7434240,
        "adagrad_bytes": 3717120,
    }
    assert call("words", "m.headline(a, 'sm3')", memory) == {
        "lead": "47.8 KiB of accumulators. AdaGrad would hold 3.54 MiB: 76× less.",
        "detail": "Optimizer state in total 3.59 MiB, momentum included; Adam would hold 7.09 MiB: 2.0× less.",
    }


def test_an_optimizer_that_saves_nothing_is_not_praised(call: Call) -> None:
    memory = {
        "num_parameters": 10,
        "accumulator_bytes": 40,
        "momentum_bytes": 40,
        "state_bytes": 80,
        "adam_bytes": 80,
        "adagrad_bytes": 40,
    }
    assert call("words", "m.headline(a, 'sm3')", memory) == {
        "lead": "40 B of accumulators. AdaGrad would hold as much.",
        "detail": "Optimizer state in total 80 B, momentum included; Adam would hold as much.",
    }
    assert "two numbers a parameter" in call("words", "m.headline(a, 'adamw')", memory)["lead"]


@pytest.mark.parametrize(
    ("state", "connected", "age_s", "says"),
    [
        ("queued", True, None, "◌ QUEUED"),
        ("running", True, 1, "● LIVE"),
        ("running", True, 42, "▲ STALE 42 s"),
        ("running", False, 95, "▲ STALE 1:35"),
        ("cancelling", True, 1, "◌ STOPPING"),
        ("succeeded", False, 1e6, "■ DONE"),
        ("cancelled", True, 1, "■ STOPPED"),
        ("failed", True, 1, "✕ FAILED"),
        ("crashed", False, None, "✕ CRASHED"),
    ],
)
def test_the_strip_says_the_state_in_shape_and_word(
    call: Call, state: str, connected: bool, age_s: float | None, says: str
) -> None:
    status = call(
        "words",
        "m.status({state: a.state, phase: ''}, {connected: a.connected, ageS: a.age, staleAfterS: 10})",
        {"state": state, "connected": connected, "age": age_s},
    )
    assert f"{status['glyph']} {status['word']}" == says


def test_history_goes_before_what_came_live_and_a_new_attempt_replaces_the_old(call: Call) -> None:
    steps, values = call(
        "series",
        """(() => {
          const s = new m.Series();
          s.append({steps: [30, 40], values: [3, 4]});
          s.merge({steps: [10, 20, 30], values: [1, 2, 3]});
          s.append({steps: [40, 50], values: [4, 5]});
          s.append({steps: [25], values: [9]});
          return [s.steps, s.values];
        })()""",
    )
    assert steps == [10, 20, 25]
    assert values == [1, 2, 9]


@pytest.mark.parametrize(
    ("held", "stored", "expected"),
    [
        ([1, 2, 6, 7], [3, 4, 5], [1, 2, 3, 4, 5, 6, 7]),
        ([], [1, 2], [1, 2]),
        ([5, 6], [1, 2], [1, 2, 5, 6]),
        ([1, 2], [3, 4], [1, 2, 3, 4]),
        ([1, 2, 3], [1, 2, 3, 4], [1, 2, 3, 4]),
        ([1, 2], [], [1, 2]),
        ([1, 2, 9], [3, 4, 5, 4, 5, 6], [1, 2, 3, 4, 5, 6, 9]),  # the last of two attempts counts
    ],
)
def test_stored_points_go_where_their_steps_belong(
    call: Call, held: list[int], stored: list[int], expected: list[int]
) -> None:
    steps, values = call(
        "series",
        """(() => {
          const s = new m.Series();
          s.append({steps: a.held, values: a.held});
          s.merge({steps: a.stored, values: a.stored.map((_, i) => 100 + i)});
          return [s.steps, s.values];
        })()""",
        {"held": held, "stored": stored},
    )
    assert steps == expected
    newest = {step: 100 + i for i, step in enumerate(stored)}
    assert values == [newest.get(step, step) for step in expected]


def points_of(*steps: int, attempt: int = 0, seq: int | None = None, is_history: bool = False) -> str:
    """A frame, or history where it has no number, with the loss and a tensor's rate at ``steps``."""
    points = [Point(name, step, float(step)) for step in steps for name in ("loss", "rate_p50/w")]
    scalars = Scalars.from_points(points)
    if seq is None:
        return text(encode_scalars(scalars, **({"of": "history"} if is_history else {})))
    return text(encode(Frame("job", attempt, seq, steps[-1], 1.5, {}, scalars)))


def test_a_gap_leaves_no_hole_in_any_curve(call: Call) -> None:
    outcome = call(
        "store",
        """(() => {
          const store = new m.Store();
          const take = (text) => store.binary(bytes(text));
          take(a.history);
          take(a.first);
          store.text({type: "gap", attempt: 0, first: 1, last: 2, reason: "slow"});
          take(a.fill);
          take(a.next);
          store.text({type: "gap", attempt: 0, first: 4, last: 4, reason: "away"});
          return [store.get("loss").steps, store.get("rate_p50/w").steps, store.missed, store.since,
                  [...store.complete]];
        })()""",
        {
            "history": points_of(1, 2, is_history=True),
            "first": points_of(3, seq=0),
            "fill": points_of(4, 5),
            "next": points_of(6, seq=3),
        },
    )
    assert outcome == [[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6], 2, "0:3", ["w"]]


def test_a_page_that_comes_back_says_what_it_has(call: Call) -> None:
    address = call(
        "connection",
        "m.liveUrl({publicUrl: 'https://x.example/api/', port: 8000, path: ''}, 'j/1', a)",
        {"ticket": "t=1", "since": "0:3", "tensor": "a/b é"},
    )
    assert address == "wss://x.example/api/v1/jobs/j%2F1/live?ticket=t%3D1&since=0%3A3&tensor=a%2Fb+%C3%A9"
    bare = call(
        "connection",
        "m.liveUrl({publicUrl: 'http://x.example', port: 1, path: ''}, 'j', a)",
        {"ticket": "t", "since": None, "tensor": None},
    )
    assert bare == "ws://x.example/v1/jobs/j/live?ticket=t"


def test_thinning_keeps_the_extremes(call: Call) -> None:
    values = [float(v) for v in np.random.default_rng(1).normal(size=20_000)]
    thin = call("series", "m.thin({steps: a.map((_, i) => i), values: a}, 1000).values", values)
    assert len(thin) <= 1100
    assert (min(thin), max(thin)) == (min(values), max(values))


def test_steps_are_where_frames_are(call: Call) -> None:
    for every, newest, steps in (
        (10, 43, [1, 10, 20, 30, 40, 43]),
        (10, 40, [1, 10, 20, 30, 40]),
        (1, 4, [1, 2, 3, 4]),
        (10, 1, [1]),
        (10, 7, [1, 7]),
        (10, 0, []),
    ):
        found, back, between = call(
            "steps",
            """(() => {
              const { every, newest } = a;
              const all = Array.from({length: m.numFrames(every, newest)}, (_, i) => m.stepOf(i, every, newest));
              return [all, all.map((step) => m.indexOf(step, every, newest)), m.indexOf(15, every, newest)];
            })()""",
            {"every": every, "newest": newest},
        )
        assert found == steps
        assert back == list(range(len(steps)))
        assert between == max(0, sum(step <= 15 for step in steps) - 1)

"""The live view's code for long histories, alerts and small curves, in Chromium."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from server.thinning import for_charts, smoothed
from sm3.remote.frames import Frame, Point, Scalars, encode, encode_scalars

pytestmark = pytest.mark.browser


def text(blob: bytes) -> str:
    return base64.b64encode(blob).decode()


def frame(seq: int, points: list[Point]) -> str:
    return text(encode(Frame("job", 0, seq, points[-1].step, 1.5, {}, Scalars.from_points(points))))


def history(scalars: Scalars) -> str:
    thinned = for_charts(scalars)
    return text(encode_scalars(thinned.scalars, of="history", thinned=json.dumps(thinned.num_points)))


@pytest.mark.parametrize("told", [300, 9000])
def test_smoothing_goes_on_where_the_service_left_it(call: Any, told: int) -> None:
    values = np.random.default_rng(0).lognormal(size=told + 500)
    values[told + 7] = np.nan
    stored = Scalars(("loss",), np.arange(1, told + 1), np.zeros(told, np.uint32), values[:told])
    live = [Point("loss", step, float(values[step - 1])) for step in range(told - 20, told + 501)]
    found = call(
        "store",
        """(() => {
          const store = new m.Store();
          store.binary(bytes(a.history));
          store.binary(bytes(a.frame));
          return m.SPANS.map((span) => [store.smooth("loss", span).last, store.smooth("loss", span).steps.at(-1)])
            .concat([[store.get("loss").total, store.get("loss").length]]);
        })()""",
        {"history": history(stored), "frame": frame(0, live)},
    )
    # The frame repeats 20 steps that the history had, as the first frame after it does; of a thinned curve some of
    # the points before them are gone, so the average goes on from a value a few points old: 1 % at the most.
    for span, (value, step) in zip((10, 100, 1000), found, strict=False):
        assert step == told + 500
        assert value == pytest.approx(smoothed(values, span)[-1], rel=1e-9 if told == 300 else 0.01)
    total, length = found[3]
    assert total == pytest.approx(told + 500, abs=20)
    assert length <= 4000


def test_a_series_that_grows_for_days_stays_short_and_keeps_its_spikes(call: Any) -> None:
    length, steps, spikes, first, last, total = call(
        "series",
        """(() => {
          const s = new m.Series();
          let longest = 0;
          for (let step = 1; step <= 100000; step += 50) {
            const steps = Array.from({length: 50}, (_, k) => step + k);
            s.append({steps, values: steps.map((k) => k % 10007 === 0 ? 99 : k === 33333 ? NaN : 1 + (k % 7) / 10)});
            longest = Math.max(longest, s.length);
          }
          const spikes = s.values.filter((v) => v === 99).length;
          const nan = s.steps[s.values.findIndex(Number.isNaN)];
          return [longest, nan, spikes, s.steps[0], s.steps.at(-1), s.total];
        })()""",
    )
    assert length <= 4050
    assert steps == 33333
    assert spikes == 9
    assert (first <= 64, last, total) == (True, 100_000, 100_000)


def test_series_of_tensors_that_are_not_shown_take_no_room(call: Any) -> None:
    points = [Point(f"{s}/w{k}", 10, 1.0) for s in ("rate_p50", "growth") for k in range(5)]
    kept, complete, dropped, glanced = call(
        "store",
        """(() => {
          const store = new m.Store();
          store.keep("w1");
          store.binary(bytes(a.glance));
          store.binary(bytes(a.frame));
          const kept = [...store.series.keys()];
          store.binary(bytes(a.history));
          const complete = [...store.complete];
          store.keep("w2");
          return [kept, complete, [...store.series.keys()], [...store.glance.series.keys()]];
        })()""",
        {
            "frame": frame(0, [Point("loss", 10, 1.0), *points]),
            "history": history(Scalars.from_points(points[1:2])),
            "glance": text(
                encode_scalars(Scalars.from_points(points[:1]), of="glance", statistic="rate_p50")
            ),
        },
    )
    assert kept == ["loss", "rate_p50/w1", "growth/w1"]
    assert complete == ["w1"]
    assert dropped == ["loss"]
    assert glanced == [f"w{k}" for k in range(5)]


MOVES = [
    {"state": state, "attempt": attempt, "cause": cause, "step": step}
    for state, attempt, cause, step in (
        ("queued", 0, "", 0),
        ("starting", 0, "", 0),
        ("running", 0, "the first step is done", 0),
        ("pausing", 0, "asked", 40),
        ("paused", 0, "asked by a client", 40),
        ("queued", 0, "resumed by a client", 40),
        ("running", 1, "", 50),
        ("failed", 1, "ValueError: boom", 900),
    )
]


def told(call: Any, **known: object) -> list[tuple[int, str, str, str | None]]:
    found = call(
        "alerts",
        """m.events({
             ...a,
             loss: a.loss ?? {steps: [], values: []},
             counts: new Map((a.counts ?? []).map(([n, steps, values]) => [n, {steps, values, length: steps.length}])),
           }).map(({step, word, text, tensor}) => [step, word, text, tensor])""",
        known,
    )
    return [tuple(each) for each in found]


def test_a_jobs_life_is_told_newest_first(call: Any) -> None:
    assert [(step, word) for step, word, *_ in told(call, moves=MOVES)] == [
        (900, "FAILED"),
        (50, "WENT ON"),
        (40, "QUEUED"),
        (40, "PAUSED"),
        (0, "STARTED"),
    ]
    assert told(call, moves=MOVES)[0][2] == "ValueError: boom"


def test_what_is_wrong_with_a_tensor_is_told_once_with_its_end(call: Any) -> None:
    counts = [
        ["nonfinite/w/é", [30, 40, 60], [2, 5, 0]],
        ["poisoned/w", [10], [1]],
        ["saturated/v", [70], [0.75]],
        ["saturated/u", [80, 90], [0.6, 0.1]],
    ]
    found = told(call, counts=counts)
    assert [(step, word, tensor) for step, word, _, tensor in found] == [
        (80, "SATURATED", "u"),
        (70, "SATURATED", "v"),
        (30, "NON-FINITE", "w/é"),
        (10, "POISONED", "w"),
    ]
    assert found[2][2] == "5 entries of the gradient of w/é are NaN or infinite. Over at step 60."
    assert found[3][2].startswith("1 entry of w takes steps far too small")
    assert found[1][2].startswith("75 % of the accumulators of v")


def test_a_spike_and_a_nan_of_the_loss_are_told_and_ordinary_noise_is_not(call: Any) -> None:
    rng = np.random.default_rng(3)
    values = (5 + 4 * np.exp(-np.arange(1000) / 200) + rng.normal(0, 0.1, 1000)).tolist()
    assert told(call, loss={"steps": list(range(1000)), "values": values}) == []
    values[600] = values[603] = 40.0
    values[601] = 55.0
    marked = told(call, loss={"steps": list(range(1000)), "values": [*values[:900], None, *values[901:]]})
    assert [(step, word) for step, word, *_ in marked] == [(900, "NON-FINITE"), (601, "SPIKE")]
    assert "to 55.00" in marked[1][2]


def test_silence_dropped_frames_and_warnings_are_told(call: Any) -> None:
    found = told(
        call,
        stale={"ageS": 75, "step": 120},
        dropped={"steps": [10, 20, 30], "values": [0, 2, 3]},
        warning="the disk is full",
        step=130,
    )
    assert [(step, word) for step, word, *_ in found] == [(130, "WARNING"), (120, "STALLED"), (20, "DROPPED")]
    assert found[1][2] == "No new frame for 1:15."
    assert found[2][2].startswith("3 frames were dropped")


def test_a_small_curve_fills_its_box_and_leaves_out_what_it_cannot_draw(call: Any) -> None:
    path = call("sparkline", "m.sparkPath({steps: [0, 5, 10], values: [1, 0, 100]}, {log: true})")
    assert path == "M0.0 15.0L64.0 1.0"
    assert call("sparkline", "m.sparkPath({steps: [3], values: [2]}, {})") == "M0 8.0L64 8.0"
    assert call("sparkline", "m.sparkPath({steps: [], values: []}, {})") == ""


def test_marks_are_a_line_and_a_shape_and_few(call: Any) -> None:
    events = [{"step": k, "glyph": "∞", "word": "NON-FINITE", "text": "", "kind": "alert"} for k in range(99)]
    theme = {"text": "black", "muted": "grey", "paper": "white"}
    marks = "Object.values(m.marksOf(a.events, a.theme, 100))"
    shapes, annotations = call("marks", marks, {"events": events[::-1], "theme": theme})
    assert len(shapes) == len(annotations) == 24
    assert {note["text"] for note in annotations} == {"∞"}
    assert shapes[0]["x0"] == 98
    _, few = call("marks", marks, {"events": [events[98], events[5]], "theme": theme})
    assert {note["text"] for note in few} == {"∞ non-finite"}
    assert [note["xanchor"] for note in few] == ["right", "left"]  # at the end there is no room to the right

"""What the Compare page computes before it draws."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dashboard.figures.chart import Chart, Column
from dashboard.figures.compare_headline import jobs_sentence, shadows_sentence
from dashboard.figures.compare_losses import (
    Run,
    differences_chart,
    differences_of_jobs,
    differences_of_race,
    losses_chart,
)
from dashboard.figures.compare_maps import Facts, nu_of, panel, pooled, scale, shown
from dashboard.figures.compare_pareto import Point, byte_axis, front, pareto_chart
from dashboard.figures.compare_settings import differing, settings_chart
from dashboard.figures.compare_sources import (
    Asked,
    Contender,
    Source,
    asked,
    chosen,
    loss_series,
    of_jobs,
    of_race,
    of_shadows,
    settled,
)
from dashboard.figures.compare_verdicts import Verdict, race_sentence, standings, verdicts_chart
from dashboard.figures.compare_words import markup
from dashboard.figures.race import COVERS, TRUTH_LIMIT_BYTES, USUAL, base_of, race_of, shadows_of
from sm3.remote.comparison_specs import ComparisonSpec
from sm3.remote.comparison_views import (
    BandMethod,
    ComparisonStatistics,
    ComparisonView,
    DifferenceCurve,
    FinalDifference,
    LossSeries,
    RunStatistics,
    VariantStatistics,
    VariantView,
)
from sm3.remote.job_specs import JobSpec
from sm3.remote.wire import JobState, JobView, Memory, Progress, Series

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def job(job_id: str = "j1", *, state: JobState = JobState.SUCCEEDED, step: int = 100, **more: Any) -> JobView:
    progress = {"loss": more.pop("loss", 2.0), "val_loss": more.pop("val_loss", None)}
    memory = more.pop("state_bytes", None)
    spec = JobSpec.model_validate({"recipe": {"name": "images"}, "steps": 100, **more})
    return JobView(
        id=job_id,
        state=state,
        attempt=0,
        created_at=NOW,
        spec=spec,
        progress=Progress(step=step, steps=100, **progress),
        memory=None
        if memory is None
        else Memory(
            num_parameters=1,
            parameter_bytes=1,
            accumulator_bytes=memory,
            momentum_bytes=0,
            state_bytes=memory,
            adam_bytes=1,
            adagrad_bytes=1,
        ),
    )


def sm3(**more: Any) -> dict[str, Any]:
    return {"name": "sm3", **more}


SHADOWED = job(
    record={
        "shadows": [
            {"cover": {"kind": "blocks", "tile": 16}},
            {"cover": {"kind": "singletons"}, "label": "adagrad"},
        ]
    }
)


class TestWhatTheAddressAsksFor:
    def test_ids_alone_tell_the_source(self) -> None:
        assert asked({"race": ["r"]}).source is Source.RACE
        assert asked({"job": ["a"]}).source is Source.SHADOWS
        assert asked({"job": ["a", "b", "a"]}) == Asked(Source.JOBS, jobs=("a", "b"))
        assert asked({}).source is None

    def test_what_it_cannot_mean_is_told_and_left_out(self) -> None:
        found = asked({"source": ["pairs"], "show": ["rate"], "step": ["-3"], "series": ["accuracy"]})
        assert (found.source, found.show, found.step, found.series) == (None, "", None, "")
        assert len(found.faults) == 4
        assert all("The address asks for" in fault for fault in found.faults)

    @given(
        st.dictionaries(
            st.sampled_from(["source", "race", "job", "cover", "tensor", "step", "show", "reference"]),
            st.lists(st.text(max_size=30), max_size=4),
        )
    )
    def test_no_address_raises(self, query: dict[str, list[str]]) -> None:
        asked(query)

    def test_what_is_left_open_is_the_newest_there_is(self) -> None:
        nothing = Asked()
        assert settled(nothing, [], []).source is None
        assert settled(nothing, [], [job("a"), job("b")]) == Asked(Source.JOBS, jobs=("a", "b"))
        assert settled(nothing, [], [job("a"), SHADOWED]) == Asked(Source.SHADOWS, jobs=("j1",))
        assert settled(nothing, [race()], [SHADOWED]) == Asked(Source.RACE, race="r1")
        assert settled(Asked(Source.RACE, race="gone"), [race()], []).race == "gone"

    def test_the_training_loss_is_drawn_where_validations_are_few(self) -> None:
        assert loss_series(Asked(), of_jobs([job(validation={"every": 90})])) == "loss"
        assert loss_series(Asked(), of_jobs([job(validation={"every": 10})])) == "val_loss"
        assert loss_series(Asked(series="loss"), of_jobs([job(validation={"every": 10})])) == "loss"


def race(
    jobs: Sequence[str | None] = ("a", "b"), names: Sequence[str] = ("slices", "whole")
) -> ComparisonView:
    spec = ComparisonSpec.model_validate({
        "base": {"recipe": {"name": "images"}},
        "variants": [{"name": name} for name in names],
    })
    return ComparisonView(
        id="r1",
        label="",
        created_at=NOW,
        seeds=(0,),
        variants=tuple(VariantView(name=n, jobs=(j,)) for n, j in zip(names, jobs, strict=True)),
        states={JobState.SUCCEEDED: len(jobs)},
        spec=spec,
    )


class TestContenders:
    def test_a_job_and_its_shadows(self) -> None:
        own, blocks, adagrad = of_shadows(SHADOWED)
        assert (own.key, own.name, own.at) == ("own", "slices, trains", "")
        assert (blocks.name, blocks.at, adagrad.at) == ("blocks-16", "@blocks-16", "@adagrad")

    def test_a_variant_whose_jobs_are_deleted_stays_without_a_job(self) -> None:
        there, gone = of_race(race(("a", None)), [job("a")])
        assert there.job is not None
        assert gone.job is None
        assert gone.jobs == ()

    def test_jobs_are_called_by_what_tells_them_apart(self) -> None:
        jobs = [
            job("id-0001"),
            job("id-0002"),
            job("id-0003", optimizer=sm3(cover={"kind": "slices", "dims": [0]})),
            job("id-0004", optimizer={"name": "adamw"}),
        ]
        assert [c.name for c in of_jobs(jobs)] == ["slices · 0001", "slices · 0002", "rows", "adamw"]

    def test_at_most_six_are_shown_and_the_rest_is_told(self) -> None:
        contenders = of_jobs([job(f"id-{n:04}") for n in range(9)])
        first, said = chosen(contenders, ())
        assert [c.place for c in first] == [0, 1, 2, 3, 4, 5]
        assert said == ("Side by side are the first 6 of 9: choose others above.",)
        some, said = chosen(contenders, ("id-0007", "nobody", "id-0002"))
        assert [c.key for c in some] == ["id-0002", "id-0007"]
        assert said == ("No cover here is called 'nobody'.",)

    def test_only_what_differs_is_a_setting(self) -> None:
        jobs = [
            job("a", labels={"x": "1"}),
            job("b", optimizer=sm3(cover={"kind": "blocks", "tile": [4, 8]})),
        ]
        found = differing(of_jobs(jobs))
        assert found == {
            "optimizer.cover.kind": ("slices", "blocks"),
            "optimizer.cover.dims": ("none", None),
            "optimizer.cover.tile": (None, "4, 8"),
        }
        assert settings_chart(of_jobs([job("a"), job("b")])).about == "none: these are the same settings"

    def test_shadows_differ_in_their_covers_not_in_the_job(self) -> None:
        assert "steps" not in differing(of_shadows(SHADOWED))
        assert differing(of_shadows(SHADOWED))["cover.kind"] == ("slices", "blocks", "singletons")


VECTORS = hnp.arrays(np.float32, st.integers(1, 300), elements=st.floats(0, 1e6, width=32))


class TestMaps:
    @given(VECTORS, VECTORS)
    def test_slices_are_expanded_to_the_min_and_pooled_exactly(
        self, row: np.ndarray[Any, Any], column: np.ndarray[Any, Any]
    ) -> None:
        shape = (len(row), len(column))
        arrays = {
            "accumulators/dim0/w": pool(row, 256),
            "accumulators/dim1/w": pool(column, 256),
        }
        facts = Facts(shape=shape, arrays=arrays)
        found = panel(of_jobs([job()])[0], facts, "w", "nu")
        full = np.minimum(row[:, None], column[None, :])
        rows, columns = found.edges()
        assert found.grid is not None
        assert max(found.grid.shape) <= 128
        assert (rows[-1], columns[-1]) == shape
        for i in {0, len(rows) - 2}:
            for j in {0, len(columns) - 2}:
                worst = full[rows[i] : rows[i + 1], columns[j] : columns[j + 1]].max()
                told = found.grid[i, j]
                assert np.isnan(told) if worst == 0 else np.isclose(10**told, worst, rtol=1e-6)

    def test_a_cover_of_rows_alone_leaves_the_columns_alone(self) -> None:
        found = nu_of({"accumulators@rows/dim0/w": np.array([1.0, 2.0])}, "@rows", "w", (2, 3))
        assert found is not None
        assert found.tolist() == [[1, 1, 1], [2, 2, 2]]

    def test_more_dims_are_shown_along_the_longest_two(self) -> None:
        arrays = {
            f"accumulators/dim{dim}/w": np.array(values, np.float32)
            for dim, values in enumerate([[1, 5], [9.0], [4, 3, 2]])
        }
        found = nu_of(arrays, "", "w", (2, 1, 3))
        assert found is not None
        assert found.tolist() == [[1, 1, 1], [4, 3, 2]]
        entries = {"accumulators/entries/w": np.arange(6, dtype=np.float32).reshape(2, 1, 3)}
        grid = panel(of_jobs([job()])[0], Facts(shape=(2, 1, 3), arrays=entries), "w", "nu").grid
        assert grid is not None
        assert grid.shape == (2, 3)

    @pytest.mark.parametrize("shape", [(), (1,), (7,), (1, 5), (5, 1), (0, 4)])
    def test_edge_shapes_are_drawn(self, shape: tuple[int, ...]) -> None:
        entries = {"accumulators/entries/w": np.ones(shape, np.float32)}
        found = panel(of_jobs([job()])[0], Facts(shape=shape, arrays=entries), "w", "nu")
        assert found.grid is not None
        assert found.payload()["z"] is not None

    def test_all_panels_share_one_scale_in_whole_steps(self) -> None:
        one, other = (
            panel(
                of_jobs([job()])[0],
                Facts(shape=(1, 2), arrays={"accumulators/entries/w": np.array([values])}),
                "w",
                "nu",
            )
            for values in ([1e-3, 2e-3], [0.0, 50.0])
        )
        assert vars(scale([one, other], "nu")) == {"low": -3.0, "high": 2.0, "is_decades": True}
        assert scale([], "tightness").high == 1.0

    def test_tightness_is_shown_where_any_contender_has_it(self) -> None:
        own, blocks, adagrad = of_shadows(SHADOWED)
        arrays = {"tightness@blocks-16/grid/w": np.array([[1.5]]), "accumulators/dim0/w": np.ones(1)}
        facts = [Facts(shape=(1, 1), arrays=arrays)] * 3
        assert shown(facts, [own, blocks, adagrad], "w", "") == "tightness"
        assert shown(facts[:1], [own], "w", "") == "nu"
        assert shown(facts[:2], [own, blocks], "w", "nu") == "nu"
        found = panel(blocks, facts[0], "w", "tightness")
        assert found.grid is not None
        assert "record.truth" in panel(own, facts[0], "w", "tightness").message
        assert panel(adagrad, facts[0], "w", "nu").message == "This shadow does not follow this tensor."

    def test_numbers_travel_in_256ths_and_nothing_as_nothing(self) -> None:
        found = panel(
            of_jobs([job()])[0],
            Facts(shape=(1, 2), arrays={"accumulators/entries/w": np.array([[0.0, 10.0]])}),
            "w",
            "nu",
        )
        packed = base64.b64decode(str(found.payload()["z"]))
        assert struct.unpack("<2h", packed) == (-(2**15), 256)

    def test_a_gone_tensor_is_told(self) -> None:
        found = panel(of_jobs([job()])[0], Facts(missing="Its model has no such tensor."), "w", "nu")
        assert found.payload()["message"] == "Its model has no such tensor."
        assert found.payload()["z"] is None

    def test_edges_of_a_twice_pooled_vocabulary_are_exact(self) -> None:
        _, widths = pooled(np.zeros((1, 256)), (1, 50_257))
        assert widths == (1, 394)


def pool(values: np.ndarray[Any, Any], bins: int) -> np.ndarray[Any, Any]:
    width = -(-len(values) // bins)
    return np.maximum.reduceat(values, np.arange(0, len(values), width))


def points(*pairs: tuple[int | None, float | None]) -> list[Point]:
    contenders = of_jobs([job(f"id-{n:04}") for n in range(len(pairs))])
    return [Point(c, b, v) for c, (b, v) in zip(contenders, pairs, strict=True)]


class TestWhatBytesBuy:
    def test_the_front_is_what_no_other_beats(self) -> None:
        found = points((10, 3.0), (20, 3.5), (30, 1.0), (30, 2.0), (None, 0.1), (5, float("nan")))
        assert [p.contender.key for p in front(found)] == ["id-0000", "id-0002"]

    @given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9).map(float)), max_size=12))
    def test_nobody_on_the_front_is_beaten_and_everybody_else_is(
        self, pairs: list[tuple[int, float]]
    ) -> None:
        found = points(*pairs)
        best = [(p.num_bytes, p.value) for p in front(found)]

        def beats(a: tuple[int, float], b: tuple[int, float]) -> bool:
            return a[0] <= b[0] and a[1] <= b[1] and a != b

        assert set(best) == {p for p in pairs if not any(beats(q, p) for q in pairs)}

    def test_nothing_known_is_told(self) -> None:
        chart = pareto_chart(
            points((None, None)),
            name="n",
            title="t",
            value=Column("v"),
            price="p",
            about="",
            revision="",
        )
        assert chart.empty
        assert_drawable(chart)

    def test_a_chart_of_one_and_of_many(self) -> None:
        for pairs in ([(4, 1.0)], [(4, 1.0), (10**9, 1e12)], [(1000, 2.0), (1001, 2.0)]):
            assert_drawable(
                pareto_chart(
                    points(*pairs),
                    name="n",
                    title="t",
                    value=Column("v"),
                    price="p",
                    about="",
                    revision="",
                )
            )

    def test_ticks_are_whole_powers_of_two(self) -> None:
        assert byte_axis([4, 2**20], "x")["ticktext"] == [
            "4 B",
            "64 B",
            "1 KiB",
            "16 KiB",
            "256 KiB",
            "4 MiB",
        ]
        assert byte_axis([1000, 1001], "x")["ticktext"] == ["1000 B", "1001 B"]


def variant(
    name: str,
    final: tuple[float, float | None, float | None] | None,
    *,
    num_bytes: int | None = 100,
    diverged: bool = False,
    state: JobState = JobState.SUCCEEDED,
    loss: float | None = 2.0,
) -> VariantStatistics:
    mean, low, high = final or (None, None, None)
    return VariantStatistics(
        name=name,
        diverged=diverged,
        runs=(
            RunStatistics(
                seed=0,
                job="j",
                state=state,
                last_step=40,
                diverged=diverged,
                diverged_at_step=3 if diverged else None,
                final_loss=None if diverged else loss,
                state_bytes=num_bytes,
                steps_to_target=None,
                seconds_to_target=None,
            ),
        ),
        difference=DifferenceCurve(
            steps=(1, 2), mean=(mean, mean), low=(low, low), high=(high, high), num_seeds=(1, 1), num_points=2
        ),
        final_difference=FinalDifference(
            mean=mean,
            low=low,
            high=high,
            method=BandMethod.STUDENT_T if low is not None else BandMethod.NONE,
            num_seeds=3,
        ),
    )


def told(*variants: VariantStatistics, reference: str = "slices") -> ComparisonStatistics:
    return ComparisonStatistics(
        comparison="r1",
        reference=reference,
        series=LossSeries.VAL_LOSS,
        confidence=0.9,
        window_steps=1,
        final_window_steps=1,
        target=None,
        variants=variants,
    )


def sentence(*variants: VariantStatistics) -> str:
    found = told(*variants)
    return race_sentence(standings(found), "slices", 0.9).replace("\u00a0", " ")


SLICES = variant("slices", None, num_bytes=100)


class TestWhichCoverHolds:
    def test_a_band_that_holds_zero_proves_nothing_and_that_is_said(self) -> None:
        text = sentence(SLICES, variant("rows", (0.003, -0.01, 0.02), num_bytes=97))
        assert text == (
            "rows cannot be told from slices (+0.0030 nats, 90 % band −0.010 to 0.020) for 3.0 % fewer bytes of state."
        )

    def test_the_cheapest_that_holds_is_the_news(self) -> None:
        text = sentence(
            SLICES,
            variant("rows", (0.0, -0.01, 0.01), num_bytes=90),
            variant("whole", (-0.02, -0.03, -0.01), num_bytes=50),
            variant("columns", (0.4, 0.3, 0.5), num_bytes=10),
        )
        assert text.startswith("whole ends 0.020 nats below slices for 2.0× fewer bytes of state (90 % band")

    def test_where_no_cheaper_one_holds_the_nearest_is_told(self) -> None:
        text = sentence(
            SLICES,
            variant("rows", (0.05, 0.03, 0.07), num_bytes=97),
            variant("x", (0.5, 0.4, 0.6), num_bytes=9),
        )
        assert text.startswith(
            "No cheaper cover holds: rows loses 0.050 nats to slices for 3.0 % fewer bytes"
        )

    def test_more_bytes_may_buy_a_lower_loss(self) -> None:
        text = sentence(SLICES, variant("slices+blocks", (-0.02, -0.03, -0.01), num_bytes=103))
        assert (
            text
            == "slices+blocks ends 0.020 nats below slices for 3.0 % more bytes of state (90 % band −0.030 to −0.010)."
        )

    def test_a_race_without_results_tells_how_far_it_is(self) -> None:
        running = {"state": JobState.RUNNING, "loss": None}
        text = sentence(
            variant("slices", None, **running),
            variant("rows", None, **running),  # type: ignore[arg-type]
        )
        assert text == "2 covers race: 0 of 2 runs are done, the furthest at step 40."

    def test_diverged_runs_are_told_and_never_averaged_away(self) -> None:
        text = sentence(
            SLICES, variant("rows", (0.0, -0.1, 0.1), num_bytes=90), variant("whole", None, diverged=True)
        )
        assert text.endswith(" whole diverged.")
        assert sentence(
            variant("slices", None, diverged=True), SLICES.model_copy(update={"name": "rows"})
        ).startswith("slices diverged")

    def test_one_figure_has_no_band(self) -> None:
        assert "so no band" in sentence(SLICES, variant("rows", (0.1, None, None)))

    def test_ended_without_results(self) -> None:
        ended = {"state": JobState.CANCELLED, "loss": None}
        text = sentence(SLICES, variant("rows", None, **ended))  # type: ignore[arg-type]
        assert text == "No pair of runs came to its end, so nothing can be told against slices."

    def test_verdicts(self) -> None:
        found = standings(
            told(
                SLICES,
                variant("a", (1, 0.5, 1.5)),
                variant("b", (-1, -1.5, -0.5)),
                variant("c", (0, -1, 1)),
                variant("d", None, diverged=True),
                variant("e", None, state=JobState.RUNNING, loss=None),
            )
        )
        assert [s.verdict for s in found] == [
            Verdict.REFERENCE,
            Verdict.HIGHER,
            Verdict.LOWER,
            Verdict.EVEN,
            Verdict.DIVERGED,
            Verdict.WAITING,
        ]
        chart = verdicts_chart(found, told(SLICES), {"a": 0.5}, "nats")
        assert chart.table.ids == ("slices", "a", "b", "c", "d", "e")
        assert_drawable(chart)

    def test_shadows_and_jobs_have_a_sentence_too(self) -> None:
        own, blocks, adagrad = of_shadows(SHADOWED)
        facts = [Facts(num_bytes=n, spread=s) for n, s in ((512, 0.31), (16, 1.4), (4096, 0.0))]
        assert shadows_sentence((own, blocks, adagrad), facts, "w") == (
            "On w, slices spreads 0.31 bits with 512 B; blocks-16, with 32× fewer bytes, spreads 1.40."
        )
        assert shadows_sentence((own,), [Facts()], "w") == "1 covers on the same gradients of w."
        jobs = of_jobs([
            job("a", loss=2.5, state_bytes=100),
            job("b", loss=2.3, state_bytes=300, optimizer={"name": "adamw"}),
        ])
        assert (
            jobs_sentence(jobs)
            == "adamw is 0.20 nats below slices for 3.0× the bytes of state: one run each, so no band."
        )
        other = of_jobs([job("a"), job("b", recipe={"name": "language-model"})])
        assert "different recipes" in jobs_sentence(other)
        assert jobs_sentence(of_jobs([job("a", loss=None), job("b", loss=None, seed=3)])).endswith(
            "diverged."
        )


def series(values: Sequence[float | None]) -> Series:
    return Series(steps=tuple(range(1, len(values) + 1)), values=tuple(values), num_points=len(values))


class TestLosses:
    def test_runs_that_saw_other_data_are_not_paired(self) -> None:
        contenders = of_jobs([job("a"), job("b"), job("c", seed=5)])
        runs = {key: (Run(0, series([3.0, 2.0, None])),) for key in "abc"}
        found, why = differences_of_jobs(contenders, contenders[0], runs, "val_loss")
        assert [d.contender.key for d in found] == ["b"]
        assert list(found[0].mean) == [0.0, 0.0, None]
        assert why == ""
        found, why = differences_of_jobs(contenders[::2], contenders[0], runs, "val_loss")
        assert found == ()
        assert "another seed" in why

    def test_charts_hold_without_any_loss_and_with_divergence(self) -> None:
        contenders = of_jobs([job("a"), job("b")])
        assert losses_chart(contenders, {}, "loss", "nats").empty
        runs = {
            "a": (Run(0, series([3.0, None, 1e13])), Run(1, series([2.0, 1.0, 0.5]))),
            "b": (Run(0, series([None] * 3)),),
        }
        chart = losses_chart(contenders, runs, "val_loss", "nats")
        assert chart.layout is not None
        assert chart.layout["yaxis"]["type"] == "log"
        assert_drawable(chart)

    def test_one_contender_far_off_does_not_flatten_the_others(self) -> None:
        contenders = of_race(
            race(("a", "b", "c"), ("slices", "rows", "whole")), [job("a"), job("b"), job("c")]
        )
        found = differences_of_race(
            contenders, told(SLICES, variant("rows", (0.01, 0.0, 0.02)), variant("whole", (1e6, 1e6, 1e6)))
        )
        chart = differences_chart(found, contenders[0], "val_loss", "nats", confidence=0.9)
        assert chart.layout is not None
        assert chart.layout["yaxis"]["range"][1] < 1
        assert chart.about == "band: 90 % at each step"
        assert_drawable(chart)

    def test_no_band_is_said(self) -> None:
        contenders = of_jobs([job("a"), job("b")])
        runs = {key: (Run(0, series([3.0, 2.0])),) for key in "ab"}
        found, why = differences_of_jobs(contenders, contenders[0], runs, "loss")
        chart = differences_chart(found, contenders[0], "loss", "nats", confidence=None, why_not=why)
        assert chart.about == "no band: it takes two seeds"


def assert_drawable(chart: Chart) -> None:
    """Fails where a browser could not read the chart: NaN is no JSON, and keys tell contenders apart without colour."""
    payload = json.dumps(chart.payload(), allow_nan=False)
    assert chart.name in payload
    assert chart.alt.endswith(".")


def test_names_never_become_markup() -> None:
    assert markup("<a href='x'>%{y}</a>") == "&lt;a href='x'&gt;%\u2060{y}&lt;/a&gt;"


class TestLaunching:
    def test_a_race_and_its_shadows_are_what_was_chosen(self) -> None:
        base = base_of("images, MLP", steps=100, lr=0.1)
        assert base.record.truth == ("*",)
        spec = race_of(base, USUAL, 3)
        assert [v.name for v in spec.variants] == list(USUAL)
        assert spec.effective_seeds == (0, 1, 2)
        variants = [j.optimizer.cover for _, s, j in spec.jobs("c") if s == 0]  # type: ignore[union-attr]
        assert variants == [COVERS[name] for name in USUAL]
        shadows = shadows_of(base, tuple(COVERS)[:6])
        assert len(shadows.record.shadows) == 5

    def test_every_offered_cover_can_race_and_shadow(self) -> None:
        base = base_of("language model, tiny", steps=20, lr=0.1)
        for name in COVERS:
            other = "rows" if name == "slices" else "slices"
            assert race_of(base, (name, other), 1)
            assert JobSpec.model_validate(shadows_of(base, (other, name)).model_dump())

    def test_truth_is_left_out_where_it_does_not_fit(self) -> None:
        assert TRUTH_LIMIT_BYTES == 64 * 2**20
        assert base_of("language model, small", steps=100, lr=0.1).record.truth in {("*",), ()}


def test_a_contender_is_a_value() -> None:
    assert of_jobs([job()]) == of_jobs([job()])
    assert isinstance(of_jobs([job()])[0], Contender)

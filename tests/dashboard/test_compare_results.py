"""What bytes buy, losses and verdicts: what the Compare page says of results."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dashboard.figures.chart import Column
from dashboard.figures.compare_headline import jobs_sentence, shadows_sentence
from dashboard.figures.compare_losses import (
    Run,
    differences_chart,
    differences_of_jobs,
    differences_of_race,
    losses_chart,
)
from dashboard.figures.compare_maps import Facts
from dashboard.figures.compare_pareto import byte_axis, front, pareto_chart
from dashboard.figures.compare_sources import (
    of_jobs,
    of_race,
    of_shadows,
)
from dashboard.figures.compare_verdicts import Verdict, race_sentence, standings, verdicts_chart
from sm3.remote.comparison_views import (
    VariantStatistics,
)
from sm3.remote.wire import JobState
from tests.dashboard.compare_cases import (
    SHADOWED,
    assert_drawable,
    job,
    points,
    race,
    series,
    told,
    variant,
)


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
        level = of_jobs([job("a", loss=2.5), job("b", loss=2.5)])
        assert " is level with " in jobs_sentence(level)
        other = of_jobs([job("a"), job("b", recipe={"name": "language-model"})])
        assert "different recipes" in jobs_sentence(other)
        assert jobs_sentence(of_jobs([job("a", loss=None), job("b", loss=None, seed=3)])).endswith(
            "diverged."
        )


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

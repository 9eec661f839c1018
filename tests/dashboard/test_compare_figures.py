"""Who is compared, and the maps of it: what the Compare page computes before it draws."""

from __future__ import annotations

import base64
import doctest
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dashboard.figures import compare_maps
from dashboard.figures.compare_maps import Facts, nu_of, panel, panels, pooled, scale, shown
from dashboard.figures.compare_settings import differing, settings_chart
from dashboard.figures.compare_sources import (
    Asked,
    Contender,
    Source,
    address,
    asked,
    chosen,
    loss_series,
    of_jobs,
    of_race,
    of_shadows,
    settled,
)
from dashboard.figures.compare_words import markup
from dashboard.figures.race import COVERS, TRUTH_LIMIT_BYTES, USUAL, base_of, race_of, shadows_of
from sm3.remote.comparison_views import VariantView
from sm3.remote.job_specs import JobSpec
from tests.dashboard.compare_cases import (
    SHADOWED,
    job,
    race,
    sm3,
)


class TestWhatTheAddressAsksFor:
    def test_ids_alone_tell_the_source(self) -> None:
        assert asked({"race": ["r"]}).source is Source.RACE
        assert asked({"job": ["a"]}).source is Source.SHADOWS
        assert asked({"job": ["a", "b", "a"]}) == Asked(Source.JOBS, jobs=("a", "b"))
        assert asked({}).source is None

    def test_what_it_cannot_mean_is_told_and_left_out(self) -> None:
        found = asked({
            "source": ["pairs"],
            "show": ["rate"],
            "step": ["-3"],
            "series": ["accuracy"],
            "seed": ["٣"],
        })
        assert (found.source, found.show, found.step, found.series, found.seed) == (None, "", None, "", None)
        assert len(found.faults) == 5
        assert all("The address asks for" in fault for fault in found.faults)

    @given(
        st.dictionaries(
            st.sampled_from([
                "source",
                "race",
                "job",
                "cover",
                "tensor",
                "step",
                "show",
                "reference",
                "seed",
            ]),
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

    def test_an_address_says_whom_it_compares(self) -> None:
        for want in (
            Asked(Source.RACE, race="r"),
            Asked(Source.SHADOWS, jobs=("a",)),
            Asked(Source.JOBS, jobs=("a", "b")),
        ):
            given = {k: [v] if isinstance(v, str) else v for k, v in address(want).items()}
            assert asked(given) == want

    def test_the_training_loss_is_drawn_where_validations_are_few(self) -> None:
        assert loss_series(Asked(), of_jobs([job(validation={"every": 90})])) == "loss"
        assert loss_series(Asked(), of_jobs([job(validation={"every": 10})])) == "val_loss"
        assert loss_series(Asked(series="loss"), of_jobs([job(validation={"every": 10})])) == "loss"


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

    def test_maps_of_a_race_are_of_the_seed_that_is_asked_for(self) -> None:
        jobs = [job(name, seed=seed) for name, seed in (("a", 0), ("b", 7), ("c", 0))]
        asked_for = race(jobs=("a", "c")).model_copy(
            update={
                "variants": tuple(
                    VariantView(name=name, jobs=ids)
                    for name, ids in (("slices", ("a", "b")), ("whole", ("c", None)))
                )
            }
        )
        for seed, expected in ((None, ["a", "c"]), (0, ["a", "c"]), (7, ["b", "c"]), (5, ["a", "c"])):
            found = of_race(asked_for, jobs, seed)
            assert [c.job.id for c in found if c.job] == expected
            assert [len(c.jobs) for c in found] == [2, 1]

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

    @given(VECTORS, VECTORS)
    def test_all_are_drawn_in_bins_of_equal_size_that_hide_nothing(
        self, row: np.ndarray[Any, Any], column: np.ndarray[Any, Any]
    ) -> None:
        own, blocks, adagrad = of_shadows(SHADOWED)
        full = np.minimum(row[:, None], column[None, :])
        arrays = {
            "accumulators/dim0/w": pool(row, 256),
            "accumulators/dim1/w": pool(column, 256),
            f"accumulators{blocks.at}/entries/w": pool(pool(full, 64).T, 64).T,
        }
        facts = Facts(shape=full.shape, arrays=arrays)
        fine, coarse, nothing = panels((own, blocks, adagrad), [facts] * 3, "w", "nu")
        assert nothing.message
        assert fine.edges() == coarse.edges()
        assert fine.grid is not None
        assert coarse.grid is not None
        bins = np.arange(len(row)) // coarse.widths[0]
        with np.errstate(divide="ignore"):
            worst = np.log10(full.max(axis=1).astype(np.float64))
        told = np.nan_to_num(fine.grid, nan=-np.inf).max(axis=1)
        assert (told[bins] >= worst - 1e-6).all()
        # What the fine one tells beyond the coarse one lies in a bin of 256 across an edge of the 64's.
        assert (told >= np.nan_to_num(coarse.grid, nan=-np.inf).max(axis=1) - 1e-6).all()
        if all(n <= 64 or n % 256 == 0 for n in full.shape):
            np.testing.assert_array_equal(fine.grid, coarse.grid)

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

    def test_an_empty_tensor_stands_beside_a_large_one(self) -> None:
        jobs = of_jobs([job("a"), job("b")])
        facts = [
            Facts(
                shape=shape, arrays={"accumulators/entries/w": np.ones((min(shape[0], 256), 4), np.float32)}
            )
            for shape in ((0, 4), (1024, 4))
        ]
        empty, large = panels(jobs, facts, "w", "nu")
        assert empty.payload()["z"] == ""
        assert large.widths == (8, 1)

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

    def test_what_was_never_touched_hides_no_bits_beside_it(self) -> None:
        deep = Facts(shape=(4, 2, 3), arrays={"tightness/grid/w": np.full((4, 2, 3), np.nan)})
        deep.arrays["tightness/grid/w"][1, 0, 2] = 0.5  # type: ignore[index]
        grid = panel(of_jobs([job()])[0], deep, "w", "tightness").grid
        assert grid is not None
        assert grid[1, 2] == 0.5
        assert np.isnan(np.delete(grid.ravel(), 5)).all()

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
        assert (found.payload()["z"], found.payload()["line"]) == (None, "")

    def test_edges_of_a_twice_pooled_vocabulary_are_exact(self) -> None:
        _, widths = pooled(np.zeros((1, 256)), (1, 50_257))
        assert widths == (1, 394)


def pool(values: np.ndarray[Any, Any], bins: int) -> np.ndarray[Any, Any]:
    """Returns ``values``, max-pooled along their first dim."""
    width = -(-len(values) // bins)
    return np.maximum.reduceat(values, np.arange(0, len(values), width))


def test_doctests_of_the_maps() -> None:
    done = doctest.testmod(compare_maps)
    assert done.failed == 0
    assert done.attempted > 5


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

"""The launch form, computed without a page: every job there can be is within its reach."""

from __future__ import annotations

import doctest
from collections import Counter
from typing import Any

import pytest

from dashboard.figures import form_labels
from dashboard.figures.form import BLANK, MAIN, Field, Kind, change, faults_at, fields, read, rows, sections
from dashboard.figures.form_labels import label
from sm3.remote.comparison_specs import merge
from sm3.remote.job_specs import JobSpec
from sm3.remote.optimizer_specs import AdamWSpec
from sm3.remote.recipe_specs import ImagesSpec
from sm3.remote.wire import FieldFault

LM = {"name": "language-model"}
COVERS: list[dict[str, Any]] = [
    {"kind": "slices"},
    {"kind": "slices", "dims": [0, -1]},
    {"kind": "singletons"},
    {"kind": "whole"},
    {"kind": "blocks", "tile": 8},
    {"kind": "blocks", "tile": [8, 16]},
    {"kind": "blocks", "tile": [8]},
    {"kind": "reshaped", "view": "square", "inner": {"kind": "whole"}},
    {"kind": "reshaped", "view": [4, -1], "inner": {"kind": "slices", "dims": [0]}},
    {"kind": "union", "members": [{"kind": "blocks"}, {"kind": "slices"}]},
    {
        "kind": "union",
        "members": [
            {"kind": "union", "members": [{"kind": "whole"}, {"kind": "singletons"}, {"kind": "blocks"}]},
            {"kind": "reshaped", "view": "square", "inner": {"kind": "blocks", "tile": [2, 3]}},
        ],
    },
    {"kind": "explicit", "shape": [2, 2], "sets": [[0, 1], [2, 3], [0, 3]]},
    {"kind": "advise", "budget_bytes": 4096, "objective": "p99"},
]
OTHERS: list[dict[str, Any]] = [
    {},
    {"recipe": {"name": "images", "model": "cnn", "batch_size": 7}},
    {"optimizer": {"name": "adamw", "beta1": 0.8}},
    {"optimizer": {"name": "sgd"}, "averaging": {"kind": "exponential", "decay": 0.9}},
    {
        "optimizer": {
            "name": "sm3",
            "rules": [{"match": f"*{i}", "cover": cover} for i, cover in enumerate(COVERS[:-1])],
        }
    },
    {"labels": {"course": "demo: two", "who": "it's me; rm -rf $HOME"}, "priority": -3, "seed": 2**60},
    {
        "record": {
            "probes": ["accumulators", "topk", "poison"],
            "probe_settings": {
                "topk": {"every": "geometric", "k": 3},
                "poison": {"every": 7, "tensors": ["a*", "b"]},
            },
            "truth": ["*embed*", "7"],
            "shadows": [
                {"cover": {"kind": "slices", "dims": [0]}, "variant": "I", "label": "rows"},
                {"cover": {"kind": "blocks", "tile": [4, 4]}, "tensors": ["*"], "vectors": True},
            ],
        }
    },
    {"limits": {"time_s": 60.5, "memory_bytes": 2**30}, "retry": {"attempts": 0}, "checkpoint": {"keep": 1}},
]
SPECS = [
    JobSpec.model_validate({"recipe": LM, **given})
    for given in [*({"optimizer": {"name": "sm3", "cover": cover}} for cover in COVERS), *OTHERS]
]


def untouched(form: tuple[Any, ...]) -> dict[str, Any]:
    return {field.path: field.default for field in form}


@pytest.mark.parametrize("spec", SPECS)
def test_a_form_that_starts_from_a_job_describes_it(spec: JobSpec) -> None:
    form = fields({}, spec)
    reading = read(form, untouched(form))
    assert reading.faults == {}
    assert reading.spec == spec


@pytest.mark.parametrize("spec", SPECS)
def test_every_job_can_be_made_from_the_blank_form_by_choices_and_values(spec: JobSpec) -> None:
    wanted = untouched(fields({}, spec))
    form = fields(wanted)
    assert {field.path for field in form} == set(wanted)
    assert read(form, wanted).spec == spec


def test_the_form_left_alone_is_the_default_job() -> None:
    form = fields({})
    assert read(form, untouched(form)).spec == BLANK == JobSpec.model_validate({"recipe": LM})


@pytest.mark.parametrize("spec", SPECS)
def test_every_field_stands_once_under_one_heading_and_the_main_ones_first(spec: JobSpec) -> None:
    form = fields({}, spec)
    shown = [field.path for part in sections(form).values() for field in part]
    assert sorted(shown) == sorted({field.path for field in form})
    main = [path for path in MAIN if path in shown]
    assert shown[: len(main)] == main


@pytest.mark.parametrize("spec", SPECS)
def test_no_two_fields_below_one_heading_are_called_alike(spec: JobSpec) -> None:
    for name, part in sections(fields({}, spec)).items():
        told = Counter((label(field.path), field.kind is Kind.COUNT) for field in part)
        assert set(told.values()) <= {1}, (name, told)


@pytest.mark.parametrize("part", sections(fields({})).values())
def test_rows_hold_every_field_once_in_order_and_one_of_many_values_alone(part: tuple[Field, ...]) -> None:
    made = list(rows(part))
    assert [field for row in made for field in row] == list(part)
    assert max(map(len, made)) <= 2
    assert all(len(row) == 1 for row in made for field in row if field.kind is Kind.MANY)


def test_doctests_of_the_labels() -> None:
    done = doctest.testmod(form_labels)
    assert (done.failed, done.attempted) == (0, 6)


def test_choosing_another_variant_leaves_the_fields_of_the_first_behind() -> None:
    chosen = {"recipe.name": "images", "optimizer.name": "adamw"}
    form = fields(chosen)
    paths = {field.path for field in form}
    assert {"recipe.dataset", "recipe.model", "optimizer.beta1"} <= paths
    assert not {"recipe.size", "optimizer.cover.kind", "optimizer.rules"} & paths
    spec = read(form, untouched(form) | chosen).spec
    assert spec is not None
    assert (spec.recipe, spec.optimizer) == (ImagesSpec(name="images"), AdamWSpec())


def test_an_unknown_choice_is_taken_for_the_default() -> None:
    assert fields({"recipe.name": "no-such", "optimizer.rules": "x"}) == fields({})


def test_choices_offer_their_default_and_numbers_have_bounds() -> None:
    for field in fields({}):
        if field.kind is Kind.CHOICE:
            assert field.default in field.options
        if field.kind in {Kind.INT, Kind.FLOAT, Kind.COUNT}:
            assert field.low is not None
            assert field.high is not None


@pytest.mark.parametrize(
    ("changed", "path", "says"),
    [
        ({"optimizer.lr": 0}, "optimizer.lr", "greater than 0"),
        ({"optimizer.cover.kind": "advise"}, "optimizer.cover.budget_bytes", "is needed"),
        ({"optimizer.cover.kind": "reshaped"}, "optimizer.cover.view", "is needed"),
        (
            {"optimizer.cover.kind": "explicit", "optimizer.cover.shape": "2"},
            "optimizer.cover.sets",
            "is needed",
        ),
        ({"optimizer.cover.dims": "0, rows"}, "optimizer.cover.dims", "integer"),
        ({"labels": "course"}, "labels", "`key: value`"),
        ({"labels": "Course: x"}, "labels", "pattern"),
        ({"labels": "a: 1\na: 2"}, "labels", "twice"),
        ({"optimizer.rules": 1, "optimizer.rules.0.match": ""}, "optimizer.rules.0.match", "is needed"),
        ({"record.probes": ["poison"]}, "", "needs"),
        ({"schedule.warmup": 0.9, "schedule.cooldown": 0.9}, "", "lower one"),
    ],
)
def test_a_fault_stands_at_its_field_and_says_what_is_allowed(
    changed: dict[str, Any], path: str, says: str
) -> None:
    form = fields(changed)
    reading = read(form, untouched(form) | changed)
    assert reading.spec is None
    if path:
        assert set(reading.faults) == {path}
    assert says in " ".join(reading.faults[path]) or (not path and reading.faults[""])


def test_json_that_is_none_is_told_with_its_place() -> None:
    form = fields({"optimizer.cover.kind": "explicit"})
    values = untouched(form) | {
        "optimizer.cover.kind": "explicit",
        "optimizer.cover.shape": "2",
        "optimizer.cover.sets": "[[0, 1",
    }
    assert "character 7" in read(form, values).faults["optimizer.cover.sets"][0]


def test_what_the_service_refuses_stands_at_its_field() -> None:
    form = fields({"optimizer.rules": 1})
    told = faults_at(
        form,
        [
            FieldFault(field="optimizer.lr", given=0, allowed="above 0"),
            FieldFault(field="change.optimizer.rules.0.match", given="", allowed="a glob"),
            FieldFault(field="Idempotency-Key", given="x", allowed="y"),
        ],
    )
    assert set(told) == {"optimizer.lr", "optimizer.rules.0.match", ""}
    assert "given: 0" in told["optimizer.lr"][0]
    assert told[""][0].startswith("Idempotency-Key")


@pytest.mark.parametrize("original", SPECS)
@pytest.mark.parametrize("wanted", SPECS)
def test_the_patch_of_a_clone_makes_the_wanted_job_and_names_only_what_differs(
    original: JobSpec, wanted: JobSpec
) -> None:
    before, after = original.model_dump(mode="json"), wanted.model_dump(mode="json")
    patch = change(before, after)
    assert JobSpec.model_validate(merge(before, patch)) == wanted
    assert (patch == {}) is (original == wanted)
    assert set(patch) <= {key for key in after if before[key] != after[key]}

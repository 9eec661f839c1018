"""Comparisons as they are asked for: merge patches, and every fault at once. No service."""

from __future__ import annotations

import doctest
import json

import pytest
from pydantic import ValidationError

import sm3.remote.comparison_specs as module
from server.examples import COMPARISON_EXAMPLES
from server.problems import faults
from sm3.remote.comparison_specs import ComparisonSpec, merge
from sm3.remote.job_specs import JobSpec, ScheduleSpec
from sm3.remote.optimizer_specs import AdagradSpec, Sm3Spec

BASE = {"recipe": {"name": "language-model"}}
PLAIN = {"name": "plain"}

# RFC 7396, appendix A: original, patch, result.
APPENDIX = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("original", "patch", "result"), APPENDIX)
def test_merging_is_that_of_the_rfc(original: object, patch: object, result: object) -> None:
    before = json.dumps([original, patch])
    assert merge(original, patch) == result  # type: ignore[arg-type]
    assert json.dumps([original, patch]) == before


def test_the_examples_in_its_docstrings_are_true() -> None:
    failed, tried = doctest.testmod(module)
    assert (failed, tried > 0) == (0, True)


def job_of(change: dict, **base: object) -> JobSpec:
    """Returns the job that ``change`` makes of the base."""
    body = {"base": {**BASE, **base}, "variants": [PLAIN, {"name": "b", "change": change}]}
    _, (_, _, job) = ComparisonSpec.model_validate(body).jobs("x")
    return job


def test_a_change_merges_into_the_base_and_null_takes_a_field_back_to_its_default() -> None:
    sm3 = {"name": "sm3", "lr": 0.3, "momentum": 0.5}
    job = job_of({"optimizer": {"momentum": None}, "schedule": {"power": 2}}, optimizer=sm3)
    assert job.optimizer == Sm3Spec(lr=0.3)
    assert job.schedule == ScheduleSpec(power=2)
    assert job_of({"optimizer": None}, optimizer=sm3).optimizer == Sm3Spec()


def test_another_optimizer_or_cover_replaces_that_of_the_base() -> None:
    base = {"name": "sm3", "lr": 0.3, "momentum": 0.5, "cover": {"kind": "slices", "dims": [1]}}
    assert job_of({"optimizer": {"name": "adagrad"}}, optimizer=base).optimizer == AdagradSpec()
    changed = job_of({"optimizer": {"cover": {"kind": "whole"}}}, optimizer=base).optimizer
    assert changed == Sm3Spec.model_validate({**base, "cover": {"kind": "whole"}})


def test_jobs_differ_in_the_change_the_seed_and_labels_alone_seed_by_seed() -> None:
    spec = ComparisonSpec.model_validate({
        "base": {**BASE, "seed": 7, "steps": 5, "labels": {"mine": "yes"}},
        "variants": [PLAIN, {"name": "slow", "change": {"optimizer": {"lr": 0.01}}}],
        "seeds": [4, 3],
    })
    jobs = list(spec.jobs("the-id"))
    assert [(v, s, job.seed) for v, s, job in jobs] == [(0, 0, 4), (1, 0, 4), (0, 1, 3), (1, 1, 3)]
    for variant, _, job in jobs:
        name = spec.variants[variant].name
        assert job.labels == {"mine": "yes", "comparison": "the-id", "variant": name}
        same = {"optimizer": spec.base.optimizer, "seed": 7, "labels": spec.base.labels}
        assert job.model_copy(update=same) == spec.base


def test_the_bases_own_seed_serves_where_none_is_given() -> None:
    spec = ComparisonSpec.model_validate({"base": {**BASE, "seed": 7}, "variants": [PLAIN, {"name": "b"}]})
    assert {job.seed for _, _, job in spec.jobs("x")} == {7}


@pytest.mark.parametrize("body", [example["value"] for example in COMPARISON_EXAMPLES.values()])
def test_a_comparison_survives_json(body: dict) -> None:
    spec = ComparisonSpec.model_validate(body)
    assert ComparisonSpec.model_validate_json(spec.model_dump_json()) == spec
    assert ComparisonSpec.model_validate(spec) == spec
    assert ComparisonSpec.model_validate_json(json.dumps(body)) == spec


def named(body: object) -> dict[str, tuple[object, str]]:
    with pytest.raises(ValidationError) as refusal:
        ComparisonSpec.model_validate(body)
    return {fault.field: (fault.given, fault.allowed) for fault in faults(refusal.value.errors(), body)}


def test_every_fault_of_every_variant_is_named_at_once_by_its_place_in_the_patch() -> None:
    rules = [{"match": "*", "cover": {"kind": "slices", "dims": "all"}}]
    found = named({
        "base": BASE,
        "variants": [
            {"name": "a", "change": {"recipe": {"size": "tiny"}}},
            {"name": "b", "change": {"optimizer": {"lr": -1, "x": 2, "rules": rules}}},
            {"name": "b", "change": {"optimizer": {"name": "adamw", "momentum": 0.5}}},
            {
                "name": "c",
                "change": {"optimizer": {"name": "sm4"}, "schedule": {"warmup": 0.9, "cooldown": 0.9}},
            },
            {"name": ""},
        ],
        "seeds": [1, 2, 1],
        "extra": True,
    })
    assert {field: given for field, (given, _) in found.items()} == {
        "variants.0.change.recipe": "recipe",
        "variants.1.change.optimizer.lr": -1,
        "variants.1.change.optimizer.x": 2,
        "variants.1.change.optimizer.rules.0.cover.dims": "all",
        "variants.2.change.optimizer.momentum": 0.5,
        "variants.2.name": "b",
        "variants.3.change.optimizer.name": "sm4",
        "variants.3.change.schedule": "dict",
        "variants.4.name": "",
        "extra": True,
    }
    assert found["variants.0.change.recipe"][1] == "'optimizer' or 'schedule'"
    assert "variant 1 has this one, rename" in found["variants.2.name"][1]


@pytest.mark.parametrize(
    ("change", "field", "allowed"),
    [
        ({"variants": [PLAIN]}, "variants", "at least 2 items"),
        ({"variants": [{"name": f"v{k}"} for k in range(17)]}, "variants", "at most 16 items"),
        ({"variants": [PLAIN, 5]}, "variants.1", "dictionary"),
        ({"variants": [PLAIN, {"name": "b", "change": {"optimizer": 5}}]}, "variants.1.change.optimizer", "dictionary"),
        ({"seeds": []}, "seeds", "at least 1 item"),
        ({"seeds": [-1]}, "seeds.0", "greater than or equal to 0"),
        ({"seeds": [1, 1]}, "seeds", "remove it"),
        ({"seeds": [1, 2, 3, 4, 5], "variants": [{"name": f"v{k}"} for k in range(13)]}, "seeds", "at most 64 jobs"),
        ({"base": {**BASE, "labels": {"variant": "x"}}}, "base.labels.variant", "rename yours"),
        ({"base": {**BASE, "labels": {f"l{k}": "x" for k in range(31)}}}, "base.labels", "remove some"),
        ({"base": {**BASE, "steps": 0}}, "base.steps", "greater than or equal to 1"),
        ({"base": {"recipe": {"name": "chess"}}}, "base.recipe.name", "'language-model'"),
        ({"label": "x" * 129}, "label", "at most 128"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused_with_what_is_allowed(
    change: dict, field: str, allowed: str
) -> None:
    found = named({"base": BASE, "variants": [PLAIN, {"name": "b"}], **change})
    assert set(found) == {field}
    assert allowed in found[field][1]


def test_how_many_jobs_were_asked_for_is_said() -> None:
    many = [{"name": f"v{k}"} for k in range(13)]
    found = named({"base": BASE, "variants": many, "seeds": [1, 2, 3, 4, 5]})
    assert found["seeds"][0] == "13 variants at 5 seeds, 65 jobs"


@pytest.mark.parametrize("body", [{}, [], None, "x", {"base": None, "variants": None}])
def test_what_is_no_comparison_at_all_is_refused(body: object) -> None:
    assert named(body)


def test_a_patch_nested_without_end_is_a_fault_like_any_other() -> None:
    deep: dict = {}
    for _ in range(900):
        deep = {"a": deep}
    assert named({"base": BASE, "variants": [PLAIN, {"name": "b", "change": {"optimizer": deep}}]})

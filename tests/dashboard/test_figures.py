"""What the pages show, computed without a page."""

from __future__ import annotations

import json
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dashboard.figures.demo import DEMO, invitation
from dashboard.figures.equivalents import body_of, changes, equivalents
from dashboard.figures.form import MAIN, Kind, faults, fields, spec_of
from dashboard.figures.labels import choose, job_label, spec_label, summary
from dashboard.figures.paths import flatten, nest
from dashboard.figures.plain import plain
from sm3.remote.job_specs import JobSpec
from sm3.remote.optimizer_specs import AdamWSpec, Sm3Spec
from sm3.remote.recipe_specs import ImagesSpec
from sm3.remote.wire import JobState, JobView, Progress

URL = "http://127.0.0.1:8000"
SPECS = [
    DEMO,
    DEMO.model_copy(update={"steps": 500}),
    DEMO.model_copy(update={"optimizer": Sm3Spec(lr=0.3)}),
    DEMO.model_copy(update={"optimizer": Sm3Spec.model_validate({"cover": {"kind": "blocks", "tile": 8}})}),
    DEMO.model_copy(
        update={"optimizer": Sm3Spec.model_validate({"rules": [{"match": "*", "cover": {"kind": "whole"}}]})}
    ),
    DEMO.model_copy(update={"optimizer": AdamWSpec()}),
    DEMO.model_copy(update={"optimizer": AdamWSpec(beta2=0.95), "labels": {"who": "it's me; rm -rf $HOME"}}),
    JobSpec(recipe=ImagesSpec(name="images")),
    JobSpec(recipe=ImagesSpec(name="images", dataset="fashion-mnist", model="cnn", batch_size=7), steps=9),
]


def job(state: JobState, end: str = "0001") -> JobView:
    return JobView(
        id=f"0197a1b2-0000-7000-8000-00000000{end}",
        state=state,
        attempt=0,
        created_at="2026-01-01T00:00:00Z",
        spec=DEMO,
        progress=Progress(steps=DEMO.steps),
    )


@pytest.mark.parametrize("spec", SPECS)
def test_the_smallest_body_means_the_same_job(spec: JobSpec) -> None:
    assert JobSpec.model_validate(body_of(spec)) == spec


@pytest.mark.parametrize("spec", SPECS)
def test_curl_sends_that_body_and_reads_the_token_from_a_variable(spec: JobSpec) -> None:
    words = shlex.split(equivalents(spec, URL).curl.replace("\\\n", ""))
    assert json.loads(words[words.index("-d") + 1]) == body_of(spec)
    assert "Authorization: Bearer $SM3_TOKEN" in words
    assert f"{URL}/v1/jobs" in words


@pytest.mark.parametrize("spec", SPECS)
def test_python_builds_the_same_job(spec: JobSpec) -> None:
    lines = equivalents(spec, URL).python.partition("with ")[0]
    names: dict[str, object] = {}
    exec(lines, names)
    assert names["spec"] == spec


@pytest.mark.parametrize("spec", SPECS)
def test_the_command_line_sets_what_differs_and_nothing_else(spec: JobSpec) -> None:
    words = shlex.split(equivalents(spec, URL).cli.replace("\\\n", ""))
    assert words[:3] == ["sm3", "launch", spec.recipe.name]
    settings = [word for word in words[3:] if word != "--set"]
    assert [setting.partition("=")[0] for setting in settings] == [
        path for path in changes(spec) if path != "recipe.name"
    ]


def test_the_form_left_alone_is_the_default_job() -> None:
    untouched = {field.path: field.default for field in fields({})}
    assert spec_of(untouched) == JobSpec.model_validate({"recipe": {"name": "language-model"}})


def test_the_form_has_the_main_fields_first_and_no_field_twice() -> None:
    seen = set()
    for recipe in ("language-model", "images"):
        paths = [field.path for field in fields({"recipe.name": recipe})]
        main = [path for path in MAIN if path in paths]
        assert paths[: len(main)] == main
        assert len(set(paths)) == len(paths)
        seen |= set(main)
    assert seen == set(MAIN)


def test_choosing_another_recipe_changes_the_fields() -> None:
    form = {field.path: field for field in fields({"recipe.name": "images"})}
    assert form["recipe.name"].options == fields({})[0].options
    assert {"recipe.dataset", "recipe.model", "recipe.batch_size"} <= form.keys()
    assert not {"recipe.size", "recipe.corpus", "recipe.context"} & form.keys()
    values = {path: field.default for path, field in form.items()} | {"recipe.name": "images"}
    assert spec_of(values).recipe == ImagesSpec(name="images")


def test_choosing_another_optimizer_changes_the_fields() -> None:
    form = {field.path: field for field in fields({"optimizer.name": "adamw"})}
    assert "optimizer.beta1" in form
    assert "optimizer.cover.kind" not in form
    values = {path: field.default for path, field in form.items()} | {"optimizer.name": "adamw"}
    assert spec_of(values).optimizer == AdamWSpec()


def test_what_is_optional_is_left_out_unless_it_is_chosen() -> None:
    plain = {field.path: field for field in fields({})}
    assert set(plain["averaging.kind"].options) == {"none", "polyak", "exponential"}
    assert plain["averaging.kind"].default == "none"
    assert "averaging.start" not in plain
    chosen = {field.path: field.default for field in fields({"averaging.kind": "polyak"})} | {
        "averaging.kind": "polyak"
    }
    assert chosen["averaging.start"] == 0.5
    assert (
        spec_of(chosen).averaging
        == JobSpec.model_validate({
            "recipe": {"name": "language-model"},
            "averaging": {"kind": "polyak"},
        }).averaging
    )


def test_a_choice_offers_its_default_and_numbers_have_bounds() -> None:
    for field in fields({}):
        if field.kind is Kind.CHOICE:
            assert field.default in field.options
        if field.kind in {Kind.INT, Kind.FLOAT}:
            assert field.low is not None
            assert field.high is not None


def test_a_fault_names_field_and_value() -> None:
    with pytest.raises(ValidationError) as caught:
        spec_of({"recipe.name": "language-model", "optimizer.name": "sm3", "optimizer.lr": 0})
    (fault,) = faults(caught.value)
    assert "optimizer.sm3.lr" in fault
    assert "given: 0" in fault


LEAVES = st.one_of(st.integers(), st.text(max_size=3), st.none(), st.lists(st.integers(), max_size=2))
KEYS = st.sampled_from("abcd")
OBJECTS = st.recursive(
    st.dictionaries(KEYS, LEAVES, min_size=1, max_size=3),
    lambda inner: st.dictionaries(KEYS, inner, min_size=1, max_size=3),
    max_leaves=6,
)


@given(OBJECTS)
def test_nesting_undoes_flattening(value: dict[str, object]) -> None:
    assert nest(flatten(value)) == value


def test_jobs_are_summed_up_in_the_order_of_their_lives() -> None:
    jobs = [job(JobState.FAILED), job(JobState.RUNNING), job(JobState.STARTING), job(JobState.QUEUED)]
    assert summary(jobs) == "1 queued, 2 running, 1 failed."
    assert summary([]) == "No jobs yet."


def test_the_newest_training_job_is_shown_and_without_one_the_newest() -> None:
    done, training = job(JobState.SUCCEEDED, "0002"), job(JobState.RUNNING, "0001")
    assert choose([done, training]) is training
    assert choose([done]) is done
    assert choose([]) is None


def test_labels_name_recipe_optimizer_and_the_end_of_the_id() -> None:
    assert spec_label(DEMO) == "language-model tiny · sm3"
    assert job_label(job(JobState.RUNNING, "beef")) == "language-model tiny · sm3 · beef"
    assert spec_label(JobSpec(recipe=ImagesSpec(name="images", model="cnn"))) == "images cnn · sm3"


def test_the_invitation_says_how_large_the_demo_is() -> None:
    assert "0.9 M parameters" in invitation()
    assert "3,000 steps" in invitation()


def test_text_of_others_stays_text() -> None:
    assert plain("**a** [b](http://c) $d$") == r"\*\*a\*\* \[b\]\(http\://c\) \$d\$"

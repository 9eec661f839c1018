"""What the pages show, computed without a page."""

from __future__ import annotations

import json
import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.figures.demo import invitation
from dashboard.figures.equivalents import body_of, changes, cloned, equivalents
from dashboard.figures.labels import choose, job_label, spec_label, summary
from dashboard.figures.paths import flatten, nest
from dashboard.figures.plain import plain
from sm3.cli_assignments import changes_from
from sm3.remote.demo import DEMO
from sm3.remote.job_specs import CloneSpec, JobSpec
from sm3.remote.optimizer_specs import AdamWSpec, Sm3Spec
from sm3.remote.recipe_specs import ImagesSpec
from sm3.remote.wire import JobState, JobView, Progress

URL = "http://127.0.0.1:8000"
HEADS = {
    "kind": "reshaped",
    "view": [4, -1],
    "inner": {"kind": "union", "members": [{"kind": "whole"}, {"kind": "blocks"}]},
}
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
    DEMO.model_copy(update={"optimizer": Sm3Spec.model_validate({"cover": HEADS})}),
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


def test_a_clone_is_the_same_in_three_tongues() -> None:
    patch = {"steps": 5, "averaging": None, "optimizer": {"cover": {"kind": "blocks", "tile": [8, 8]}}}
    same = cloned("0197a1b2-0000-7000-8000-000000000001", patch, URL)
    words = shlex.split(same.curl.replace("\\\n", ""))
    assert json.loads(words[words.index("-d") + 1]) == {"change": patch}
    assert f"{URL}/v1/jobs/0197a1b2-0000-7000-8000-000000000001/clone" in words
    names: dict[str, object] = {}
    exec(same.python.partition("with ")[0], names)
    assert names["wanted"] == CloneSpec(change=patch)
    words = shlex.split(same.cli.replace("\\\n", ""))
    assert words[:3] == ["sm3", "clone", "0197a1b2-0000-7000-8000-000000000001"]
    assert changes_from([word for word in words[3:] if word != "--set"]) == patch


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
    assert plain("**a** [b](c) $d$") == r"\*\*a\*\* \[b\]\(c\) \$d\$"
    for link in ("http://c.d", "HTTPS://c.d", "www.c.d", "a@b.c"):
        shown = plain(link)
        assert shown.replace("\u2060", "").replace("\\", "") == link
        assert not re.search(r"(?i)https?:|www\.|\w@", shown.replace("\\", ""))

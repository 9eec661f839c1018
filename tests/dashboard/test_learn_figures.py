"""The lessons without a page: one conformance suite over their registry, and the address."""

from __future__ import annotations

import ast
import doctest
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboard.lessons import numbers
from dashboard.lessons.address import OWN, changed, read
from dashboard.lessons.paint import names, painted
from dashboard.lessons.registry import LESSONS
from dashboard.lessons.scene import Case, Lesson, Scene, Unknown, verdict
from sm3.covers import from_spec
from sm3.remote.client import Client
from sm3.remote.wire import JobState
from tests.conftest import RunningService, tiny_job

BY_SLUG = {lesson.slug: lesson for lesson in LESSONS}


@pytest.fixture(scope="module")
def client(service: RunningService) -> Iterator[Client]:
    """A client of a service in which a language model has been trained, which one lesson looks at."""
    with service.client as client:
        job = client.launch(tiny_job(steps=20))
        service.wait_for(job.id, JobState.SUCCEEDED, timeout_s=120)
        yield client


def case_of(lesson: Lesson, step: int, guess: str = "", **inputs: str) -> Case:
    query = {"lesson": str(LESSONS.index(lesson) + 1), "step": str(step), "guess": guess, **inputs}
    return read(query).case


def scene_of(client: Client, lesson: Lesson, step: int, guess: str = "", **inputs: str) -> Scene:
    case = case_of(lesson, step, guess, **inputs)
    return lesson.tell(case, lesson.fetch(client, case))


@pytest.mark.parametrize("slug", BY_SLUG)
def test_every_lesson_asks_before_it_answers_and_judges_with_the_real_number(
    client: Client, slug: str
) -> None:
    lesson = BY_SLUG[slug]
    assert 1 < lesson.reveal <= len(lesson.steps)
    scenes = [scene_of(client, lesson, step) for step in range(1, len(lesson.steps) + 1)]
    assert all(scene.headline and scene.text and scene.source for scene in scenes)
    assert len({scene.headline for scene in scenes}) == len(scenes), "each step says something of its own"
    question = scenes[0].question
    assert question
    assert len(question.options) >= 2
    keys = [option.key for option in question.options]
    assert len(set(keys)) == len(keys)
    assert any(option.is_right for option in question.options)
    for option in question.options:
        kind, words = verdict(question, option.key)
        assert kind == ("right" if option.is_right else "other")
        assert option.label in words
        assert option.why in words
    assert verdict(question, "")[0] == "none"
    assert verdict(question, "no such answer")[0] == "none"


@pytest.mark.parametrize("slug", BY_SLUG)
def test_what_is_to_be_guessed_is_not_shown_before(client: Client, slug: str) -> None:
    lesson = BY_SLUG[slug]
    before, after = scene_of(client, lesson, 1), scene_of(client, lesson, lesson.reveal)

    def pictures(scene: Scene) -> object:
        return [grid.texts for grid in scene.grids], [chart.payload() for chart in scene.charts]

    assert pictures(before) != pictures(after)


@pytest.mark.parametrize("slug", BY_SLUG)
def test_every_choice_of_every_control_has_a_scene(client: Client, slug: str) -> None:
    lesson = BY_SLUG[slug]
    last = len(lesson.steps)
    for control in scene_of(client, lesson, last).controls:
        assert control.name in lesson.defaults
        assert control.value in dict(control.options)
        for key, _ in control.options:
            found = scene_of(client, lesson, last, **{control.name: key})
            assert {c.name: c.value for c in found.controls}[control.name] == key


@pytest.mark.parametrize("slug", BY_SLUG)
def test_no_unknown_input_gets_through(client: Client, slug: str) -> None:
    lesson = BY_SLUG[slug]
    for name in set(lesson.defaults) - {"job"}:
        with pytest.raises(Unknown, match=name):
            scene_of(client, lesson, len(lesson.steps), **{name: "<script>"})


@pytest.mark.parametrize("slug", BY_SLUG)
def test_a_lesson_has_no_typed_in_result(slug: str) -> None:
    """Results come from facts: the words of a lesson may hold no number but those that `ALLOWED` names."""
    module = sys.modules[BY_SLUG[slug].tell.__module__]
    source = inspect.getsource(module)
    told = re.compile(r"(?<![\w.{])\d+(?:\.\d+)?(?![\w.}]|\.\d)")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and node.name in {"_tell", "_question"}:
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    words = re.sub(ALLOWED, "", part.value)
                    assert not told.search(words), f"{slug}: {part.value!r} holds a number"


ALLOWED = re.compile(
    r"arXiv [\d.]+|sections? \d+|algorithm SM3-I+|0 bits|is 0[.,;]|\bof 1\b|always 1\b|by 1 a step|is 1 \("
    r"|, 1 from T0|starts? at 0|min\(1,|1/√t|step 1\b|^1 step$|^1 number$|5 % of the steps|8 × 8|2 × 2"
    r"|after 8 steps|128 tokens|int8|0 to 9"
)
"""What is no result: sources, names, sizes that the lesson itself sets, and what holds by definition."""


def test_painted_sets_cover_everything_and_are_named_as_they_were_painted() -> None:
    paint = (1,) * 5 + (3,) * 5 + (8,) * 4 + (0,) * 6
    cover = painted(paint)
    assert [len(members) for members in cover["sets"]] == [10, 5, 4, 6]
    assert names(paint) == ("A", "B", "D", "the rest")
    assert from_spec(cover).num_accumulators((4, 5)) == 4
    assert names((1,) * 20) == ("A",)


def test_an_address_says_all_and_another_lesson_starts_afresh() -> None:
    asked = read({"lesson": "3", "step": "3", "stop": "rows", "teacher": "1", "guess": "slices"})
    assert (asked.number, asked.lesson.slug, asked.is_teacher) == (3, "slider", True)
    assert (asked.case.step, asked.case.guess, asked.case.inputs["stop"]) == (3, "slices", "rows")
    query = {"lesson": "3", "step": "3", "stop": "rows", "teacher": "1", "guess": "slices"}
    assert changed(query, {"stop": "whole"}) == query | {"stop": "whole"}
    assert changed(query, {"lesson": "4", "step": "1"}) == {"lesson": "4", "step": "1", "teacher": "1"}
    assert changed(query, {"teacher": "", "nonsense": "1"}) == {
        k: v for k, v in query.items() if k != "teacher"
    }
    assert not set(OWN) & {name for lesson in LESSONS for name in lesson.defaults}


@pytest.mark.parametrize(
    "query",
    [{"lesson": "9"}, {"lesson": "0"}, {"lesson": "x"}, {"step": "6"}, {"step": "²"}, {"lesson": "-1"}],
)
def test_an_address_of_nothing_is_told_with_what_there_is(query: dict[str, str]) -> None:
    with pytest.raises(Unknown, match="from 1 to"):
        read(query)


def test_a_lesson_a_file_and_a_line() -> None:
    folder = Path(inspect.getfile(sys.modules["dashboard.lessons.registry"])).parent
    having = {path.stem for path in folder.glob("*.py") if "\nLESSON = " in path.read_text()}
    assert having == {lesson.tell.__module__.rpartition(".")[2] for lesson in LESSONS} == set(BY_SLUG)


def test_without_a_recorded_job_the_lesson_on_patterns_offers_the_demo() -> None:
    from dashboard.lessons.activation import LESSON, _Facts

    scene = LESSON.tell(case_of(LESSON, 1), _Facts(None))
    assert scene.offer == "Run the demo"
    assert scene.question is None


def test_the_examples_in_the_numbers_docstrings_are_true() -> None:
    done = doctest.testmod(numbers)
    assert done.attempted
    assert not done.failed

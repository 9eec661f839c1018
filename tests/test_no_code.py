"""No pickle, no code, no path and no URL from a request: what the packages must not contain, and what specs refuse."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sm3.remote.comparison_specs import ComparisonSpec
from sm3.remote.job_specs import JobSpec

ROOT = Path(__file__).parents[1]
FILES = [
    path for package in ("sm3", "server", "dashboard") for path in sorted((ROOT / package).rglob("*.py"))
]
MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "marshal",
    "shelve",
    "jsonpickle",
    "joblib",
    "yaml",
    "imp",
}
CALLS = {"eval", "exec", "compile", "__import__"}


def faults(source: str) -> Iterator[str]:
    """Yields what a source file has that could run or load what came from outside."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.partition(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in MODULES:
            yield f"from {node.module}"
        elif isinstance(node, ast.Call):
            yield from _call_faults(node)


def _call_faults(node: ast.Call) -> Iterator[str]:
    name = ast.unparse(node.func)
    keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    if name in CALLS:
        yield name
    if name == "torch.load" and keywords.get("weights_only") != "True":
        yield "torch.load without weights_only=True"
    if name.endswith(("numpy.load", "np.load")) and keywords.get("allow_pickle", "False") != "False":
        yield "np.load with pickles"
    if keywords.get("shell", "False") != "False":
        yield f"{name}(shell=…)"
    if name in {"os.system", "os.popen", "torch.save", "torch.jit.load", "torch.hub.load"}:
        yield name


def test_the_packages_load_and_run_nothing_that_could_be_code() -> None:
    found = {str(path.relative_to(ROOT)): list(faults(path.read_text(encoding="utf-8"))) for path in FILES}
    assert {path: names for path, names in found.items() if names} == {}
    assert len(FILES) > 100


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import yaml",
        "eval(x)",
        "torch.load(f)",
        "torch.load(f, weights_only=False)",
        "np.load(f, allow_pickle=True)",
        "subprocess.run(x, shell=True)",
        "os.system(x)",
    ],
)
def test_the_search_finds_what_it_looks_for(source: str) -> None:
    assert list(faults(source))


# ── specs

NASTY = [
    "../../etc/passwd",
    "/etc/passwd",
    "file:///etc/passwd",
    "http://169.254.169.254/latest/meta-data",
    "s3://bucket/key",
    "\\\\host\\share",
    "~/.ssh/id_rsa",
    "%2e%2e%2f",
    "..",
    "language-model/../images",
    "language-model\0",
    "$(id)",
    "`id`",
    "{{7*7}}",
    "__import__('os').system('id')",
    "os:system",
    "torch.nn.Linear",
    "<script>alert(1)</script>",
]
BASE = {"recipe": {"name": "language-model"}}
# Where a string is free text by design: it is stored, shown and compared, and opens nothing.
FREE = {("labels", "x"), ("optimizer", "rules", "0", "match")}


def strings(document: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yields the path of every string in a JSON document."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield from strings(value, (*path, key))
    elif isinstance(document, list):
        for number, value in enumerate(document):
            yield from strings(value, (*path, str(number)))
    elif isinstance(document, str):
        yield path


def put(document: object, path: tuple[str, ...], value: object) -> object:
    if not path:
        return value
    if isinstance(document, list):
        return [put(item, path[1:], value) if str(n) == path[0] else item for n, item in enumerate(document)]
    assert isinstance(document, dict)
    return document | {path[0]: put(document[path[0]], path[1:], value)}


WHOLE = JobSpec.model_validate({
    **BASE,
    "labels": {"x": "y"},
    "optimizer": {"name": "sm3", "rules": [{"match": "*", "cover": {"kind": "slices"}}]},
}).model_dump(mode="json")
PLACES = sorted(set(strings(WHOLE)) - FREE)


@pytest.mark.parametrize("place", PLACES, ids=".".join)
def test_a_path_an_address_or_code_is_refused_wherever_a_name_is_expected(place: tuple[str, ...]) -> None:
    JobSpec.model_validate(WHOLE)
    for nasty in NASTY:
        with pytest.raises(ValidationError):
            JobSpec.model_validate(put(WHOLE, place, nasty))


def test_there_are_places_to_try() -> None:
    assert len(PLACES) >= 10
    assert ("recipe", "name") in PLACES


@pytest.mark.parametrize(
    "field", ["path", "url", "code", "entrypoint", "command", "env", "module", "checkpoint_path", "data"]
)
def test_no_field_takes_a_path_an_address_or_code(field: str) -> None:
    for nasty in NASTY[:4]:
        with pytest.raises(ValidationError):
            JobSpec.model_validate({**BASE, field: nasty})
        with pytest.raises(ValidationError):
            JobSpec.model_validate({"recipe": {"name": "language-model", field: nasty}})
        with pytest.raises(ValidationError):
            ComparisonSpec.model_validate({
                "base": BASE,
                "variants": [{"name": "a"}, {"name": "b", "change": {field: nasty}}],
            })


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from(PLACES), st.one_of(st.sampled_from(NASTY), st.text(max_size=40)))
def test_a_string_is_a_listed_name_or_refused(place: tuple[str, ...], text: str) -> None:
    try:
        spec = JobSpec.model_validate(put(WHOLE, place, text))
    except ValidationError:
        return
    # What was let in is one of a closed set: it survives as it is and holds nothing of a path.
    assert not set(text) & set("/\\:~%$`{}<>\0")
    assert JobSpec.model_validate(spec.model_dump(mode="json")) == spec

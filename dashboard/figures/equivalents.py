"""The same launch as curl, Python and command line. None of them ever holds a token."""

from __future__ import annotations

import json
import pprint
import shlex
from dataclasses import dataclass

from dashboard.figures.paths import Json, flatten, nest
from sm3.remote.comparison_specs import ComparisonSpec
from sm3.remote.demo import DEMO
from sm3.remote.job_specs import JobSpec
from sm3.remote.optimizer_specs import Sm3Spec


@dataclass(frozen=True)
class Equivalents:
    """One launch in three tongues."""

    curl: str
    python: str
    cli: str


def equivalents(spec: JobSpec, url: str) -> Equivalents:
    """Returns how to launch ``spec`` at the service ``url``, naming only what differs from the defaults."""
    body = body_of(spec)
    return Equivalents(curl=_curl(body, url), python=_python(body), cli=_cli(spec))


def cloned(job_id: str, patch: dict[str, Json], url: str) -> Equivalents:
    """Returns how to launch a job like ``job_id``, changed by the merge patch ``patch``, at the service ``url``."""
    settings = [f"--set {shlex.quote(f'{path}={_plain(value)}')}" for path, value in flatten(patch).items()]
    return Equivalents(
        curl=_curl({"change": patch}, url, f"/v1/jobs/{job_id}/clone"),
        python=(
            "from sm3.remote.client import Client\n"
            "from sm3.remote.job_specs import CloneSpec\n\n"
            f"wanted = CloneSpec(change=\n    {_literal(patch)}\n)\n"
            "with Client.from_settings() as client:\n"
            f'    print(client.clone("{job_id}", wanted).id)'
        ),
        cli=" \\\n  ".join([f"sm3 clone {job_id}", *settings]),
    )


def race_equivalents(spec: ComparisonSpec, url: str) -> Equivalents:
    """Returns how to launch the comparison ``spec`` at the service ``url``, naming of its base only what it changes."""
    body: dict[str, Json] = {
        "base": body_of(spec.base),
        "variants": [variant.model_dump(mode="json") for variant in spec.variants],
        "seeds": list(spec.effective_seeds),
    }
    if spec.label:
        body["label"] = spec.label
    text = json.dumps(body, indent=2)
    return Equivalents(
        curl=_curl(body, url, "/v1/comparisons"),
        python=_python(body, "comparison_specs", "ComparisonSpec", "compare"),
        cli=f"sm3 compare - --watch <<'JSON'\n{text}\nJSON",
    )


def changes(spec: JobSpec) -> dict[str, Json]:
    """Returns the fields of ``spec`` that differ from the defaults, by dotted path, and the recipe's name.

    >>> changes(JobSpec(recipe={"name": "language-model"}, steps=500))
    {'recipe.name': 'language-model', 'steps': 500}
    """
    base = flatten(_default(spec).model_dump(mode="json"))
    named: dict[str, Json] = {"recipe.name": spec.recipe.name}
    if spec.optimizer.name != DEMO.optimizer.name:
        named["optimizer.name"] = spec.optimizer.name
    given = flatten(spec.model_dump(mode="json"))
    return named | {path: value for path, value in given.items() if base.get(path, ...) != value}


def body_of(spec: JobSpec) -> dict[str, Json]:
    """Returns the smallest request body that means ``spec``: its changes, with each variant named."""
    leaves = changes(spec)
    if any(path.startswith("optimizer.") for path in leaves):
        leaves["optimizer.name"] = spec.optimizer.name
    if isinstance(spec.optimizer, Sm3Spec) and any(path.startswith("optimizer.cover.") for path in leaves):
        leaves["optimizer.cover.kind"] = spec.optimizer.cover.kind
    order = sorted(
        leaves, key=lambda path: (not path.startswith("recipe"), not path.endswith((".name", ".kind")))
    )
    return nest({path: leaves[path] for path in order})


def _default(spec: JobSpec) -> JobSpec:
    """Returns a job of the same recipe and optimizer with everything else at its default."""
    return JobSpec.model_validate({
        "recipe": {"name": spec.recipe.name},
        "optimizer": {"name": spec.optimizer.name},
    })


def _curl(body: dict[str, Json], url: str, path: str = "/v1/jobs") -> str:
    return " \\\n  ".join([
        f"curl -sS {url}{path}",
        '-H "Authorization: Bearer $SM3_TOKEN"',
        "-H 'Content-Type: application/json'",
        f"-d {shlex.quote(json.dumps(body))}",
    ])


def _python(
    body: dict[str, Json], module: str = "job_specs", model: str = "JobSpec", call: str = "launch"
) -> str:
    return (
        "from sm3.remote.client import Client\n"
        f"from sm3.remote.{module} import {model}\n\n"
        f"spec = {model}.model_validate(\n    {_literal(body)}\n)\n"
        "with Client.from_settings() as client:\n"
        f"    print(client.{call}(spec).id)"
    )


def _literal(body: dict[str, Json]) -> str:
    return pprint.pformat(body, width=72, sort_dicts=False).replace("\n", "\n    ")


def _cli(spec: JobSpec) -> str:
    settings = [
        f"--set {shlex.quote(f'{path}={_plain(value)}')}"
        for path, value in changes(spec).items()
        if path != "recipe.name"
    ]
    return " \\\n  ".join([f"sm3 launch {spec.recipe.name}", *settings])


def _plain(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)

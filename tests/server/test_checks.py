"""Jobs that do not fit their model are refused before they are queued, with every fault named."""

from __future__ import annotations

import httpx
import pytest

from server.checks import job_faults
from sm3.remote.client import ServiceError
from sm3.remote.job_specs import JobSpec
from tests.conftest import RunningService

UNFIT = {
    "recipe": {"name": "language-model", "size": "tiny"},
    "optimizer": {
        "name": "sm3",
        "cover": {"kind": "blocks", "tile": [8, 8, 8]},
        "rules": [
            {"match": "token_embedding.*", "cover": {"kind": "explicit", "shape": [1, 1], "sets": [[0]]}},
            {"match": "nowhere.*", "cover": {"kind": "whole"}},
        ],
    },
    "record": {
        "truth": ["*embedding*", "absent"],
        "truth_limit_bytes": 1000,
        "shadows": [{"cover": {"kind": "reshaped", "view": [7, -1], "inner": {"kind": "slices"}}}],
    },
}


def test_every_fault_is_found_at_once() -> None:
    fields = {fault.field for fault in job_faults(JobSpec.model_validate(UNFIT))}
    assert {
        "optimizer.cover",
        "optimizer.rules.0.cover",
        "optimizer.rules.1.match",
        "record.truth",
        "record.truth.1",
        "record.shadows.0.cover",
    } <= fields


def test_a_job_that_fits_has_no_faults() -> None:
    fit = {
        "recipe": {"name": "language-model"},
        "optimizer": {"rules": [{"match": "*embed*", "cover": {"kind": "slices", "dims": [0]}}]},
        "record": {"truth": ["*"], "shadows": [{"cover": {"kind": "whole"}}]},
    }
    assert job_faults(JobSpec.model_validate({**fit, "optimizer": {"name": "sm3", **fit["optimizer"]}})) == []


@pytest.mark.parametrize("recipe", [{"name": "language-model", "size": "gpt2-small"}, {"name": "images"}])
def test_defaults_fit_every_recipe(recipe: dict[str, str]) -> None:
    assert job_faults(JobSpec.model_validate({"recipe": recipe})) == []


def test_an_unfit_job_is_answered_with_all_of_it_and_not_queued(service: RunningService) -> None:
    with service.client as client:
        before = len(client.jobs().items)
        with pytest.raises(ServiceError) as caught:
            client.launch(JobSpec.model_validate(UNFIT))
        assert caught.value.problem.status == 422
        assert len(caught.value.problem.errors) >= 6
        assert len(client.jobs().items) == before


def test_unknown_probes_are_answered_with_those_there_are(http: httpx.Client) -> None:
    body = {"recipe": {"name": "language-model"}, "record": {"probes": ["nonsense"], "every": 0}}
    answer = http.post("/v1/jobs", json=body)
    assert answer.status_code == 422
    told = {error["field"]: error["allowed"] for error in answer.json()["errors"]}
    assert "tightness" in told["record.probes.0"]
    assert "record.every" in told


def test_statistics_are_listed_with_meaning_unit_and_cost(http: httpx.Client) -> None:
    items = http.get("/v1/statistics").json()["items"]
    by_name = {item["name"]: item for item in items}
    assert by_name["tightness"]["unit"] == "bits"
    assert by_name["tightness"]["default"]
    assert not by_name["poison"]["default"]
    assert all(item["meaning"] and item["cost"] and item["memory"] for item in items)

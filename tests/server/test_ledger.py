"""The ledger over REST, and a job's predicted bytes beside its measured ones."""

from __future__ import annotations

import subprocess
import sys
import time

import httpx
import pytest

from server.examples import LEDGER_EXAMPLES
from server.job_ledger import job_ledger
from sm3.ledger import answer, predict
from sm3.ledger.catalogue import names
from sm3.remote.job_specs import JobSpec
from sm3.remote.ledger_specs import LedgerSpec
from sm3.remote.wire import JobState, JobView, Manifest
from tests.conftest import RunningService, tiny_job
from tests.server.test_api import problem
from tests.test_cli import sm3


def test_rest_python_and_the_command_line_give_one_answer(service: RunningService) -> None:
    spec = LedgerSpec.model_validate({
        "model": "gpt2-xl",
        "optimizers": [{"name": "sm3", "momentum_dtype": "int8"}, "adamw"],
        "per_tensor": True,
        "fit": {"device_memory_bytes": 2**35},
    })
    with service.client as client:
        over_rest = client.ledger(spec)
    assert over_rest == answer(spec)
    arguments = ["gpt2-xl", "--momentum", "int8", "--vs", "adamw", "--tensors", "--memory", "32GiB", "--json"]
    printed = sm3("ledger", *arguments)
    assert type(over_rest).model_validate_json(printed.stdout) == over_rest


@pytest.mark.parametrize("example", LEDGER_EXAMPLES)
def test_openapi_shows_examples_that_are_answered(http: httpx.Client, example: str) -> None:
    shown = http.get("/openapi.json").json()["paths"]["/v1/ledger"]["post"]["requestBody"]
    assert shown["content"]["application/json"]["examples"] == LEDGER_EXAMPLES
    body = LEDGER_EXAMPLES[example]["value"]
    response = http.post("/v1/ledger", json=body)
    assert response.status_code == 200, response.text
    assert len(response.json()["ledgers"]) == len(body["optimizers"])


def test_an_empty_request_for_a_model_compares_sm3_with_adamw(http: httpx.Client) -> None:
    found = http.post("/v1/ledger", json={"model": "bert-large"}).json()["ledgers"]
    assert [one["total"]["state_bytes"] for one in found] == [1_348_255_448, 2_689_810_456]


def test_a_recipe_is_asked_for_as_a_job_has_it(http: httpx.Client) -> None:
    body = {"recipe": {"name": "language-model", "tied": True}, "optimizers": ["adagrad"]}
    found = http.post("/v1/ledger", json=body).json()
    assert found["model"]["num_parameters"] == 929_280 - 2048 * 128


BAD = [
    ({"model": "bert-larg"}, {"model": "did you mean 'bert-large'"}),
    ({"model": "bert-large", "optimizers": ["adamv"]}, {"optimizers.0": "did you mean 'adamw'"}),
    ({"model": "bert-large", "optimizers": [{"name": "adamv"}]}, {"optimizers.0": "did you mean 'adamw'"}),
    ({"model": "bert-large", "optimizers": [{"name": "sm3", "momentum": 2}]}, {"optimizers.0.momentum": "less than 1"}),
    ({"model": "bert-large", "optimizers": []}, {"body": "must not be empty"}),
    ({}, {"body": "exactly one of model, tensors, recipe"}),
    ({"model": "bert-large", "tensors": [{"name": "a", "shape": [2]}]}, {"body": "exactly one of"}),
    (
        {"tensors": [{"name": "a", "shape": [-1, 3]}, {"name": "b", "shape": [2**60]}, {"name": "", "shape": [1.5]}]},
        {
            "tensors.0.shape.0": "greater than or equal to 0",
            "tensors.1.shape.0": "less than or equal to 1099511627776",
            "tensors.2.name": "at least 1 character",
            "tensors.2.shape.0": "valid integer",
        },
    ),
    ({"tensors": [{"name": "a", "shape": [2**30, 2**30]}]}, {"tensors.0": "at most 2^50"}),
    ({"tensors": [{"name": "a", "shape": [2]}, {"name": "a", "shape": [3]}]}, {"body": "named twice: 'a'"}),
    ({"tensors": [{"name": "a", "shape": [2], "dtype": "int8"}]}, {"tensors": "floating-point"}),
    (
        {
            "model": "gpt2-small",
            "optimizers": [
                {"name": "sm3", "cover": {"kind": "blocks", "tile": [2, 2, 2]}},
                {"name": "sm3", "rules": [{"match": "*nothing*", "cover": {"kind": "whole"}}]},
                {"name": "sm3", "cover": {"kind": "slices", "dims": [4]}},
            ],
        },
        {
            "optimizers.0.cover": "cover tensors of rank 3",
            "optimizers.1.rules.0.match": "a glob that matches a tensor",
            "optimizers.2.cover": "slices along dim 4",
        },
    ),
    ({"model": "resnet-50", "weights": "int8", "gradients": "bool"}, {"weights": "bf16", "gradients": "bf16"}),
    (
        {
            "tensors": [{"name": f"t{k}", "shape": [2]} for k in range(5000)],
            "optimizers": ["lion"] * 11,
            "per_tensor": True,
        },
        {"per_tensor": "at most 50,000 lines"},
    ),
    (
        {
            "tensors": [{"name": f"t{k}", "shape": [2**40 - k]} for k in range(5)],
            "optimizers": [{"name": "sm3", "rules": [{"match": "t*", "cover": {
                "kind": "reshaped", "view": "square", "inner": {"kind": "slices"}}}]}],
        },
        {"optimizers.0.cover": "trial divisions"},
    ),
    ({"model": "resnet-50", "fit": {"device_memory_bytes": 1}}, {"fit.activation_bytes_per_sample": "no estimate"}),
    ({"model": "resnet-50", "fit": {"device_memory_bytes": 0}}, {"fit.device_memory_bytes": "greater than"}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "told"), BAD)
def test_every_fault_is_told_once_and_there_is_no_partial_table(
    http: httpx.Client, body: dict, told: dict[str, str]
) -> None:
    found = problem(http.post("/v1/ledger", json=body), 422)
    errors = {fault["field"]: fault["allowed"] for fault in found["errors"]}
    assert set(errors) == set(told)
    assert len(found["errors"]) == len(told)
    for field, words in told.items():
        assert words in errors[field]
    assert "ledgers" not in found


def test_models_tell_their_published_size_and_provenance(service: RunningService) -> None:
    with service.client as client:
        models = {one.name: one for one in client.models()}
    assert tuple(models) == names()
    assert models["llama-3-70b"].num_parameters == 70_553_706_496
    assert "LlamaForCausalLM" in models["llama-3-70b"].provenance


def test_a_finished_jobs_state_is_what_was_predicted_to_the_byte(
    service: RunningService, done: JobView, http: httpx.Client
) -> None:
    with service.client as client:
        found = client.job_ledger(done.id)
        series = client.metrics(done.id).series
    assert found.difference_bytes == 0
    assert found.measured.state_bytes == found.predicted.total.state_bytes == done.memory.state_bytes
    assert found.measured.accumulators_bytes == found.predicted.total.accumulators_bytes
    assert found.adamw.total.state_bytes == predict("language-model-tiny", "adamw").total.state - 8 * 128 * (
        64 - 16
    )
    assert set(series["memory_state_bytes"].values) == {done.memory.state_bytes}
    assert 0 < found.measured.rss_bytes <= found.measured.peak_rss_bytes
    assert series["memory_peak_rss_bytes"].values[-1] == found.measured.peak_rss_bytes
    names_ = [finding.name for finding in found.findings]
    assert names_ == ["process-dominates", "fp32-momentum"]
    assert all(finding.numbers and finding.remedy for finding in found.findings)
    problem(http.get("/v1/jobs/nobody/ledger"), 404)


def test_a_queued_job_has_a_prediction_and_nothing_measured(service: RunningService) -> None:
    with service.client as client:
        running, queued = (
            client.launch(tiny_job(steps=100_000)),
            client.launch(tiny_job(optimizer={"name": "adamw"})),
        )
        found = client.job_ledger(queued.id)
        for job in (queued, running):
            client.cancel(job.id)
        service.wait_for(running.id, lambda job: job.state.is_final)
    assert (found.measured, found.difference_bytes, found.findings) == (None, None, ())
    assert found.predicted.total == found.adamw.total


@pytest.mark.parametrize(
    "optimizer",
    [
        {"name": "adafactor"},
        {"name": "sm3", "momentum_dtype": "int8"},
        {"name": "sm3", "momentum": 0.0, "cover": {"kind": "advise", "budget_bytes": 120_000, "steps": 2}},
    ],
    ids=lambda optimizer: f"{optimizer['name']}-{len(optimizer)}",
)
def test_every_optimizer_of_a_job_holds_what_its_ledger_predicts(
    service: RunningService, optimizer: dict
) -> None:
    with service.client as client:
        job = client.launch(tiny_job(optimizer=optimizer, steps=3))
        service.wait_for(job.id, JobState.SUCCEEDED)
        assert client.job_ledger(job.id).difference_bytes == 0


def test_an_advised_job_is_predicted_with_slices_until_it_has_been_advised() -> None:
    asked = {"name": "sm3", "momentum": 0.0, "cover": {"kind": "advise", "budget_bytes": 120_000}}
    spec = JobSpec.model_validate({"recipe": {"name": "language-model"}, "optimizer": asked})
    slices = predict("language-model-tiny", {"name": "sm3", "momentum": 0}).total.state
    assert job_ledger(spec, None, {}).predicted.total.state_bytes == slices


def test_on_cuda_torchs_optimizers_step_all_tensors_at_once() -> None:
    spec = JobSpec.model_validate({"recipe": {"name": "language-model"}, "optimizer": {"name": "adamw"}})
    memory = dict.fromkeys(
        ("num_parameters", "parameter_bytes", "accumulator_bytes", "momentum_bytes", "state_bytes"), 1
    ) | {"adam_bytes": 1, "adagrad_bytes": 1}  # fmt: skip
    manifest = Manifest.model_validate({
        "attempt": 1,
        "tensors": (),
        "memory": memory,
        "device": "NVIDIA H100",
    })
    newest = {
        "memory_cuda_peak_bytes": 2.0**33,
        "memory_cuda_reserved_bytes": 2.0**34,
        "memory_cuda_allocated_bytes": 5.0,
    }
    found = job_ledger(spec, manifest, newest)
    assert found.predicted.total.transient_bytes == 4 * 929_280
    assert found.difference_bytes == 1 - found.predicted.total.state_bytes
    told = [finding.name for finding in found.findings]
    assert told == ["state-differs", "activations-dominate", "foreach-temporaries", "allocator-caching"]


def test_the_service_answers_in_milliseconds_and_loads_no_torch(http: httpx.Client) -> None:
    body = {"model": "llama-3-70b", "optimizers": ["sm3", "adamw", "adafactor", "adamw8bit"]}
    http.post("/v1/ledger", json=body)
    started = time.perf_counter()
    assert http.post("/v1/ledger", json=body).status_code == 200
    assert time.perf_counter() - started < 5  # 10 ms here; torch alone would take seconds to load
    code = "import sys, server.app, server.job_ledger; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

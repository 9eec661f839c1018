"""Simulations over REST, and the process with torch beside a service that has none."""

from __future__ import annotations

import signal
import time

import anyio
import httpx
import psutil
import pytest

from server.problems import Refusal
from server.simulation_examples import SCHEDULE_EXAMPLES, SIMULATION_EXAMPLES
from server.torch_process import TorchProcess
from sm3.remote.simulation_specs import ScheduleSpec, SimulationSpec
from sm3.simulation import simulate
from tests.conftest import RunningService
from tests.server.test_api import problem

TWO_STEPS = SIMULATION_EXAMPLES["two-steps"]["value"]


@pytest.mark.parametrize("example", SIMULATION_EXAMPLES)
def test_openapi_shows_simulations_that_are_answered_as_in_python(
    http: httpx.Client, service: RunningService, example: str
) -> None:
    shown = http.get("/openapi.json").json()["paths"]["/v1/simulations"]["post"]["requestBody"]
    assert shown["content"]["application/json"]["examples"] == SIMULATION_EXAMPLES
    spec = SimulationSpec.model_validate(SIMULATION_EXAMPLES[example]["value"])
    with service.client as client:
        assert client.simulate(spec) == simulate(spec)


def test_a_schedule_is_that_of_training_and_the_circulating_one_is_told_apart(
    http: httpx.Client, service: RunningService
) -> None:
    shown = http.get("/openapi.json").json()["paths"]["/v1/schedules"]["post"]["requestBody"]
    assert shown["content"]["application/json"]["examples"] == SCHEDULE_EXAMPLES
    spec = ScheduleSpec(lr=1.0, total_steps=8, warmup=0.5, power=2)
    with service.client as client:
        found = client.schedule(spec)
    assert found.lr == (1 / 16, 1 / 4, 9 / 16, 1, 1, 1, 1, 1)
    assert found.upside_down == pytest.approx((1, 1, 1, 1, 16 / 25, 16 / 36, 16 / 49, 16 / 64))


BAD = [
    ({"shape": [0]}, "shape.0"),
    ({"shape": [2, 2, 2, 2]}, "shape"),
    ({"shape": [1024, 2]}, "body"),
    ({"gradients": []}, "gradients"),
    ({"gradients": [[1, 2]]}, "body"),
    ({"gradients": [[1e300] * 6]}, "gradients.0.0"),
    ({"gradients": [["x"] * 6]}, "gradients.0.0"),
    ({"covers": []}, "covers"),
    ({"covers": [{"kind": "rows"}]}, "covers.0.kind"),
    ({"covers": [{"kind": "whole"}, {"kind": "slices", "dims": [5]}]}, "covers.1"),
    ({"covers": [{"kind": "explicit", "shape": [2, 3], "sets": [[0]]}]}, "covers.0"),
    ({"covers": [{"kind": "explicit", "shape": [2, 3], "sets": [[]] * 20_000}]}, "covers.0"),
    ({"shape": [1024], "gradients": [[1.0] * 1024] * 60, "covers": [{"kind": "singletons"}]}, "gradients"),
    ({"variant": "III"}, "variant"),
    ({"lr": 0}, "lr"),
    ({"momentum": 0.9}, "momentum"),
]


@pytest.mark.parametrize(("change", "field"), BAD)
def test_what_cannot_be_simulated_is_named(http: httpx.Client, change: dict[str, object], field: str) -> None:
    found = problem(http.post("/v1/simulations", json=TWO_STEPS | change), 422)
    assert field in {fault["field"] for fault in found["errors"]}, found


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_number_is_refused(http: httpx.Client, word: str) -> None:
    body = f'{{"shape": [1], "gradients": [[{word}]], "covers": [{{"kind": "whole"}}]}}'
    answer = http.post("/v1/simulations", content=body, headers={"Content-Type": "application/json"})
    found = problem(answer, 422)
    assert found["errors"][0]["field"] in {"gradients.0.0", "body"}


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
def test_the_service_loads_no_torch_and_leaves_no_process(
    own_service: RunningService, sig: signal.Signals
) -> None:
    with own_service.client as client:
        client.simulate(SimulationSpec.model_validate(TWO_STEPS))
    assert own_service.process
    here = psutil.Process(own_service.process.pid)
    beside = [child for child in here.children(recursive=True) if "anyio.to_process" in child.cmdline()]
    assert len(beside) == 1
    assert _holds_torch(beside[0])
    assert not _holds_torch(here)
    own_service.stop(sig)
    # After SIGKILL it reads the end of its pipe and leaves by itself; taking torch down takes a busy machine seconds.
    _, alive = psutil.wait_procs(beside, timeout=5 if sig is signal.SIGTERM else 60)
    assert not alive


def _holds_torch(process: psutil.Process) -> bool:
    return any("libtorch" in mapped.path for mapped in process.memory_maps())


def nap(seconds: float) -> bytes:
    """What a process beside a test is asked for."""
    time.sleep(seconds)
    return b"slept"


def test_what_takes_too_long_is_given_up_and_its_process_ended() -> None:
    async def ask() -> None:
        before = set(psutil.Process().children())
        assert await TorchProcess().run(nap, 0.0) == b"slept"
        (child,) = set(psutil.Process().children()) - before
        with pytest.raises(Refusal) as refused:
            await TorchProcess(limit_s=1).run(nap, 60.0)
        assert (refused.value.problem.status, "more than 1 s" in refused.value.problem.detail) == (503, True)
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE

    anyio.run(ask)


def test_who_loses_patience_does_not_stop_what_others_wait_for() -> None:
    async def ask() -> None:
        beside = TorchProcess(patience_s=0.05)
        before = set(psutil.Process().children())
        with pytest.raises(Refusal) as refused:
            await beside.run(nap, 0.5)
        assert refused.value.problem.status == 503
        for _ in range(600):
            if set(psutil.Process().children()) - before and not beside.is_busy:
                break
            await anyio.sleep(0.1)
        assert await TorchProcess().run(nap, 0.0) == b"slept"
        assert len(set(psutil.Process().children()) - before) == 1, "the process was kept"

    anyio.run(ask)


def test_after_its_process_has_ended_the_next_question_starts_another() -> None:
    async def ask() -> None:
        before = set(psutil.Process().children())
        beside = TorchProcess()
        await beside.run(nap, 0.0)
        (child,) = set(psutil.Process().children()) - before
        child.kill()
        assert await beside.run(nap, 0.0) == b"slept"

    anyio.run(ask)

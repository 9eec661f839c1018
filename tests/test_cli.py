"""The command line as a user meets it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from sm3.cli import app, spec_from
from sm3.progress import show_bytes
from sm3.remote.client import Client
from sm3.remote.demo import DEMO
from sm3.remote.job_specs import JobSpec
from sm3.remote.wire import JobState, JobView
from tests.conftest import RunningService, free_port, tiny_job


def sm3(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SM3_")}
    return subprocess.run(
        [sys.executable, "-m", "sm3.cli", *arguments],
        env=kept | {"NO_COLOR": "1", "COLUMNS": "140"} | environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def at(service: RunningService) -> dict[str, str]:
    return {"SM3_URL": service.url, "SM3_DATA_DIR": str(service.data_dir)}


def test_assignments_become_a_job() -> None:
    body = spec_from(
        "language-model",
        ["recipe.size=small", "optimizer.lr=0.2", "steps=7", 'optimizer.cover={"kind":"slices","dims":[0]}'],
    )
    spec = JobSpec.model_validate(body)
    assert (spec.recipe.size, spec.optimizer.lr, spec.steps) == ("small", 0.2, 7)
    assert spec.optimizer.name == "sm3"


@pytest.mark.parametrize("wrong", ["steps", "=5", "recipe.name.x=1"])
def test_an_assignment_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(typer.BadParameter, match="--set"):
        spec_from("language-model", [wrong])


def test_the_demo_trains_as_a_default_job_does_and_records_more() -> None:
    default = JobSpec.model_validate({"recipe": {"name": "language-model"}})
    assert DEMO.model_copy(update={"labels": {}, "record": default.record}) == default
    assert set(DEMO.record.probes) > set(default.record.probes)


@pytest.mark.parametrize(
    ("size", "shown"), [(0, "0 B"), (1023, "1023 B"), (48896, "47.8 KiB"), (2**40 * 3, "3.0 TiB")]
)
def test_bytes_are_shown_in_binary_units(size: int, shown: str) -> None:
    assert show_bytes(size) == shown


def test_launch_watch_list_and_cancel(service: RunningService) -> None:
    settings = ["recipe.batch_size=2", "recipe.context=16", "steps=20", "record.every=5"]
    arguments = [part for setting in settings for part in ("--set", setting)]
    launched = sm3("launch", "language-model", *arguments, **at(service))
    assert launched.returncode == 0, launched.stderr
    job_id = launched.stdout.strip()
    watched = sm3("watch", job_id, **at(service))
    assert watched.returncode == 0, watched.stderr
    assert "succeeded: all 20 steps done" in watched.stdout
    assert "Adam would hold" in watched.stdout
    listed = sm3("list", **at(service))
    assert job_id[-8:] in listed.stdout
    late = sm3("cancel", job_id[-12:], **at(service))
    assert late.returncode == 1
    assert "cannot become cancelling" in late.stderr
    with service.client as client:
        long = client.launch(tiny_job(steps=100_000))
        cancelled = sm3("cancel", "latest", **at(service))
        assert cancelled.stdout.startswith(long.id)
        service.wait_for(long.id, lambda job: job.state.is_final)


def test_watching_a_job_that_did_not_succeed_exits_with_1(service: RunningService) -> None:
    with service.client as client:
        job = client.launch(tiny_job())
        client.cancel(job.id)
        service.wait_for(job.id, lambda j: j.state.is_final)
    assert sm3("watch", job.id, **at(service)).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["launch", "chess"], "language-model"),
        (["launch", "language-model", "--set", "steps=-1"], "greater than or equal to 1"),
        (["launch", "language-model", "--set", "stepz=1"], "stepz"),
    ],
)
def test_a_faulty_launch_is_refused_before_anything_is_sent(arguments: list[str], told: str) -> None:
    refused = sm3(*arguments, SM3_URL="http://127.0.0.1:9")
    assert refused.returncode == 2
    assert told in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr


def test_without_a_service_every_command_says_what_to_do() -> None:
    for command in (["list"], ["watch"], ["cancel", "x"], ["launch", "language-model"]):
        refused = sm3(*command, SM3_URL="http://127.0.0.1:9")
        assert refused.returncode == 1
        assert "Start it with `sm3 up`" in refused.stderr
        assert "Traceback" not in refused.stderr


def test_a_misspelt_setting_is_warned_about_with_the_right_name() -> None:
    refused = sm3("list", SM3_ULR="http://127.0.0.1:9", SM3_URL="http://127.0.0.1:9")
    assert "SM3_ULR sets nothing. Is SM3_URL meant?" in refused.stderr


def test_the_token_is_printed_for_curl(service: RunningService) -> None:
    assert sm3("token", **at(service)).stdout.strip() == service.token


def test_up_refuses_a_taken_port_in_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = sm3("up", "--no-dashboard", "--port", str(port), SM3_DATA_DIR=str(tmp_path))
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"Port {port} on 127.0.0.1 cannot be used")
    assert "--port" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_up_refuses_a_folder_it_cannot_write_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = sm3("up", "--no-dashboard", "--port", str(free_port()), SM3_DATA_DIR=str(tmp_path / "file"))
    assert refused.returncode == 1
    assert "cannot be written" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_up_refuses_a_folder_without_room_in_one_sentence(tmp_path: Path) -> None:
    room = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536)); "
    arguments = ["sm3", "up", "--no-dashboard", "--port", str(free_port())]
    run = f"sys.argv = {arguments}; runpy.run_module('sm3.cli', run_name='__main__')"
    refused = subprocess.run(
        [sys.executable, "-c", room + run],
        env=os.environ | {"SM3_DATA_DIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 1
    assert "cannot be written (File too large). Make room" in refused.stderr
    assert "Traceback" not in refused.stderr


@contextmanager
def sm3_up(folder: Path, cache_dir: Path) -> Iterator[tuple[subprocess.Popen[bytes], RunningService, Path]]:
    """`sm3 up --demo` as `make run` starts it, its service, and the file with its output."""
    port, dashboard_port = free_port(), free_port()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SM3_")} | {
        "SM3_DATA_DIR": str(folder / "data"),
        "SM3_CACHE_DIR": str(cache_dir),
    }
    command = [sys.executable, "-m", "sm3.cli", "up", "--demo", "--port", str(port), "--dashboard-port"]
    with (folder / "out").open("w") as out:
        process = subprocess.Popen([*command, str(dashboard_port)], env=environment, stdout=out, stderr=out)
    service = RunningService(folder / "data", cache_dir, port=port)
    try:
        yield process, service, folder / "out"
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def first_frame(service: RunningService, out: Path) -> JobView:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        if (service.data_dir / "token").exists():
            with Client(service.url, service.token) as client:
                if client.is_ready() and (jobs := client.jobs().items) and jobs[0].progress.frames > 2:
                    return jobs[0]
        time.sleep(0.2)
    raise AssertionError(out.read_text())


@pytest.fixture
def running_up(tmp_path: Path, cache_dir: Path):
    with sm3_up(tmp_path, cache_dir) as running:
        yield running


def test_up_runs_the_demo_and_ctrl_c_ends_every_process(running_up) -> None:
    process, service, out = running_up
    job = first_frame(service, out)
    worker = int((service.data_dir / "jobs" / job.id / "attempt-0.lock").read_text())
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0, out.read_text()
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
    for port in (service.port,):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert "Traceback" not in out.read_text()
    again = RunningService(
        service.data_dir, service.cache_dir, environment={"SM3_STOP_WORKERS_ON_EXIT": "true"}
    ).start()
    with again.client as client:
        kept = client.job(job.id)
        assert kept.state in {JobState.QUEUED, JobState.STARTING, JobState.RUNNING}, "it goes on"
        assert len(client.frames(job.id, limit=5000).items) >= kept.progress.frames > 0
    again.stop()


def test_a_job_is_held_noted_cloned_let_go_and_deleted(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SM3_URL", service.url)
    monkeypatch.setenv("SM3_TOKEN", service.token)
    with service.client as client:
        running = client.launch(tiny_job(steps=100_000))  # takes the slot
        held = client.launch(tiny_job(labels={"course": "cli"}))
        run = CliRunner().invoke
        for command, expected in (
            (["pause", held.id], "paused"),
            (["note", held.id[-8:], "look at the embedding"], "paused"),
            (["list", "--label", "course:cli", "--text", "Embedding"], held.id[-8:]),
            (["list", "--label", "course:cli", "--text", "nothing like it"], "No such jobs."),
            (["resume", held.id], "queued"),
            (["clone", held.id, "--set", "optimizer.lr=0.25"], "queued"),
        ):
            done = run(app, command)
            assert done.exit_code == 0, done.output
            assert expected in done.output
        clone = client.jobs(limit=1).items[0]
        assert (clone.cloned_from, clone.spec.optimizer.lr) == (held.id, 0.25)
        assert clone.labels == {"course": "cli"}
        for job in (held, clone, running):
            client.cancel(job.id)
        assert "paused" not in run(app, ["delete", held.id], input="n\n").stdout
        assert client.job(held.id).notes == "look at the embedding"
        assert run(app, ["delete", held.id, "--yes"]).exit_code == 0
        service.wait_for(running.id, JobState.CANCELLED)

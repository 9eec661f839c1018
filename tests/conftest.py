"""Fixtures shared by all tests: a real service in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sm3.remote.client import Client
from sm3.remote.job_specs import JobSpec
from sm3.remote.wire import JobState, JobView

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0  # how soon it is here, `python -m benchmarks.ending` tells
# Series that tell how fast a process was and how much it held; all others depend on the training alone.
OF_THE_PROCESS = frozenset({
    "step_s",
    "tokens_per_s",
    "forward_s",
    "backward_s",
    "optimizer_s",
    "probe_s",
    "memory_rss_bytes",
    "memory_peak_rss_bytes",
})


def free_port() -> int:
    """Returns a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class RunningService:
    """A service of our own: where it is, how to speak with it, and its process."""

    data_dir: Path
    cache_dir: Path
    port: int = field(default_factory=free_port)
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def token(self) -> str:
        return (self.data_dir / "token").read_text().strip()

    @property
    def client(self) -> Client:
        return Client(self.url, self.token, timeout_s=30.0)

    @property
    def log(self) -> str:
        return (self.data_dir / "service.log").read_text()

    def start(self) -> RunningService:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SM3_")} | {
            "SM3_PORT": str(self.port),
            "SM3_DATA_DIR": str(self.data_dir),
            "SM3_CACHE_DIR": str(self.cache_dir),
            "SM3_SLOTS": "1",
            "SM3_HEARTBEAT_S": "1",
            **self.environment,
        }
        with (self.data_dir / "service.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "server"],
                env=environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            with suppress(OSError), self.client as client:
                if client.is_ready():
                    return self
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.1)

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> int:
        """Stops the service; returns its exit status."""
        assert self.process is not None
        self.process.send_signal(sig)
        return self.process.wait(STOP_TIMEOUT_S)

    def wait_for(
        self, job_id: str, what: Callable[[JobView], bool] | JobState, timeout_s: float = 60.0
    ) -> JobView:
        """Waits until the job is in a state, or until ``what`` holds; fails with the job's own words."""
        deadline = time.monotonic() + timeout_s
        with self.client as client:
            while True:
                job = client.job(job_id)
                if job.state is what if isinstance(what, JobState) else what(job):
                    return job
                stuck = time.monotonic() > deadline or (isinstance(what, JobState) and job.state.is_final)
                assert not stuck, f"{job.state}: {job.cause}\n{client.log(job_id)}\n{self.log}"
                time.sleep(0.05)


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokenizers and encoded texts, made once for all services of the run."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Iterator[RunningService]:
    """One real service for all tests that only use it. Whoever launches jobs waits for them or cancels them."""
    running = RunningService(
        tmp_path_factory.mktemp("service"), cache_dir, environment={"SM3_STOP_WORKERS_ON_EXIT": "true"}
    ).start()
    yield running
    running.stop()
    assert "Traceback" not in running.log


@pytest.fixture
def own_service(tmp_path: Path, cache_dir: Path) -> Iterator[RunningService]:
    """A service for one test alone, which may kill and restart it."""
    running = RunningService(
        tmp_path / "data", cache_dir, environment={"SM3_STOP_WORKERS_ON_EXIT": "true"}
    ).start()
    yield running
    if running.process is not None and running.process.poll() is None:
        running.stop()


@pytest.fixture(autouse=True)
def threads_put_back() -> Iterator[None]:
    """Gives torch its number of threads back after a test that changed it: others measure what a step takes."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    yield
    if torch and torch.get_num_threads() != before:
        torch.set_num_threads(before)


def tiny_job(**changes: object) -> JobSpec:
    """Returns a job of seconds: the tiny model, few steps."""
    return JobSpec.model_validate({
        "recipe": {"name": "language-model", "batch_size": 2, "context": 16},
        "steps": 30,
        "record": {"every": 5},
        "validation": {"every": 1000},
        **changes,
    })


def worker_pid(service: RunningService, job_id: str) -> int:
    """Returns the process id of a job's newest worker, as the worker itself wrote it."""
    attempt = max(
        (service.data_dir / "jobs" / job_id).glob("attempt-*.lock"),
        key=lambda path: int(path.stem.removeprefix("attempt-")),
    )
    return int(attempt.read_text())

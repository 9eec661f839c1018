"""A real service in a process of its own, and jobs that are fed by hand instead of trained."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from server.auth import digest, new_ingest_token
from server.store import Database, JobStore
from sm3.remote.client import Client
from sm3.remote.frames import Frame, Point, Scalars, encode
from sm3.remote.job_specs import JobSpec
from sm3.remote.wire import Manifest, Memory

START_LIMIT_S = 60.0
JOB_SERIES = ("loss", "lr", "grad_norm", "tokens_per_s", "step_s", "frames_dropped")
TENSOR_SERIES = ("rate_p05", "rate_p50", "rate_p95", "zero_rows", "zero_cols", "untouched")


@dataclass
class Served:
    """A running service: where it is and what its process takes."""

    url: str
    data_dir: Path
    process: psutil.Process

    @property
    def token(self) -> str:
        """The admin token."""
        return (self.data_dir / "token").read_text().strip()

    def client(self) -> Client:
        """Returns a client with every right."""
        return Client(self.url, self.token, timeout_s=30.0)

    def rss_mib(self) -> float:
        """Resident memory in MiB."""
        return float(self.process.memory_info().rss) / 2**20

    def cpu_s(self) -> float:
        """CPU seconds so far, user and system."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def serving(data_dir: Path, **settings: str) -> Iterator[Served]:
    """Runs ``python -m server`` without slots on a free loopback port; ``settings`` are ``SM3_…`` variables."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data_dir.mkdir(parents=True, exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SM3_")}
    given = {"PORT": str(port), "DATA_DIR": str(data_dir), "SLOTS": "0", **settings}
    environment |= {f"SM3_{name}": value for name, value in given.items()}
    with (data_dir / "service.log").open("ab") as log:
        started = subprocess.Popen(
            [sys.executable, "-m", "server"],
            env=environment,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
    try:
        served = Served(f"http://127.0.0.1:{port}", data_dir, psutil.Process(started.pid))
        deadline = time.monotonic() + START_LIMIT_S
        while True:
            with suppress(OSError), served.client() as client:
                if client.is_ready():
                    break
            if started.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((data_dir / "service.log").read_text())
            time.sleep(0.1)
        yield served
    finally:
        started.terminate()
        started.wait(20)


def running_job(served: Served, spec: JobSpec | None = None) -> tuple[str, str]:
    """Makes a job that runs without a worker; returns its id and the ingest token of its first attempt."""
    token = new_ingest_token()
    database = Database(f"sqlite:///{served.data_dir / 'store.sqlite3'}")
    jobs = JobStore(database)
    jobs.create(spec or JobSpec.model_validate({"recipe": {"name": "language-model"}, "steps": 100_000}))
    job = jobs.claim(digest(token))
    database.close()
    assert job is not None
    with Client(served.url, token) as client:
        client.put_manifest(job.id, Manifest(attempt=job.attempt, tensors=(), memory=NO_MEMORY))
    return job.id, token


NO_MEMORY = Memory(
    num_parameters=0,
    parameter_bytes=0,
    accumulator_bytes=0,
    momentum_bytes=0,
    state_bytes=0,
    adam_bytes=0,
    adagrad_bytes=0,
)


def make_frame(job_id: str, seq: int, *, size_bytes: int, attempt: int = 0, tensors: int = 20) -> bytes:
    """Returns a frame of about ``size_bytes`` with the scalars that a small model's frame has."""
    rng = np.random.default_rng(seq)
    step = 10 * (seq + 1)
    points = [Point(name, step, float(rng.random())) for name in JOB_SERIES]
    points += [
        Point(f"{name}/blocks.{i}.weight", step, float(rng.random()))
        for i in range(tensors)
        for name in TENSOR_SERIES
    ]
    scalar_bytes = 20 * len(points)
    length = max(1, (size_bytes - scalar_bytes) // (4 * tensors))
    arrays = {
        f"accumulators/dim0/blocks.{i}.weight": rng.random(length, dtype=np.float32) for i in range(tensors)
    }
    return encode(Frame(job_id, attempt, seq, step, time.time(), arrays, Scalars.from_points(points)))

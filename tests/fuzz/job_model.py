"""What the state machine plays with: bodies, workers that are puppets, and what a client believes of the service."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from server.execution.base import Ask, Ended, Executor, Launch
from sm3.remote.wire import JobState, Manifest, Memory

SLOTS = 2
RETRIES = 1
BODY = {
    "recipe": {"name": "language-model", "batch_size": 2, "context": 16},
    "steps": 5,
    "retry": {"attempts": RETRIES, "backoff_s": 0},
}
MANIFEST = Manifest(
    attempt=0,
    tensors=(),
    memory=Memory(
        num_parameters=1,
        parameter_bytes=4,
        accumulator_bytes=4,
        momentum_bytes=0,
        state_bytes=4,
        adam_bytes=8,
        adagrad_bytes=4,
    ),
)
FAULTS: list[dict[str, Any]] = [
    {},
    {**BODY, "steps": 0},
    {**BODY, "unknown": 1},
    {**BODY, "recipe": {"name": "../x"}},
    {**BODY, "seed": -1},
    {**BODY, "labels": {"Bad Key": "x"}},
]


class Puppets(Executor):
    """Workers that live until a rule ends them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.launched: dict[tuple[str, int], Launch] = {}
        self.ended: dict[tuple[str, int], Ended] = {}

    def submit(self, launch: Launch) -> None:
        self.launched[launch.job_id, launch.attempt] = launch

    def poll(self, job_id: str, attempt: int) -> Ended | None:
        return self.ended.get((job_id, attempt))

    def stop(self, job_id: str, attempt: int, ask: Ask) -> None:
        self.ended.setdefault((job_id, attempt), Ended("the worker process was killed by SIGTERM"))

    def memory_bytes(self, job_id: str, attempt: int) -> int:
        return 0

    def checkpoints_dir(self, job_id: str) -> Path:
        return self.folder / job_id / "checkpoints"

    def forget(self, job_id: str, attempt: int) -> None: ...

    def spool_dir(self, job_id: str) -> Path:
        return self.folder / job_id

    def outcome_file(self, job_id: str, attempt: int) -> Path:
        return self.folder / f"{job_id}-{attempt}.outcome"


@dataclass
class Model:
    """What a client believes of the service: each job's state, oldest first, and its frames."""

    jobs: dict[str, JobState] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    frames: dict[str, set[tuple[int, int]]] = field(default_factory=dict)
    comparisons: dict[str, list[str]] = field(default_factory=dict)
    keys: dict[str, tuple[str, int]] = field(default_factory=dict)

"""An executor whose workers do as they are told."""

from __future__ import annotations

from pathlib import Path

from server.execution.base import Ask, Ended, Executor, Launch


class Puppets(Executor):
    """Workers that live until they are told to end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.alive: set[str] = set()
        self.told: list[tuple[str, Ask]] = []
        self.refuse: OSError | None = None
        self.used_bytes = 0
        self.attempts: list[int] = []

    def submit(self, launch: Launch) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.alive.add(launch.job_id)
        self.attempts.append(launch.attempt)

    def poll(self, job_id: str, attempt: int) -> Ended | None:
        return None if job_id in self.alive else Ended("the worker process ended with exit status 7")

    def stop(self, job_id: str, attempt: int, ask: Ask) -> None:
        self.told.append((job_id, ask))
        if ask is Ask.KILL:
            self.alive.discard(job_id)

    def memory_bytes(self, job_id: str, attempt: int) -> int:
        return self.used_bytes

    def forget(self, job_id: str, attempt: int) -> None: ...

    def spool_dir(self, job_id: str) -> Path:
        return self.folder / job_id

    def checkpoints_dir(self, job_id: str) -> Path:
        return self.folder / job_id / "checkpoints"

    def outcome_file(self, job_id: str, attempt: int) -> Path:
        return self.folder / f"{job_id}-{attempt}.outcome"

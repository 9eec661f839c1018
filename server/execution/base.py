"""The seam between the supervisor and whatever runs workers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


@dataclass(frozen=True)
class Launch:
    """What a worker is started with; everything else it asks the service for."""

    job_id: str
    attempt: int
    ingest_token: str


class Ask(StrEnum):
    """What is asked of a worker: to write a checkpoint and make way, to end for good, or nothing any more."""

    PAUSE = "pause"
    CANCEL = "cancel"
    KILL = "kill"


@dataclass(frozen=True)
class Ended:
    """A worker that is gone, and how it went, in words."""

    how: str


class Executor(ABC):
    """Starts, watches and stops workers. Every method returns at once."""

    @abstractmethod
    def submit(self, launch: Launch) -> None:
        """Starts a worker. Raises `OSError` if it cannot be started."""

    @abstractmethod
    def poll(self, job_id: str, attempt: int) -> Ended | None:
        """Returns None while the worker lives, also one that an earlier service started."""

    @abstractmethod
    def stop(self, job_id: str, attempt: int, ask: Ask) -> None:
        """Asks a worker to stop, or ends it by force; does nothing if it is gone."""

    @abstractmethod
    def memory_bytes(self, job_id: str, attempt: int) -> int:
        """Returns the resident memory of a worker, 0 if it is gone."""

    @abstractmethod
    def forget(self, job_id: str, attempt: int) -> None:
        """Lets go of an ended worker; until then `poll` keeps telling how it ended."""

    @abstractmethod
    def spool_dir(self, job_id: str) -> Path:
        """Returns the folder where the job's worker spools frames."""

    @abstractmethod
    def checkpoints_dir(self, job_id: str) -> Path:
        """Returns the folder where the job's workers write checkpoints."""

    @abstractmethod
    def outcome_file(self, job_id: str, attempt: int) -> Path:
        """Returns the file in which a worker leaves how it ended, for a service that was away."""

"""The seam between the supervisor and whatever runs workers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Launch:
    """What a worker is started with; everything else it asks the service for."""

    job_id: str
    attempt: int
    ingest_token: str


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
    def stop(self, job_id: str, attempt: int, *, force: bool) -> None:
        """Asks a worker to stop, or ends it by force; does nothing if it is gone."""

    @abstractmethod
    def forget(self, job_id: str, attempt: int) -> None:
        """Lets go of an ended worker; until then `poll` keeps telling how it ended."""

    @abstractmethod
    def spool_dir(self, job_id: str) -> Path:
        """Returns the folder where the job's worker spools frames."""

    @abstractmethod
    def outcome_file(self, job_id: str, attempt: int) -> Path:
        """Returns the file in which a worker leaves how it ended, for a service that was away."""

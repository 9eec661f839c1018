"""Workers as processes of this machine, one process group a job.

A worker is alive exactly as long as its lock is held: the service opens ``attempt-N.lock``, locks it and hands
the open file to the worker, whose death, however violent, releases it. A service that was restarted can tell
by the lock alone, so it adopts workers that live on, and process ids are never trusted without it.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import psutil
import structlog

from server.checkpoint_files import FOLDER
from server.execution.base import Ask, Ended, Executor, Launch
from server.settings import Settings

_LOG = structlog.get_logger()
_SIGNALS = {Ask.PAUSE: signal.SIGTERM, Ask.CANCEL: signal.SIGINT, Ask.KILL: signal.SIGKILL}
_KEPT_BACK = frozenset({"SM3_DATABASE_URL"})


@dataclass
class LocalExecutor(Executor):
    """Runs each worker as ``python -m server.worker``.

    Args:
        jobs_dir: one folder a job: lock, log, spool.
        cache_dir: where workers keep tokenizers and encoded texts.
        python: the interpreter.
        url: the service's address as workers see it.
        threads: CPU threads of one worker.
    """

    jobs_dir: Path
    cache_dir: Path
    python: str
    url: str
    threads: int
    _children: dict[tuple[str, int], subprocess.Popen[bytes]] = field(default_factory=dict)

    @classmethod
    def from_settings(cls, settings: Settings) -> LocalExecutor:
        """Returns the executor that ``settings`` describe."""
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}.get(host, host)  # noqa: S104 - not an address to bind
        return cls(
            settings.jobs_dir,
            settings.cache_dir,
            sys.executable,
            settings.worker_url or f"http://{host}:{settings.port}",
            settings.worker_threads,
        )

    def submit(self, launch: Launch) -> None:
        """Starts a worker in its own process group; its output goes to ``worker.log``."""
        folder = self.jobs_dir / launch.job_id
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # A worker speaks with the service alone: it is not told the store's password.
        inherited = {name: value for name, value in os.environ.items() if name not in _KEPT_BACK}
        environment = inherited | {
            "SM3_URL": self.url,
            "SM3_TOKEN": launch.ingest_token,
            "OMP_NUM_THREADS": str(self.threads),
            "TOKENIZERS_PARALLELISM": "true" if self.threads > 1 else "false",
            "PYTHONUNBUFFERED": "1",
        }
        command = [self.python, "-m", "server.worker", launch.job_id, str(launch.attempt)]
        command += ["--folder", str(folder), "--cache", str(self.cache_dir), "--threads", str(self.threads)]
        with self._lock_file(launch.job_id, launch.attempt).open("w") as lock, _log(folder) as log:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._children[launch.job_id, launch.attempt] = subprocess.Popen(
                [*command, "--lock", str(lock.fileno())],
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(lock.fileno(),),
            )

    def poll(self, job_id: str, attempt: int) -> Ended | None:
        """Returns how the worker ended, None while it lives."""
        child = self._children.get((job_id, attempt))
        if child is not None:
            status = child.poll()
            return None if status is None else Ended(_describe(status))
        if self._holds_lock(job_id, attempt):
            return None
        return Ended("the worker process vanished while the service was away")

    def stop(self, job_id: str, attempt: int, ask: Ask) -> None:
        """Signals the worker's process group."""
        pid = self._pid(job_id, attempt)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.killpg(pid, _SIGNALS[ask])

    def memory_bytes(self, job_id: str, attempt: int) -> int:
        """Returns the worker's resident set."""
        pid = self._pid(job_id, attempt)
        try:
            return psutil.Process(pid).memory_info().rss if pid is not None else 0
        except psutil.Error:
            return 0

    def _pid(self, job_id: str, attempt: int) -> int | None:
        """Returns a living worker's process id; None if it is gone or has not told it yet."""
        child = self._children.get((job_id, attempt))
        if child is not None:
            return child.pid if child.poll() is None else None
        if not self._holds_lock(job_id, attempt):
            return None
        try:
            # A worker that an earlier service started wrote its process id into the lock that it holds.
            return int(self._lock_file(job_id, attempt).read_text())
        except ValueError:
            _LOG.warning("a worker holds its lock but has not written its process id", job=job_id)
            return None

    def forget(self, job_id: str, attempt: int) -> None:
        """Lets go of an ended worker."""
        self._children.pop((job_id, attempt), None)

    def spool_dir(self, job_id: str) -> Path:
        """Returns the folder where the job's worker spools frames."""
        return self.jobs_dir / job_id / "spool"

    def checkpoints_dir(self, job_id: str) -> Path:
        """Returns the folder where the job's workers write checkpoints."""
        return self.jobs_dir / job_id / FOLDER

    def outcome_file(self, job_id: str, attempt: int) -> Path:
        """Returns the file in which the worker leaves how it ended."""
        return self.jobs_dir / job_id / f"attempt-{attempt}.outcome.json"

    def _lock_file(self, job_id: str, attempt: int) -> Path:
        return self.jobs_dir / job_id / f"attempt-{attempt}.lock"

    def _holds_lock(self, job_id: str, attempt: int) -> bool:
        try:
            with self._lock_file(job_id, attempt).open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False


def _log(folder: Path) -> BinaryIO:
    return (folder / "worker.log").open("ab")


def _describe(status: int) -> str:
    if status >= 0:
        return f"the worker process ended with exit status {status}"
    name = signal.Signals(-status).name
    hint = " (perhaps the machine ran out of memory)" if name == "SIGKILL" else ""
    return f"the worker process was killed by {name}{hint}"

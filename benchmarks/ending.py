"""How soon does everything end that is told to?

    python -m benchmarks.ending

A job that trains is cancelled; a service with a worker and an open stream, a dashboard, and ``sm3 up --demo`` are told
to stop. Each is timed until no process of it is left. Tests say that all of it ends, this says how soon: beside other
work no test could promise that.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from sm3.remote.wire import JobState, JobView
from tests.conftest import RunningService, free_port, tiny_job, worker_pid
from tests.dashboard.conftest import running_dashboard
from tests.test_cli import first_frame, sm3_up

LIMIT_S = 60.0


def _training(service: RunningService, job: JobView) -> JobView:
    return service.wait_for(job.id, lambda now: now.progress.frames > 2, LIMIT_S)


def _gone(processes: list[psutil.Process], asked_s: float) -> float:
    """Returns the seconds since ``asked_s`` when the last of ``processes`` is gone."""
    _, alive = psutil.wait_procs(processes, LIMIT_S)
    if alive:
        raise RuntimeError(f"still there after {LIMIT_S:.0f} s: {alive}")
    return time.monotonic() - asked_s


def cancelling(folder: Path) -> float:
    """Returns the seconds from asking for a job's end until it is cancelled."""
    service = RunningService(folder / "data", folder / "cache").start()
    try:
        with service.client as client:
            job = _training(service, client.launch(tiny_job(steps=100_000)))
            asked_s = time.monotonic()
            client.cancel(job.id)
            service.wait_for(job.id, JobState.CANCELLED, LIMIT_S)
            return time.monotonic() - asked_s
    finally:
        service.stop()


def stopping_the_service(folder: Path) -> float:
    """Returns the seconds from SIGTERM until the service and its worker are gone; a viewer's stream is open."""
    environment = {"SM3_STOP_WORKERS_ON_EXIT": "true"}
    service = RunningService(folder / "data", folder / "cache", environment=environment).start()
    with service.client as client:
        job = _training(service, client.launch(tiny_job(steps=100_000)))
        stream = client.events(job.id)
        next(stream)
        worker = psutil.Process(worker_pid(service, job.id))
        asked_s = time.monotonic()
        service.stop()
        took_s = _gone([worker], asked_s)
        stream.close()
        return took_s


def stopping_the_dashboard(folder: Path) -> float:
    """Returns the seconds from SIGTERM until the dashboard is gone."""
    with running_dashboard(folder / "dashboard", f"http://127.0.0.1:{free_port()}") as dashboard:
        asked_s = time.monotonic()
        dashboard.stop()
        return time.monotonic() - asked_s


def interrupting_up(folder: Path) -> float:
    """Returns the seconds from Ctrl-C until ``sm3 up --demo`` and all that it started are gone."""
    with sm3_up(folder, folder / "cache") as (up, service, out):
        first_frame(service, out)
        started = psutil.Process(up.pid).children(recursive=True)
        asked_s = time.monotonic()
        up.send_signal(signal.SIGINT)
        up.wait(LIMIT_S)
        return _gone(started, asked_s)


CASES: dict[str, tuple[Callable[[Path], float], float]] = {
    "a job that trains is cancelled": (cancelling, 2.0),
    "the service, with a worker and an open stream": (stopping_the_service, 3.0),
    "the dashboard": (stopping_the_dashboard, 3.0),
    "Ctrl-C of `sm3 up --demo`": (interrupting_up, 3.0),
}


def main() -> None:
    """Prints a table: what ends, what is promised, the median and the slowest of the rounds, in seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(f"| ends | promised | median of {rounds} | slowest |\n|---|---|---|---|", flush=True)
    for what, (case, promised_s) in CASES.items():
        took_s = []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                took_s.append(case(Path(folder)))
        median_s, slowest_s = statistics.median(took_s), max(took_s)
        print(f"| {what} | {promised_s:.0f} s | {median_s:.2f} s | {slowest_s:.2f} s |", flush=True)


if __name__ == "__main__":
    main()

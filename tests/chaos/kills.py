"""Kills the service and its workers at random while jobs train; nothing may be lost, doubled or different.

``make chaos-kill`` (SQLite) or ``make chaos-kill-postgres`` (PostgreSQL, killed and started again too). First one
job of each spec runs undisturbed. Then all jobs run while processes are killed with SIGKILL. At the end every job must
have succeeded with the weights of its undisturbed twin, bit for bit, and the same frames, each exactly once.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from safetensors.numpy import load

from sm3.remote.client import Client, RemoteError
from sm3.remote.frames import decode, read_scalars
from sm3.remote.job_specs import JobSpec
from sm3.remote.wire import JobState, JobView
from tests.conftest import OF_THE_PROCESS, RunningService, tiny_job

SPECS = 4
ENDS = {state for state in JobState if state.is_final}


def spec(number: int, steps: int) -> JobSpec:
    """Returns one of the `SPECS` jobs that all others are copies of."""
    return tiny_job(
        steps=steps,
        seed=number,
        checkpoint={"every": 50, "keep": 2},
        record={"every": 10},
        validation={"every": 100},
        retry={"attempts": 1000, "backoff_s": 0},
        optimizer=[
            {"name": "sm3"},
            {"name": "adamw"},
            {"name": "sm3", "momentum_dtype": "int8"},
            {"name": "sgd"},
        ][number % 4],
    )


@dataclass
class Outcome:
    """What a job left: its weights, and its frames by number without what depends on time."""

    weights: dict[str, np.ndarray]
    frames: list[tuple[int, int]]
    content: list[tuple[dict[str, np.ndarray], dict[str, list[tuple[int, float]]]]]

    @classmethod
    def of(cls, client: Client, job: JobView) -> Outcome:
        frames, content = [], []
        after = None
        while True:
            page = client.frames(job.id, after=after, limit=1000)
            for info in page.items:
                frames.append((info.seq, info.step))
                blob = client.frame(job.id, info.attempt, info.seq)
                series = {
                    name: list(zip(steps.tolist(), values.tolist(), strict=True))
                    for name, (steps, values) in read_scalars(blob).by_series().items()
                    if name not in OF_THE_PROCESS
                }
                content.append((dict(decode(blob).arrays), series))
            if page.next is None:
                break
            after = page.next
        return cls(load(client.weights(job.id, job.spec.steps)), frames, content)

    def differences(self, other: Outcome) -> list[str]:
        """Returns in what two outcomes differ, in words; nothing if they are the same."""
        found = []
        if self.frames != other.frames:
            doubled = [f for f, count in Counter(self.frames).items() if count > 1]
            missing = sorted(set(other.frames) - set(self.frames))
            found.append(
                f"frames: {len(missing)} missing {missing[:3]}, {len(doubled)} doubled {doubled[:3]}"
            )
        else:
            for (seq, _), (arrays, series), (arrays_2, series_2) in zip(
                self.frames, self.content, other.content, strict=True
            ):
                same = arrays.keys() == arrays_2.keys() and all(
                    np.array_equal(arrays[k], arrays_2[k], equal_nan=True) for k in arrays
                )
                if not same or str(series) != str(series_2):
                    found.append(f"frame {seq} has other content")
        names = [n for n in self.weights if not np.array_equal(self.weights[n], other.weights[n])]
        return found + ([f"weights differ: {names[:3]}"] if names else [])


@dataclass
class Chaos:
    """Kills what it is told to, at random, and brings the service back."""

    service: RunningService
    postgres: object | None
    wanted: Counter[str]
    dice: random.Random
    done: Counter[str] = field(default_factory=Counter)

    def run(self, jobs: list[str], deadline_s: float, longest_gap_s: float) -> list[JobView]:
        """Kills until every count is reached, then waits for the jobs to end."""
        deadline = time.monotonic() + deadline_s
        while time.monotonic() < deadline:
            views = self._views(jobs)
            if views and all(view.state in ENDS for view in views):
                return views
            time.sleep(self.dice.uniform(0.2, longest_gap_s))
            due = [what for what, count in self.wanted.items() if self.done[what] < count]
            if due:
                self._kill(self.dice.choice(due))
        raise SystemExit(
            f"not all jobs ended within {deadline_s:.0f} s: {Counter(v.state for v in self._views(jobs))}"
        )

    def _views(self, jobs: list[str]) -> list[JobView]:
        with suppress(RemoteError), self.service.client as client:
            return [client.job(job_id) for job_id in jobs]
        return []

    def _kill(self, what: str) -> None:
        if what == "worker":
            if workers := self.workers():
                os.kill(self.dice.choice(workers), signal.SIGKILL)
                self.done[what] += 1
        elif what == "service":
            self.service.stop(signal.SIGKILL)
            self.done[what] += 1
            self.service.start()
        else:
            self.postgres.stop(violently=True)  # type: ignore[attr-defined]
            time.sleep(self.dice.uniform(0, 1))
            self.postgres.start()  # type: ignore[attr-defined]
            self.done[what] += 1

    def workers(self) -> list[int]:
        """Returns the process ids of this service's workers."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            command = process.info["cmdline"] or []
            if "server.worker" in command and any(str(self.service.data_dir) in part for part in command):
                found.append(process.pid)
        return found


def main() -> int:
    """Runs the proof; returns 0 if nothing was lost."""
    arguments = _arguments()
    started = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sm3-chaos-")))
        environment = {"SM3_SLOTS": str(arguments.slots), "SM3_MAX_QUEUED": "1000"}
        postgres = None
        if arguments.postgres:
            from tests.postgres import running_postgres

            postgres = stack.enter_context(running_postgres())
            environment["SM3_DATABASE_URL"] = postgres.url(postgres.new_database())
        service = RunningService(folder / "data", folder / "cache", environment=environment).start()
        wanted = Counter(service=arguments.kills, worker=arguments.kills)
        if postgres is not None:
            wanted["postgres"] = arguments.restarts
        chaos = Chaos(service, postgres, wanted, random.Random(arguments.seed))
        stack.callback(_end, service, chaos)
        with service.client as client:
            references = [client.launch(spec(k, arguments.steps)) for k in range(SPECS)]
        twins = [service.wait_for(job.id, JobState.SUCCEEDED, timeout_s=900) for job in references]
        with service.client as client:
            expected = [Outcome.of(client, job) for job in twins]
            ids = [client.launch(spec(k % SPECS, arguments.steps)).id for k in range(arguments.jobs)]
        print(f"{SPECS} undisturbed jobs after {time.monotonic() - started:.0f} s; now the kills", flush=True)
        ended = chaos.run(ids, arguments.deadline_s, arguments.gap_s)
        faults = _faults(service, ended, expected)
        sound = _integrity(folder, postgres)
        _report(arguments, chaos, ended, expected, faults, sound, time.monotonic() - started)
        short = [what for what, count in wanted.items() if chaos.done[what] < count]
        return 1 if faults or sound != "ok" or short else 0


def _faults(service: RunningService, ended: list[JobView], expected: list[Outcome]) -> list[str]:
    faults = []
    with service.client as client:
        for number, job in enumerate(ended):
            if job.state is not JobState.SUCCEEDED:
                faults.append(f"job {number} {job.state}: {job.cause}")
                continue
            found = Outcome.of(client, job).differences(expected[number % SPECS])
            faults += [f"job {number}: {difference}" for difference in found]
    return faults


def _integrity(folder: Path, postgres: object | None) -> str:
    if postgres is not None:
        return "ok"
    with sqlite3.connect(folder / "data" / "store.sqlite3") as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


def _report(
    arguments: argparse.Namespace,
    chaos: Chaos,
    ended: list[JobView],
    expected: list[Outcome],
    faults: list[str],
    sound: str,
    took_s: float,
) -> None:
    frames = sum(len(expected[number % SPECS].frames) for number in range(len(ended)))
    attempts = sum(job.attempt + 1 for job in ended)
    killed = ", ".join(f"{count}× {what}" for what, count in sorted(chaos.done.items()))
    print(f"seed {arguments.seed}: SIGKILL {killed}")
    print(f"{len(ended)} jobs of {arguments.steps} steps in {attempts} attempts, {frames:,} frames expected")
    print(f"states: {dict(Counter(job.state.value for job in ended))}; integrity: {sound}; {took_s:.0f} s")
    for fault in faults:
        print(f"FAULT {fault}")
    print("nothing lost, nothing doubled, nothing different" if not faults else f"{len(faults)} faults")


def _end(service: RunningService, chaos: Chaos) -> None:
    if service.process is not None and service.process.poll() is None:
        service.stop()
    for pid in chaos.workers():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=50, help="of the service, and as many of workers")
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--gap-s", type=float, default=2.0, help="longest time from kill to kill")
    parser.add_argument("--deadline-s", type=float, default=3600.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--postgres", action="store_true", help="store in PostgreSQL, and kill that too")
    parser.add_argument("--restarts", type=int, default=20, help="of PostgreSQL")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

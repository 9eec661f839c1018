"""How lists, metrics and frame queries answer over HTTP with a full store, and with a tenth of it.

``python -m benchmarks.store [--postgres] [--sealed]`` fills two stores, starts a service on each, asks both the
same kinds of question in turn (so that whatever else the machine does meets both alike) and prints a table.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
from uuid_utils import uuid7

from server.archive import ArchivedJob, ArchivedRecord, ArchivedTransition
from server.store import Database, Rule, Sealer, Segments
from server.store.archives import ArchiveStore
from sm3.remote.frames import Frame, Scalars, encode
from sm3.remote.job_specs import JobSpec
from sm3.remote.wire import JobState
from tests.conftest import RunningService
from tests.postgres import running_postgres

POINTS_A_FRAME = 10
ARRAY_FLOATS = 2048
LARGEST = 10  # the largest job has one frame in so many
NAMES = ("loss", "lr", "grad_norm", "tokens_per_s", "step_s", *(f"rate_p50/blocks.{k}.w" for k in range(5)))
SPEC = JobSpec.model_validate({"recipe": {"name": "language-model"}, "steps": 100_000})
ALL = Rule(after_s=0, ended_after_s=0, keep_frames=0, min_frames=1)


@dataclass
class Made:
    """A job to be filled in; what `ArchiveStore.restore` reads of an archive."""

    num_frames: int
    state: JobState
    rng: np.random.Generator

    def __post_init__(self) -> None:
        job = ArchivedJob(
            id=str(uuid7()), state=self.state, attempt=0, created_s=1.0, finished_s=2.0, spec=SPEC
        )
        moves = (JobState.QUEUED, JobState.STARTING, JobState.RUNNING, self.state)
        log = [ArchivedTransition(number=k, state=s, attempt=0, at_s=1.0) for k, s in enumerate(moves)]
        self.record = ArchivedRecord(job, tuple(log), None)

    def frames(self) -> Iterator[bytes]:
        """Yields its frames."""
        noise = self.rng.random(ARRAY_FLOATS, np.float32)
        for seq in range(self.num_frames):
            scalars = Scalars(
                NAMES,
                np.full(POINTS_A_FRAME, seq + 1),
                np.arange(POINTS_A_FRAME, dtype=np.uint32),
                self.rng.random(POINTS_A_FRAME),
            )
            array = np.roll(noise, seq) + np.float32(seq)
            yield encode(
                Frame(self.record.job.id, 0, seq, seq + 1, 1.0, {"accumulators/dim0/w": array}, scalars)
            )


@dataclass
class Filled:
    """A store with its service."""

    label: str
    service: RunningService
    ids: list[str]
    sizes: list[int]
    times_s: dict[str, list[float]] = field(default_factory=dict)

    def ask(self, what: str, path: str, http: httpx.Client) -> None:
        """Asks once and notes how long the answer took."""
        begun = time.perf_counter()
        answer = http.get(self.service.url + path)
        self.times_s.setdefault(what, []).append(time.perf_counter() - begun)
        assert answer.status_code == 200, (path, answer.text)


def fill(database: Database, num_jobs: int, num_frames: int) -> tuple[list[str], list[int]]:
    """Stores jobs of equal size and a large one in their middle; returns ids and numbers of frames."""
    rng = np.random.default_rng(0)
    sizes = [(num_frames - num_frames // LARGEST) // (num_jobs - 1)] * num_jobs
    sizes[num_jobs // 2] += num_frames - sum(sizes)
    store, ids = ArchiveStore(database), []
    for number, size in enumerate(sizes):
        state = JobState.FAILED if number % 50 == 0 else JobState.SUCCEEDED
        ids.append(store.restore(Made(size, state, rng), new_id=False).id)  # type: ignore[arg-type]
    return ids, sizes


QUERIES: dict[str, Callable[[Filled, np.random.Generator], str]] = {
    "jobs, newest 50": lambda f, _: "/v1/jobs?limit=50",
    "jobs, 50 from anywhere": lambda f, r: f"/v1/jobs?limit=50&after={f.ids[r.integers(len(f.ids))]}",
    "jobs, newest 50 that failed": lambda f, _: "/v1/jobs?limit=50&state=failed",
    "one job": lambda f, r: f"/v1/jobs/{any_job(f, r)}",
    "metrics of a job": lambda f, r: f"/v1/jobs/{any_job(f, r)}/metrics",
    "metrics of the largest job": lambda f, _: f"/v1/jobs/{largest(f)}/metrics",
    "a tensor's series, largest job": lambda f, _: f"/v1/jobs/{largest(f)}/metrics?name={NAMES[-1]}",
    "frames of a job, a page": lambda f, r: f"/v1/jobs/{any_job(f, r)}/frames",
    "frames of the largest job, 500": lambda f, r: f"/v1/jobs/{largest(f)}/frames?after=0:{place(f, r)}",
    "one frame of the largest job": lambda f, r: f"/v1/jobs/{largest(f)}/frames/0/{place(f, r)}",
    "the newest frame of a job": lambda f, r: f"/v1/jobs/{any_job(f, r)}/frames/latest",
}


def any_job(filled: Filled, rng: np.random.Generator) -> str:
    """Returns a job of ordinary size."""
    return filled.ids[rng.integers(len(filled.ids) // 2)]  # the first half: not the largest


def largest(filled: Filled) -> str:
    """Returns the largest job."""
    return filled.ids[len(filled.ids) // 2]


def place(filled: Filled, rng: np.random.Generator) -> int:
    """Returns a frame's number in the largest job."""
    return int(rng.integers(max(filled.sizes) - 1))


def measure(stores: list[Filled], requests: int, seed: int) -> None:
    """Asks both stores every kind of question in turn, after a few that do not count."""
    rng = np.random.default_rng(seed)
    headers = {"Authorization": f"Bearer {stores[0].service.environment['SM3_TOKEN']}"}
    with httpx.Client(headers=headers, timeout=60, trust_env=False) as http:
        for turn in range(-5, requests):
            for what, path in QUERIES.items():
                for filled in stores[:: 1 if turn % 2 else -1]:
                    filled.ask(what, path(filled, rng), http)
            if turn == -1:
                for filled in stores:
                    filled.times_s.clear()


def table(stores: list[Filled]) -> str:
    """Returns the times as Markdown."""
    small, large = stores
    lines = [
        f"| query | {small.label} p50 / p99 ms | {large.label} p50 / p99 ms | p50 grew |",
        "|---|---|---|---|",
    ]
    for what in QUERIES:
        (a, b), (c, d) = (
            [1e3 * q for q in np.quantile(f.times_s[what], (0.5, 0.99))] for f in (small, large)
        )
        lines.append(f"| {what} | {a:.1f} / {b:.1f} | {c:.1f} / {d:.1f} | ×{c / a:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Fills, asks, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--postgres", action="store_true", help="on PostgreSQL instead of SQLite")
    parser.add_argument("--sealed", action="store_true", help="with all frames sealed into Parquet")
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=100_000, help="ten scalar points each")
    parser.add_argument("--requests", type=int, default=200, help="of each kind")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write all times here")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sm3-store-")))
        server = stack.enter_context(running_postgres()) if options.postgres else None
        stores = []
        for label, share in (("a tenth", 10), ("all", 1)):
            data = folder / label
            url = server.url(server.new_database()) if server else f"sqlite:///{data / 'store.sqlite3'}"
            data.mkdir()
            database, begun = Database(url), time.perf_counter()
            ids, sizes = fill(database, options.jobs // share, options.frames // share)
            filled_s, begun = time.perf_counter() - begun, time.perf_counter()
            print(
                f"{label}: {len(ids):,} jobs, {sum(sizes):,} frames, {POINTS_A_FRAME * sum(sizes):,} points "
                f"in {filled_s:.1f} s"
            )
            if options.sealed:
                count = Sealer(database, Segments(data / "segments"), ALL).run()
                files = list((data / "segments").iterdir())
                size = sum(path.stat().st_size for path in files)
                print(
                    f"  sealed {count:,} frames in {time.perf_counter() - begun:.1f} s: {len(files):,} segments, "
                    f"{size / 2**20:,.0f} MiB"
                )
            database.close()
            environment = {"SM3_DATABASE_URL": url, "SM3_SLOTS": "0", "SM3_TOKEN": "benchmark"}
            service = RunningService(data, folder / "cache", environment=environment)
            data.joinpath("token").write_text("benchmark")
            stack.callback(service.stop)
            service.start()
            stores.append(Filled(label, service, ids, sizes))
        results = []
        for run in range(options.runs):
            measure(stores, options.requests, run)
            print(
                f"\nrun {run + 1}, {options.requests} requests of each kind, "
                f"{'PostgreSQL' if server else 'SQLite'}{', sealed' if options.sealed else ''}\n\n{table(stores)}"
            )
            results.append({filled.label: filled.times_s for filled in stores})
            for filled in stores:
                filled.times_s = {}
        if options.json:
            options.json.write_text(json.dumps(results))


if __name__ == "__main__":
    main()

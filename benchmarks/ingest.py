"""What eight workers' frames cost: the service in frames and MiB a second, the workers in step time.

    OMP_NUM_THREADS=1 python -m benchmarks.ingest

Starts `python -m server` and processes like workers, each with a `Tracker`, a spool and a client of its own, and a job
to feed; frames are those of the tiny language model with the default statistics.

* **stored**: every process makes frames as fast as its spool empties; counted in the store.
* **beside training**: every process trains the tiny language model (batch 8, context 64), in blocks that alternate
  between recording into the tracker and throwing away what was recorded. Same model, same statistics, same process:
  the ratio of a block's step time to that of its neighbour is the tracker's alone. Half of the processes begin with
  either kind, so the service is always busy. The median of the pairs of blocks, their middle half, and how often a
  step with the tracker was the slower one; beside it the thread's time inside the tracker's calls, and the process's
  time outside the training thread (delivery), as shares of a step without them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sqlite3
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
import torch

from benchmarks.feeding import Served, running_job, serving
from server.worker.recipes.language_model import next_token_loss
from server.worker.recipes.model_gpt import GPTConfig, create_gpt
from sm3 import SM3
from sm3.probes.recorder import Recorder
from sm3.remote.client import Client
from sm3.remote.record_specs import RecordSpec
from sm3.remote.tracker import Tracker

FRAME_EVERY = 10
MAX_WAITING = 8


@dataclass(frozen=True)
class Plan:
    """What one process does; picklable."""

    number: int
    url: str
    token: str
    job_id: str
    folder: str
    store_s: float
    blocks: int
    steps: int


@dataclass(frozen=True)
class Block:
    """Seconds a step of one block, as a clock on the wall, the training thread and the process see it.

    ``tracker_s`` is how much of the thread's time passed inside the tracker's calls.
    """

    tracked: bool
    wall_s: float
    thread_s: float
    process_s: float
    tracker_s: float


def main() -> None:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--store-s", type=float, default=20.0, help="seconds of storing at full speed")
    parser.add_argument("--blocks", type=int, default=20, help="of training; even")
    parser.add_argument("--steps", type=int, default=20, help=f"a block; a multiple of {FRAME_EVERY}")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(arguments, Path(folder))
    print(json.dumps(outcome, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(outcome, indent=1))


def run(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One run from an empty store."""
    with serving(folder / "data") as served:
        load = {"before": os.getloadavg()}
        workers = [_Worker(served, n, arguments, folder) for n in range(arguments.workers)]
        for worker in workers:
            worker.hear("ready")
        before, cpu_s, started = _stored(served), served.cpu_s(), time.monotonic()
        for worker in workers:
            worker.pipe.send("store")
        delivered = [worker.hear("stored") for worker in workers]
        took_s = time.monotonic() - started
        after, cpu_s = _stored(served), served.cpu_s() - cpu_s
        stored = {"frames": after[0] - before[0], "bytes": after[1] - before[1]}
        assert stored["frames"] == sum(delivered), (stored, delivered)
        for worker in workers:
            worker.pipe.send("train")
        blocks = [worker.hear("trained") for worker in workers]
        load["end"] = os.getloadavg()
        trained = _stored(served)
    pairs = [_pairs(own) for own in blocks]
    return {
        "workers": arguments.workers,
        "stored": {
            "frames_per_s": round(stored["frames"] / took_s, 1),
            "mib_per_s": round(stored["bytes"] / took_s / 2**20, 2),
            "frame_kib": round(stored["bytes"] / stored["frames"] / 1024, 1),
            "seconds": round(took_s, 1),
            "server_cpu": round(cpu_s / took_s, 2),
        },
        "beside_training": {
            "frames": trained[0] - after[0],
            **_direct([block for own in blocks for block in own if block.tracked]),
            **{clock: _ratio([pair for own in pairs for pair in own], clock) for clock in _CLOCKS},
        },
        "load": load,
        "blocks": [[asdict(block) for block in own] for own in blocks],
    }


_CLOCKS = ("wall_s", "thread_s", "process_s")


class _Worker:
    """A process like a worker, and the pipe to it."""

    def __init__(self, served: Served, number: int, arguments: argparse.Namespace, folder: Path) -> None:
        job_id, token = running_job(served)
        self.pipe, far = multiprocessing.Pipe()
        plan = Plan(
            number, served.url, token, job_id, str(folder / f"spool-{number}"),
            arguments.store_s, arguments.blocks, arguments.steps,
        )  # fmt: skip
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=work, args=(plan, far), daemon=True)
        self.process.start()

    def hear(self, word: str) -> Any:
        """Waits for ``word`` and returns what came with it."""
        if not self.pipe.poll(600):
            raise RuntimeError(f"a worker did not say {word!r}")
        said, value = self.pipe.recv()
        assert said == word, said
        return value


def work(plan: Plan, pipe: Connection) -> None:
    """Is one process: stores at full speed, then trains, each when told to."""
    torch.set_num_threads(1)
    training = _Training(plan.number)
    arrays, scalars = training.frame()
    with Client(plan.url, plan.token, timeout_s=60.0) as client:
        tracker = Tracker(client, plan.job_id, attempt=0, folder=Path(plan.folder))
        pipe.send(("ready", None))
        pipe.recv()
        end_s = time.monotonic() + plan.store_s
        while time.monotonic() < end_s:
            _record(tracker, tracker.seq, arrays, scalars)
            _wait(Path(plan.folder), MAX_WAITING)
        _wait(Path(plan.folder), 0)
        pipe.send(("stored", tracker.seq))
        pipe.recv()
        blocks = [_block(plan, training, None)]
        for number in range(plan.blocks):
            tracked = (number + plan.number) % 2 == 0
            blocks.append(_block(plan, training, tracker if tracked else None))
            _wait(Path(plan.folder), 0)
        pipe.send(("trained", blocks[1:]))
        tracker.close()


class _Training:
    """The tiny language model, its optimizer and the default statistics."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        config = GPTConfig(layers=2, width=128, heads=4, context=64, vocab=2048, tied=False)
        self.model = create_gpt(config, seed=seed, device=torch.device("cpu"))
        self.optimizer = SM3(self.model.named_parameters(), lr=0.1)
        self.recorder = Recorder(self.optimizer, RecordSpec.model_validate({}))
        self.step_number = 0

    def step(self) -> float:
        """Trains one step; returns the loss."""
        self.step_number += 1
        tokens = torch.randint(2048, (8, 65))
        loss = next_token_loss(self.model, {"inputs": tokens[:, :-1], "targets": tokens[:, 1:]})
        loss.backward()
        self.recorder.before(self.step_number)
        self.optimizer.step()
        self.recorder.observe()
        return float(loss.detach())

    def frame(self) -> tuple[Mapping[str, np.ndarray], Mapping[str, float]]:
        """Trains to the next frame and reads it."""
        while True:
            self.step()
            if self.recorder.is_due(self.step_number):
                return self.read()

    def read(self) -> tuple[Mapping[str, np.ndarray], Mapping[str, float]]:
        """Reads the statistics of the step just done."""
        found = self.recorder.read(self.step_number, [0.1])
        self.optimizer.zero_grad()
        return found


def _block(plan: Plan, training: _Training, tracker: Tracker | None) -> Block:
    """Trains a block; without a tracker what is recorded is thrown away."""
    started = time.perf_counter(), time.thread_time(), time.process_time()
    tracker_s = 0.0
    for _ in range(plan.steps):
        loss = training.step()
        if tracker is not None:
            tracker_s -= time.thread_time()
            tracker.scalar("loss", training.step_number, loss)
            tracker_s += time.thread_time()
        if training.step_number % FRAME_EVERY == 0:
            arrays, scalars = training.read()
            if tracker is not None:
                tracker_s -= time.thread_time()
                _record(tracker, training.step_number, arrays, scalars)
                tracker_s += time.thread_time()
        else:
            training.optimizer.zero_grad()
    ended = time.perf_counter(), time.thread_time(), time.process_time()
    took = [(end - start) / plan.steps for start, end in zip(started, ended, strict=True)]
    return Block(tracker is not None, *took, tracker_s / plan.steps)


def _record(
    tracker: Tracker, step: int, arrays: Mapping[str, np.ndarray], scalars: Mapping[str, float]
) -> None:
    for name, value in scalars.items():
        tracker.scalar(name, step, value)
    tracker.frame(step, arrays)


def _wait(spool: Path, waiting: int) -> None:
    """Waits until at most ``waiting`` frames lie in the spool."""
    while len(list(spool.glob("*.frame"))) > waiting:
        time.sleep(0.002)


def _stored(served: Served) -> tuple[int, int]:
    """Frames in the store and their bytes."""
    connection = sqlite3.connect(f"file:{served.data_dir / 'store.sqlite3'}?mode=ro", uri=True)
    try:
        count, size = connection.execute(
            "select count(*), coalesce(sum(size_bytes), 0) from frames"
        ).fetchone()
    finally:
        connection.close()
    return int(count), int(size)


def _pairs(blocks: list[Block]) -> list[tuple[Block, Block]]:
    """Neighbouring blocks as (tracked, untracked)."""
    couples = zip(blocks[::2], blocks[1::2], strict=True)
    return [(a, b) if a.tracked else (b, a) for a, b in couples]


def _ratio(pairs: list[tuple[Block, Block]], clock: str) -> dict[str, float]:
    """Median and middle half of tracked over untracked, and both medians in milliseconds."""
    ratios = [getattr(tracked, clock) / getattr(plain, clock) for tracked, plain in pairs]
    low, _, high = quantiles(ratios, n=4)
    sums = [sum(getattr(block, clock) for block in side) for side in zip(*pairs, strict=True)]
    return {
        "ratio": round(median(ratios), 4),
        "middle_half": [round(low, 4), round(high, 4)],
        "ratio_of_sums": round(sums[0] / sums[1], 4),
        "tracked_slower": f"{sum(r > 1 for r in ratios)} of {len(ratios)}",
        "tracked_ms": round(1000 * median(getattr(t, clock) for t, _ in pairs), 2),
        "plain_ms": round(1000 * median(getattr(p, clock) for _, p in pairs), 2),
    }


def _direct(tracked: list[Block]) -> dict[str, float]:
    """What the tracker's calls took of the training thread, measured around them: hardly touched by other load."""
    inside, thread = (sum(getattr(block, name) for block in tracked) for name in ("tracker_s", "thread_s"))
    process = sum(block.process_s for block in tracked)
    return {
        "tracker_ms_a_frame": round(1000 * FRAME_EVERY * inside / len(tracked), 2),
        "tracker_share": round(inside / (thread - inside), 4),
        "delivery_share": round((process - thread) / (thread - inside), 4),
    }


if __name__ == "__main__":
    main()

"""A made-up job of many tensors and steps, laid down as a real one: for measuring pages, not for looking at numbers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.feeding import Served
from server.auth import digest, new_ingest_token
from server.store import Database, FrameStore, JobStore
from server.store.recording import add_many
from server.store.tables import JobRow
from sm3.remote.client import Client
from sm3.remote.frames import Frame, Scalars, encode
from sm3.remote.job_specs import JobSpec
from sm3.remote.wire import Manifest, Memory, TensorInfo

JOB_SERIES = (
    "lr",
    "grad_norm",
    "tokens_per_s",
    "step_s",
    "forward_s",
    "backward_s",
    "optimizer_s",
    "frames_dropped",
)
TENSOR_SERIES = (
    *(
        "rate_p05",
        "rate_p50",
        "rate_p95",
        "untouched",
        "zero_rows",
        "zero_cols",
        "growth",
        "saturated",
        "nonfinite",
    ),
    *(
        f"tightness_{part}"
        for part in ("level", "level_lo", "level_hi", "spread", "spread_lo", "spread_hi", "p99", "zero")
    ),
)
BINS = 256
_LAYERS = ("attn.qkv.weight", "attn.out.weight", "mlp.up.weight", "mlp.down.weight")


class MadeUp:
    """A job that runs without a worker.

    Args:
        data_dir: the service's data folder, to be made.
        steps: done so far; the spec has twice as many.
        every: steps from frame to frame.
        tensors: how many matrices the model has.
    """

    def __init__(self, data_dir: Path, steps: int, every: int, tensors: int) -> None:
        self.data_dir, self.steps, self.every = data_dir, steps, every
        self.names = [f"blocks.{k // 4}.{_LAYERS[k % 4]}" for k in range(tensors)]
        self.series = ("loss", *JOB_SERIES, *(f"{s}/{name}" for name in self.names for s in TENSOR_SERIES))
        self.rng = np.random.default_rng(0)
        self.profile = self.rng.random(BINS, np.float32) + np.float32(0.1)
        self.phase = self.rng.random(len(self.names))
        self.id = self.token = ""
        self.num_frames, self.frame_kib = steps // every, 0.0

    @property
    def num_series(self) -> int:
        """How many series each frame has points of."""
        return len(self.series)

    def fill(self) -> None:
        """Stores the job and all frames so far."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        database = Database(f"sqlite:///{self.data_dir / 'store.sqlite3'}")
        jobs = JobStore(database)
        spec = {
            "recipe": {"name": "language-model"},
            "steps": 2 * self.steps,
            "record": {"every": self.every},
        }
        jobs.create(JobSpec.model_validate(spec))
        self.token = new_ingest_token()
        job = jobs.claim(digest(self.token))
        assert job is not None
        self.id = job.id
        with database.write() as session:
            stored = add_many(session, self.id, self._past())
            session.get_one(JobRow, self.id).frames = stored
        last = self.frame(self.num_frames - 1, all_arrays=True)
        self.frame_kib = len(last) / 1024
        FrameStore(database).add(self.id, last)
        database.close()

    def _past(self) -> Iterator[bytes]:
        return (self.frame(seq, all_arrays=False) for seq in range(self.num_frames - 1))

    def introduce(self, served: Served) -> None:
        """Tells a running service of the tensors, as a worker does after its first step."""
        shape, size = (1024, 1024), 1024 * 1024
        tensors = tuple(
            TensorInfo(
                name=name,
                shape=shape,
                dtype="float32",
                cover="slices",
                parts=("dim0", "dim1"),
                num_accumulators=sum(shape),
                accumulator_bytes=4 * sum(shape),
                momentum_bytes=4 * size,
            )
            for name in self.names
        )
        n = size * len(tensors)
        accumulators = sum(tensor.accumulator_bytes for tensor in tensors)
        memory = Memory(
            num_parameters=n,
            parameter_bytes=4 * n,
            accumulator_bytes=accumulators,
            momentum_bytes=4 * n,
            state_bytes=accumulators + 4 * n,
            adam_bytes=8 * n,
            adagrad_bytes=4 * n,
        )
        with Client(served.url, self.token, timeout_s=30) as client:
            client.put_manifest(self.id, Manifest(attempt=0, tensors=tensors, memory=memory))

    def next_frame(self) -> tuple[int, bytes]:
        """Returns the number and the bytes of the next frame, whole."""
        seq, self.num_frames = self.num_frames, self.num_frames + 1
        return seq, self.frame(seq, all_arrays=True)

    def frame(self, seq: int, *, all_arrays: bool) -> bytes:
        """Returns a frame; of old ones only the first tensor's arrays, for a disk's sake."""
        step = (seq + 1) * self.every
        steps = np.arange(step - self.every + 1, step + 1)
        loss = 3 + 6 * np.exp(-steps / 2e4) + self.rng.normal(0, 0.15, self.every)
        numbers = self._of_tensors(step).ravel()
        own = np.array([0.1, 1.0, 9e3, 0.2, 0.1, 0.08, 0.02, 0.0]) * self.rng.uniform(
            0.9, 1.1, len(JOB_SERIES)
        )
        scalars = Scalars(
            self.series,
            np.concatenate([steps, np.full(len(self.series) - 1, step)]),
            np.concatenate([np.zeros(self.every), np.arange(1, len(self.series))]).astype(np.uint32),
            np.concatenate([loss, own, numbers]),
        )
        arrays = {}
        for k, name in enumerate(self.names if all_arrays else self.names[:1]):
            rows = np.roll(self.profile, k + seq) * np.float32(step)
            for dim in (0, 1):
                arrays[f"accumulators/dim{dim}/{name}"] = np.roll(rows, 17 * dim)
                arrays[f"activation/dim{dim}/{name}"] = (rows > step * 0.2).astype(np.float32)
        return encode(Frame(self.id, 0, seq, step, time.time(), arrays, scalars))

    def _of_tensors(self, step: int) -> np.ndarray:
        wave = 1 + 0.2 * np.sin(step / 9000 + 6.3 * self.phase)
        rate = 0.1 / np.sqrt(step) * wave
        zeros, one = np.zeros_like(wave), np.ones_like(wave)
        parts = [rate / 3, rate, rate * 4, 0.1 * wave, 0.4 * wave, 0.1 * wave, wave, 0.2 * wave, zeros]
        parts += [k * wave for k in (1.0, 0.9, 1.1, 0.5, 0.45, 0.55, 2.5)] + [0.01 * one]
        return np.stack(parts, 1)

"""A run that was interrupted ends, bit for bit, where one that was never disturbed does."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from server import checkpoint_files
from server.worker.checkpoint import Checkpoint, Checkpoints
from server.worker.loop import Paused, Run, TimeIsUp
from server.worker.recipes.base import Task
from server.worker.stop import StopRequest, Wish
from sm3.remote.job_specs import JobSpec
from tests.conftest import OF_THE_PROCESS

STEPS = 23


@dataclass
class Notes:
    """A tracker that remembers what every attempt recorded, as the service would."""

    frames: dict[int, tuple[int, dict[str, Any], list[tuple[str, int, float]]]] = field(default_factory=dict)
    points: list[tuple[str, int, float]] = field(default_factory=list)
    manifests: list[Any] = field(default_factory=list)
    fenced: str | None = None
    seq: int = 0

    def manifest(self, manifest: Any) -> None:
        self.manifests.append(manifest)

    def scalar(self, series: str, step: int, value: float) -> None:
        self.points.append((series, step, float(value)))

    def frame(self, step: int, arrays: Any) -> None:
        self.frames.setdefault(self.seq, (step, {k: a.copy() for k, a in arrays.items()}, list(self.points)))
        self.points.clear()
        self.seq += 1

    def state(self) -> dict[str, Any]:
        return {"seq": self.seq, "points": [list(point) for point in self.points]}

    def restore(self, state: Any) -> None:
        self.seq, self.points = state["seq"], [tuple(point) for point in state["points"]]


class Model(nn.Module):
    """An embedding, a convolution, dropout (which draws) and a batch norm (which keeps buffers)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.embed = nn.Embedding(11, 8)
        self.norm = nn.BatchNorm1d(8)
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(8, 11, bias=False)
        self.head.weight = self.embed.weight  # tied, as language models have it

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.drop(self.norm(self.embed(ids))))
        return logits


def task() -> Task:
    def batch(step: int) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(step)
        return {"ids": torch.randint(0, 11, (16,), generator=generator)}

    def loss(model: nn.Module, given: Any) -> torch.Tensor:
        return nn.functional.cross_entropy(model(given["ids"]), (given["ids"] + 1) % 11)

    return Task(Model(), batch, loss, lambda: [batch(-1)], 16, {})


def spec(**changes: Any) -> JobSpec:
    wanted = {
        "recipe": {"name": "language-model"},
        "steps": STEPS,
        "record": {
            "every": 4,
            "probes": [
                "accumulators",
                "rates",
                "activation",
                "tightness",
                "updates",
                "growth",
                "idle",
                "poison",
            ],
            "probe_settings": {"growth": {"every": "geometric"}},
            "truth": ["embed*"],
            "shadows": [
                {"cover": {"kind": "whole"}},
                {"cover": {"kind": "slices", "dims": [0]}, "variant": "I"},
            ],
        },
        "validation": {"every": 3},
        "averaging": {"kind": "polyak", "start": 0.2},
        "schedule": {"warmup": 0.3, "cooldown": 0.3},
        "checkpoint": {"every": 5, "keep": 2},
    }
    return JobSpec.model_validate({**wanted, **changes})


def run(asked: JobSpec, notes: Notes, folder: Path | None) -> Run:
    checkpoints = Checkpoints(folder, asked.checkpoint.keep) if folder is not None else None
    torch.manual_seed(asked.seed)
    return Run(asked, task(), torch.device("cpu"), notes, 0, StopRequest(), checkpoints)  # type: ignore[arg-type]


def pause_after(going: Run, step: int) -> None:
    """Asks a run to pause in the middle of step ``step`` (counted from 1), and sees that it does."""
    batch = going.task.train_batch

    def asking(index: int) -> Any:
        if index == step - 1:
            going.stop.ask(Wish.PAUSE)
        return batch(index)

    object.__setattr__(going.task, "train_batch", asking)
    with pytest.raises(Paused, match=f"paused after step {step} of {STEPS}"):
        going.train()


def assert_same_end(one: Run, other: Run) -> None:
    for (name, here), there in zip(
        one.task.model.state_dict().items(), other.task.model.state_dict().values(), strict=True
    ):
        assert torch.equal(here, there), name


def assert_same_frames(one: Notes, other: Notes) -> None:
    assert list(one.frames) == list(other.frames)
    for (step, arrays, points), (other_step, other_arrays, other_points) in zip(
        one.frames.values(), other.frames.values(), strict=True
    ):
        assert step == other_step
        assert arrays.keys() == other_arrays.keys()
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, other_arrays[name], err_msg=f"{name} at {step}")
        lasting, other_lasting = (
            [p for p in ps if p[0] not in OF_THE_PROCESS] for ps in (points, other_points)
        )
        assert [p[:2] for p in lasting] == [p[:2] for p in other_lasting]
        np.testing.assert_array_equal([p[2] for p in lasting], [p[2] for p in other_lasting])


OPTIMIZERS = [
    {"name": "sm3", "momentum_dtype": "int8"},
    {"name": "sm3", "momentum": 0, "variant": "I", "cover": {"kind": "blocks", "tile": [4, 4]}},
    {"name": "sm3", "beta2": 0.95, "cover": {"kind": "advise", "budget_bytes": 400, "steps": 3}},
    {"name": "adamw"},
    {"name": "adagrad"},
    {"name": "adafactor"},
    {"name": "sgd", "momentum": 0.9},
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: "-".join(map(str, o.values()))[:40])
def test_a_run_paused_three_times_ends_with_the_same_weights_and_frames(
    optimizer: dict[str, Any], tmp_path: Path
) -> None:
    asked = spec(optimizer=optimizer)
    undisturbed, disturbed = Notes(), Notes()
    whole = run(asked, undisturbed, None)
    whole.train()
    for step in (4, 9, 15):
        pause_after(run(asked, disturbed, tmp_path), step)
        assert checkpoint_files.newest_step(tmp_path) == step
    last = run(asked, disturbed, tmp_path)
    last.train()
    assert_same_end(whole, last)
    assert_same_frames(undisturbed, disturbed)


@pytest.mark.parametrize("killed_at", range(1, STEPS + 1))
def test_a_run_killed_at_any_step_ends_with_the_same_weights_and_frames(
    killed_at: int, tmp_path: Path
) -> None:
    class Killed(BaseException):
        pass

    asked = spec()
    undisturbed, disturbed = Notes(), Notes()
    whole = run(asked, undisturbed, None)
    whole.train()
    dying = run(asked, disturbed, tmp_path)
    step = dying.task.loss
    calls = 0

    def deadly(model: nn.Module, batch: Any) -> torch.Tensor:
        nonlocal calls
        calls += model.training
        if calls == killed_at:
            raise Killed
        return step(model, batch)

    object.__setattr__(dying.task, "loss", deadly)
    with pytest.raises(Killed):
        dying.train()
    disturbed.points, disturbed.seq = [], 0  # what died with the process
    again = run(asked, disturbed, tmp_path)
    again.train()
    assert_same_end(whole, again)
    assert_same_frames(undisturbed, disturbed)


def test_a_run_says_from_which_step_it_goes_on(tmp_path: Path) -> None:
    notes = Notes()
    pause_after(run(spec(), notes, tmp_path), 7)
    run(spec(), notes, tmp_path).train()
    # Told at once, and again when the first frame is there and statistics hold what they will.
    assert [m.resumed_step for m in notes.manifests] == [0, 7, 7]
    assert notes.manifests[0].memory == notes.manifests[2].memory


def test_a_run_paused_while_the_advisor_looks_starts_over(tmp_path: Path) -> None:
    asked = spec(optimizer=OPTIMIZERS[2])
    going = run(asked, Notes(), tmp_path)
    going.stop.ask(Wish.PAUSE)
    with pytest.raises(Paused, match="paused before step 1 of 23"):
        going.train()
    again = run(asked, Notes(), tmp_path)
    again.train()
    whole = run(asked, Notes(), None)
    whole.train()
    assert_same_end(whole, again)


def test_a_run_that_had_finished_has_nothing_left_to_do(tmp_path: Path) -> None:
    notes = Notes()
    first = run(spec(), notes, tmp_path)
    first.train()
    frames = len(notes.frames)
    again = run(spec(), notes, tmp_path)
    again.train()
    assert_same_end(first, again)
    assert len(notes.frames) == frames


def test_time_that_is_used_up_counts_over_attempts_and_leaves_a_checkpoint(tmp_path: Path) -> None:
    notes = Notes()
    limited = spec(limits={"time_s": 10.5})
    seconds = iter(range(10**6))
    first = run(limited, notes, tmp_path)
    first.clock = lambda: float(next(seconds)) / 20
    pause_after(first, 3)
    second = run(limited, notes, tmp_path)
    second.clock = lambda: float(next(seconds)) / 2
    with pytest.raises(
        TimeIsUp, match=r"limits.time_s of 10.5 s was used up after step \d+ of 23; clone the job"
    ):
        second.train()
    assert checkpoint_files.newest_step(tmp_path) > 3


def test_a_checkpoint_that_cannot_be_written_is_told_of_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    notes = Notes()
    going = run(spec(), notes, tmp_path)
    going.warn = heard.append
    real, calls = Checkpoints.save, 0

    def full_once(self: Checkpoints, checkpoint: Checkpoint) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(28, "No space left on device")
        real(self, checkpoint)

    monkeypatch.setattr(Checkpoints, "save", full_once)
    going.train()
    assert heard == [
        "the checkpoint of step 10 could not be written ([Errno 28] No space left on device); the one before it is "
        "kept",
        "",
    ]
    assert [view.step for view in checkpoint_files.listed(tmp_path)] == [23, 20]


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before_it(tmp_path: Path) -> None:
    notes, heard = Notes(), []
    pause_after(run(spec(), notes, tmp_path), 12)
    path = checkpoint_files.folder_of(tmp_path, 12) / "training.safetensors"
    blob = bytearray(path.read_bytes())
    blob[-1] ^= 1
    path.write_bytes(blob)
    again = run(spec(), notes, tmp_path)
    again.warn = heard.append
    again.train()
    assert heard == ["the checkpoint of step 12 is damaged: training.safetensors is not what was written"]
    assert notes.manifests[-1].resumed_step == 10
    whole = run(spec(), Notes(), None)
    whole.train()
    assert_same_end(whole, again)


def test_half_a_checkpoint_is_none_and_is_cleared_away(tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def half() -> None:
        with checkpoint_files.publishing(tmp_path, 5) as folder:
            (folder / "model.safetensors").write_bytes(b"half")
            raise Killed

    with pytest.raises(Killed):
        half()
    (tmp_path / "unfinished-9").mkdir()
    Checkpoints(tmp_path).save(Checkpoint(7, {"w": torch.ones(2)}, {}))
    assert [path.name for path in tmp_path.iterdir()] == ["000000000007"]


def test_a_checkpoint_holds_any_nesting_exactly(tmp_path: Path) -> None:
    shared = torch.arange(6.0).reshape(2, 3)
    training = {
        "numbers": {0: 0.1, 1: float("inf"), 2: -0.0, "text": "né", "none": None, "yes": True},
        "tuple": (1, (2, [3])),
        "view": shared[:, 1:],
        "turned": shared.t(),
        "empty": torch.empty(0, 4, dtype=torch.bfloat16),
        "scalar": torch.tensor(3, dtype=torch.int64),
        "bytes": torch.tensor([1, 255], dtype=torch.uint8),
    }
    Checkpoints(tmp_path).save(Checkpoint(1, {"a": shared, "b": shared}, training))
    found, damaged = Checkpoints(tmp_path).newest()
    assert found is not None
    assert damaged == ()
    assert found.training["numbers"] == training["numbers"]
    assert json.dumps(found.training["numbers"][2]) == "-0.0"
    assert found.training["tuple"] == (1, (2, [3]))
    for name in ("view", "turned", "empty", "scalar", "bytes"):
        assert torch.equal(found.training[name], training[name])  # type: ignore[arg-type]
        assert found.training[name].dtype == training[name].dtype  # type: ignore[attr-defined]
    assert torch.equal(found.model["a"], shared)
    assert torch.equal(found.model["b"], shared)


def test_what_cannot_be_saved_is_named(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="function cannot be saved"):
        Checkpoints(tmp_path).save(Checkpoint(1, {}, {"f": run}))
    assert list(tmp_path.iterdir()) == []

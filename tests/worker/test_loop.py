"""The loop with a model of three numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from server.worker.averaging import Average
from server.worker.loop import Run, Stopped, choose_device
from server.worker.recipes.base import Task
from server.worker.stop import StopRequest, Wish
from sm3.remote.job_specs import Device, JobSpec, PolyakSpec


class Notes:
    """A tracker that remembers."""

    def __init__(self) -> None:
        self.scalars: list[tuple[str, int, float]] = []
        self.frames: list[int] = []
        self.manifests: list[Any] = []
        self.fenced: str | None = None

    def manifest(self, manifest: Any) -> None:
        self.manifests.append(manifest)

    def scalar(self, series: str, step: int, value: float) -> None:
        self.scalars.append((series, step, value))

    def frame(self, step: int, arrays: Any) -> None:
        self.frames.append(step)


def run(notes: Notes, *, nan_at: int | None = None, **changes: Any) -> Run:
    model = torch.nn.Linear(2, 1)

    def loss(model: torch.nn.Module, batch: Any) -> torch.Tensor:
        value = model(torch.ones(1, 2)).square().mean()
        return value * torch.nan if batch["step"] == nan_at else value

    task = Task(model, lambda step: {"step": step}, loss, lambda: [{"step": -1}], 10, {})
    wanted = {"steps": 12, "record": {"every": 5}, "validation": {"every": 6}}
    spec = JobSpec.model_validate({"recipe": {"name": "language-model"}, **wanted, **changes})
    return Run(spec, task, torch.device("cpu"), notes, 0, StopRequest())  # type: ignore[arg-type]


def test_frames_come_first_last_and_at_the_cadence_and_hold_every_loss() -> None:
    notes = Notes()
    run(notes).train()
    assert notes.frames == [1, 5, 10, 12]
    assert [step for series, step, _ in notes.scalars if series == "loss"] == list(range(1, 13))
    assert [step for series, step, _ in notes.scalars if series == "val_loss"] == [6, 12]
    assert len(notes.manifests) == 1


def test_sm3_refuses_a_gradient_that_is_no_number_naming_the_tensor() -> None:
    with pytest.raises(ArithmeticError, match=r"the gradient of 'weight' .* holds NaN or inf"):
        run(Notes(), nan_at=2).train()


def test_a_loss_that_is_no_number_ends_the_run_naming_the_step_after_showing_it() -> None:
    notes = Notes()
    with pytest.raises(ArithmeticError, match="the loss became nan at step 3; lower the learning rate"):
        run(notes, nan_at=2, optimizer={"name": "adamw"}).train()
    assert notes.frames == [1, 5]


def test_a_run_that_is_asked_to_stop_records_where_it_stopped() -> None:
    notes = Notes()
    going = run(notes)
    going.stop.ask(Wish.CANCEL)
    with pytest.raises(Stopped, match="stopped after step 1 of 12"):
        going.train()
    assert notes.frames == [1]


def test_a_run_stops_when_the_service_wants_nothing_more_of_it() -> None:
    notes = Notes()
    notes.fenced = "out of date"
    with pytest.raises(Stopped):
        run(notes).train()


def test_time_spent_on_validation_is_not_counted_as_training() -> None:
    plain, validated = Notes(), Notes()
    for notes, every in ((plain, 100), (validated, 1)):
        ticks = iter(range(10_000))
        going = run(notes, validation={"every": every})
        going.clock = lambda ticks=ticks: float(next(ticks))  # type: ignore[misc]
        going.train()
    seconds = [
        [value for series, _, value in notes.scalars if series == "step_s"] for notes in (plain, validated)
    ]
    assert all(value > 0 for value in seconds[0])
    assert max(seconds[1]) <= 2 * max(seconds[0]), (
        "every reading of the clock is one second, whoever reads it"
    )


def test_a_device_that_is_not_there_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is CUDA here")
    assert choose_device(Device.AUTO).type == "cpu"
    with pytest.raises(ValueError, match="this machine has none; use 'auto' or 'cpu'"):
        choose_device(Device.CUDA)


@pytest.mark.parametrize(
    ("averaging", "first"),
    [({"kind": "polyak", "start": 0.5}, 7), ({"kind": "exponential", "decay": 0.9}, 1)],
)
def test_the_average_is_validated_beside_the_last_iterate_and_its_memory_counted(
    averaging: dict[str, Any], first: int
) -> None:
    notes, plain = Notes(), Notes()
    averaged = run(notes, averaging=averaging, validation={"every": 1})
    torch.manual_seed(0)
    weights = [torch.nn.init.ones_(p) for p in averaged.task.model.parameters()]
    averaged.train()
    steps = [step for series, step, _ in notes.scalars if series == "val_loss_averaged"]
    assert steps == list(range(first, 13))
    assert notes.manifests[0].memory.averaging_bytes == sum(w.nbytes for w in weights) == 12
    same = run(plain, validation={"every": 1})
    for p in same.task.model.parameters():
        torch.nn.init.ones_(p)
    same.train()
    assert plain.manifests[0].memory.averaging_bytes == 0
    last = [[v for series, _, v in n.scalars if series == "val_loss"] for n in (notes, plain)]
    assert last[0] == last[1], "averaging changes nothing about the training"


def test_the_polyak_average_is_the_mean_of_the_iterates() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    average = Average(PolyakSpec(start=0.5), model, steps=4)
    for step, value in enumerate((10.0, 20.0, 3.0, 5.0), start=1):
        torch.nn.init.constant_(model.weight, value)
        average.update(step)
        assert (average.model is None) == (step <= 2)
    assert average.model is not None
    assert average.model.weight.item() == 4.0

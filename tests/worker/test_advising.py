"""Jobs that leave their covers to the advisor."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from server.checks import job_faults
from server.worker.loop import Run
from server.worker.recipes.base import Task
from server.worker.stop import StopRequest
from sm3.covers import from_spec
from sm3.remote.job_specs import JobSpec
from tests.worker.test_loop import Notes

BUDGET_BYTES = 4 * (2 * (30 + 8 + 8 + 5) + 5)  # twice the slices of both matrices, and the bias


def run(notes: Notes, cover: dict[str, Any], **optimizer: Any) -> tuple[Run, torch.nn.Module]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Embedding(30, 8), torch.nn.Linear(8, 5))

    def batch(step: int) -> dict[str, torch.Tensor]:
        return {"tokens": torch.randint(30, (6,), generator=torch.Generator().manual_seed(step))}

    def loss(model: torch.nn.Module, batch: Any) -> torch.Tensor:
        return model(batch["tokens"]).square().mean()

    task = Task(model, batch, loss, lambda: [batch(-1 + 10**6)], 6, {})
    spec = JobSpec.model_validate({
        "recipe": {"name": "language-model"},
        "optimizer": {"name": "sm3", "cover": cover, **optimizer},
        "steps": 12,
        "record": {"every": 4},
    })
    return Run(spec, task, torch.device("cpu"), notes, 0, StopRequest()), model  # type: ignore[arg-type]


def test_the_job_trains_under_covers_within_the_budget_and_tells_which_and_why() -> None:
    notes = Notes()
    optimizer = run(notes, {"kind": "advise", "budget_bytes": BUDGET_BYTES, "steps": 5})[0].train()
    (manifest,) = notes.manifests
    assert [a.name for a in manifest.advice] == [t.name for t in manifest.tensors]
    assert manifest.memory.accumulator_bytes == sum(a.num_bytes for a in manifest.advice) <= BUDGET_BYTES
    by_name = {
        name: p for g in optimizer.param_groups for name, p in zip(g["param_names"], g["params"], strict=True)
    }
    for told in manifest.advice:
        assert optimizer.cover(by_name[told.name]) == from_spec(told.cover)  # type: ignore[attr-defined]
        assert set(told.expected) >= {"zero"}


def test_training_starts_over_as_if_the_covers_had_been_given() -> None:
    notes = Notes()
    going, model = run(notes, {"kind": "advise", "budget_bytes": BUDGET_BYTES, "steps": 5})
    going.train()
    rules = [{"match": a.name, "cover": a.cover} for a in notes.manifests[0].advice]
    again, twin = run(Notes(), {"kind": "slices"}, rules=rules)
    again.train()
    assert all(map(torch.equal, model.parameters(), twin.parameters()))


def test_tensors_that_a_rule_names_are_outside_the_budget() -> None:
    notes = Notes()
    rules = [{"match": "0.*", "cover": {"kind": "singletons"}}]
    run(notes, {"kind": "advise", "budget_bytes": 40}, rules=rules)[0].train()
    (manifest,) = notes.manifests
    assert [a.name for a in manifest.advice] == ["1.weight", "1.bias"]
    assert manifest.tensors[0].cover == "singletons"


def test_a_budget_below_the_least_possible_is_a_fault_before_training() -> None:
    spec = run(Notes(), {"kind": "advise", "budget_bytes": 40})[0].spec
    (fault,) = job_faults(spec)
    assert fault.field == "optimizer.cover.budget_bytes"
    assert "take 116 bytes" in fault.allowed  # one number for each of the tiny model's 29 tensors
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        run(Notes(), {"kind": "advise", "budget_bytes": 0})

"""The moving parts of a run, and what of them goes into a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from server.worker.averaging import Average
from server.worker.checkpoint import Checkpoint
from sm3.probes.recorder import Recorder
from sm3.schedules import WarmupCooldown


@dataclass(frozen=True)
class Parts:
    """What changes while a run trains.

    Attributes:
        model: the weights and buffers.
        optimizer: its state.
        schedule: where the learning rate is.
        average: of the weights, where one is kept.
        recorder: what statistics keep from step to step.
    """

    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    schedule: WarmupCooldown
    average: Average | None
    recorder: Recorder

    def checkpoint(self, step: int, run: Mapping[str, Any]) -> Checkpoint:
        """Returns all that goes on from ``step`` steps; ``run`` is what the loop itself keeps."""
        training = {
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "average": self.average.state_dict() if self.average is not None else None,
            "recorder": self.recorder.state_dict(),
            "random": _random_state(),
            "run": run,
        }
        return Checkpoint(step, self.model.state_dict(), training)

    def restore(self, checkpoint: Checkpoint) -> Mapping[str, Any]:
        """Takes every part, and the random generators, to where the checkpoint left them; returns its ``run``.

        Raises:
            ValueError: it is of another job: a part does not fit.
        """
        saved = checkpoint.training
        self.model.load_state_dict(dict(checkpoint.model))
        self.optimizer.load_state_dict(saved["optimizer"])
        self.schedule.load_state_dict(saved["schedule"])
        if self.average is not None:
            self.average.load_state_dict(saved["average"])
        self.recorder.load_state_dict(saved["recorder"])
        _restore_random_state(saved["random"])
        run: Mapping[str, Any] = saved["run"]
        return run


def _random_state() -> dict[str, Any]:
    """The state of every generator that training draws from, such as dropout's."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": list(cuda)}


def _restore_random_state(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])

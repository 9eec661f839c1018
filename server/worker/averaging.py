"""Averages of the parameters over the run, kept beside them and validated beside the last iterate."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_multi_avg_fn

from sm3.remote.job_specs import AveragingSpec, PolyakSpec


class Average:
    """A running average of a model's parameters, through `torch.optim.swa_utils`.

    Adds one copy of the model (:attr:`num_bytes`), whatever the optimizer. A cool-down of the learning rate ends a
    run much as averaging does and needs no memory (the README of the authors' code).

    Args:
        spec: which average.
        model: what is averaged; not changed.
        steps: steps of the whole run.
    """

    def __init__(self, spec: AveragingSpec, model: torch.nn.Module, *, steps: int) -> None:
        if isinstance(spec, PolyakSpec):
            rule = get_swa_multi_avg_fn()  # type: ignore[no-untyped-call]
            self._first_step = int(spec.start * steps) + 1
        else:
            rule = get_ema_multi_avg_fn(spec.decay)  # type: ignore[no-untyped-call]
            self._first_step = 1
        self._averaged = AveragedModel(model, multi_avg_fn=rule)
        self._source = model

    def update(self, step: int) -> None:
        """Takes in the parameters after ``step`` steps, if the average has begun by then."""
        if step >= self._first_step:
            self._averaged.update_parameters(self._source)

    @property
    def model(self) -> torch.nn.Module | None:
        """The model with averaged parameters; None before the average has begun."""
        averaged: torch.nn.Module = self._averaged.module
        return averaged if int(self._averaged.n_averaged) > 0 else None

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Returns the averaged parameters and how many steps are in them; not copies."""
        return self._averaged.state_dict()

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Takes back what the same average of the same model held."""
        self._averaged.load_state_dict(state)

    @property
    def num_bytes(self) -> int:
        """Bytes of the copy."""
        return sum(t.nbytes for t in self._averaged.module.state_dict(keep_vars=True).values())

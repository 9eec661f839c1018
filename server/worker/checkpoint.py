"""All that a run needs to go on exactly as if nothing had happened, to disk and back.

What is saved is what changes while training: weights and buffers, the optimizer's state and groups, the schedule,
averages, what statistics keep from step to step, the state of the random generators, and what was recorded since the
last frame. Data need no position of their own: a batch is a pure function of the step.

Any nesting of dicts, lists and tuples of numbers, strings, None and tensors can be saved; nothing in a checkpoint can
execute.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from server.checkpoint_files import (
    MODEL,
    STATE,
    TRAINING,
    faults,
    folder_of,
    keep_newest,
    listed,
    publishing,
)


@dataclass(frozen=True)
class Checkpoint:
    """What was saved after ``step`` steps: the model's state dict, and everything else."""

    step: int
    model: Mapping[str, Tensor]
    training: Mapping[str, Any]


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one job.

    Args:
        folder: where they are.
        keep: how many of the newest are kept.
    """

    folder: Path
    keep: int = 2

    def save(self, checkpoint: Checkpoint) -> None:
        """Writes a checkpoint, durably and as a whole, and removes those that are too old.

        Raises:
            OSError: it could not be written (a full disk); earlier ones are untouched.
        """
        tensors = _Tensors()
        model = tensors.pack(dict(checkpoint.model))
        weights = tensors.taken()
        training = tensors.pack(dict(checkpoint.training))
        state = {"format": 1, "step": checkpoint.step, "model": model, "training": training}
        try:
            with publishing(self.folder, checkpoint.step) as folder:
                save_file(weights, folder / MODEL)
                save_file(tensors.taken(), folder / TRAINING)
                (folder / STATE).write_text(json.dumps(state), encoding="utf-8")
        except SafetensorError as error:
            raise OSError(str(error)) from error
        keep_newest(self.folder, self.keep)

    def newest(self) -> tuple[Checkpoint | None, tuple[str, ...]]:
        """Returns the newest checkpoint that is whole (None where there is none), and why newer ones are not."""
        damaged: list[str] = []
        for view in listed(self.folder):
            found = faults(self.folder, view.step)
            if not found:
                return self._load(view.step), tuple(damaged)
            damaged.append(f"the checkpoint of step {view.step:,} is damaged: {'; '.join(found)}")
        return None, tuple(damaged)

    def _load(self, step: int) -> Checkpoint:
        folder = folder_of(self.folder, step)
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        # Copies: the loader's own are views into the file, wherever in it their bytes begin.
        tensors = {
            name: tensor.clone()
            for part in (MODEL, TRAINING)
            for name, tensor in load_file(folder / part).items()
        }
        return Checkpoint(step, _unpack(state["model"], tensors), _unpack(state["training"], tensors))


class _Tensors:
    """Takes the tensors out of a nesting and leaves their names; one that is there twice is kept once."""

    def __init__(self) -> None:
        self._names: dict[tuple[object, ...], str] = {}
        self._new: dict[str, Tensor] = {}
        self._held: list[Tensor] = []

    def pack(self, value: Any) -> Any:
        """Returns what JSON can hold of ``value``: exact, for Python writes floats so that they read back the same."""
        if isinstance(value, Tensor):
            return {"tensor": self._name(value.detach())}
        if isinstance(value, Mapping):
            return {"dict": [[key, self.pack(item)] for key, item in value.items()]}
        if isinstance(value, tuple):
            return {"tuple": [self.pack(item) for item in value]}
        if isinstance(value, list):
            return [self.pack(item) for item in value]
        if value is None or isinstance(value, bool | int | float | str):
            return value
        raise TypeError(f"{type(value).__name__} cannot be saved: {value!r}")

    def taken(self) -> dict[str, Tensor]:
        """Returns the tensors since the last call, by name."""
        new, self._new = self._new, {}
        return new

    def _name(self, tensor: Tensor) -> str:
        key = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype, tensor.device)
        if tensor.numel() == 0 or key not in self._names:
            name = f"{len(self._held)}"
            self._names[key] = name
            self._held.append(tensor)  # so that no other tensor takes its place in memory meanwhile
            # What is a view of a larger tensor is saved for itself.
            self._new[name] = (
                tensor.contiguous()
                if _owns_all(tensor)
                else tensor.clone(memory_format=torch.contiguous_format)
            )
            return name
        return self._names[key]


def _owns_all(tensor: Tensor) -> bool:
    return tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()


def _unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpack(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, held),) = value.items()
    if kind == "tensor":
        return tensors[held]
    if kind == "tuple":
        return tuple(_unpack(item, tensors) for item in held)
    return {key: _unpack(item, tensors) for key, item in held}

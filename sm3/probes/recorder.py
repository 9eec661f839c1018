"""Runs probes and brings what they read to the host in one copy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

import numpy as np
import numpy.typing as npt
import torch

from sm3.probes.base import Probe, Reading
from sm3.probes.tracking import tracked

Arrays = dict[str, npt.NDArray[np.float32]]
Values = dict[str, float]


class Recorder:
    """Reads an optimizer with a list of probes.

    Args:
        optimizer: the optimizer to read; never changed.
        probes: what to read.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, probes: Iterable[Probe]) -> None:
        self.optimizer = optimizer
        self.probes = tuple(probes)

    @torch.no_grad()
    def read(self, lrs: Sequence[float]) -> tuple[Arrays, Values]:
        """Returns all arrays and scalars of the step just done, on the host.

        Call it after ``step()`` and before gradients are cleared.

        Args:
            lrs: the learning rate of that step, one a parameter group.
        """
        tensors = list(tracked(self.optimizer, lrs))
        total = Reading()
        for probe in self.probes:
            reading = probe.read(tensors)
            total.arrays |= reading.arrays
            total.scalars |= reading.scalars
        grads = [t.grad for t in tensors if t.grad is not None]
        if grads:
            total.scalars["grad_norm"] = torch.nn.utils.get_total_norm(grads)
        return _to_host(total)


def _to_host(reading: Reading) -> tuple[Arrays, Values]:
    """Moves a reading to the host: all tensors as one flat float32 buffer, in one copy."""
    tensors = [*reading.arrays.values(), *reading.scalars.values()]
    if not tensors:
        return {}, {}
    device = next((t.device for t in tensors if t.device.type != "cpu"), tensors[0].device)
    flat = torch.cat([t.reshape(-1).to(device, torch.float32) for t in tensors]).cpu().numpy()
    arrays: Arrays = {}
    offset = 0
    for name, tensor in reading.arrays.items():
        size = prod(tensor.shape)
        arrays[name] = flat[offset : offset + size].reshape(tuple(tensor.shape)).copy()
        offset += size
    return arrays, dict(zip(reading.scalars, flat[offset:].tolist(), strict=True))

"""How long rows have been without a gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from sm3.probes.base import Probe, Reading, max_pool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from sm3.probes.base import Watched
    from sm3.probes.tracking import Tracked
    from sm3.remote.record_specs import ProbeSettings


class Idle(Probe):
    """For how many readings in a row each row of a matrix has had a gradient of zero.

    Array ``idle/dim0/NAME``, max-pooled to 256: the longest idle row of each bin; series ``idle_p50/NAME`` and
    ``idle_max/NAME``. It sees the steps that are read and no others: read it at every step (``"every": 1``) for run
    lengths in steps.

    Kind: array and series a tensor. Unit: readings. Cost: two passes over the gradient. Memory: a float a row.
    """

    name: ClassVar[str] = "idle"

    def __init__(self, watched: Watched | None = None, settings: ProbeSettings | None = None) -> None:
        super().__init__(watched, settings)
        self._idle: dict[str, Tensor] = {}

    def read(self, tensors: Sequence[Tracked], step: int) -> Reading:
        """Returns run lengths of the tensors of rank 2 and more."""
        import torch

        reading = Reading()
        for tensor in tensors:
            if len(tensor.shape) < 2 or 0 in tensor.shape or tensor.grad is None:
                continue
            active = (tensor.grad != 0).flatten(1).any(1)
            idle = self._idle.get(tensor.name)
            idle = torch.zeros_like(active, dtype=torch.float32) if idle is None else idle
            idle = self._idle[tensor.name] = torch.where(active, 0.0, idle + 1)
            reading.arrays[f"idle/dim0/{tensor.name}"] = max_pool(idle)
            reading.scalars[f"idle_p50/{tensor.name}"] = idle.median()
            reading.scalars[f"idle_max/{tensor.name}"] = idle.amax()
        return reading

    @property
    def num_bytes(self) -> int:
        """The run lengths."""
        return sum(idle.nbytes for idle in self._idle.values())

    def state_dict(self) -> dict[str, Any]:
        """Returns name to run lengths."""
        return dict(self._idle)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes back run lengths."""
        self._idle = dict(state)

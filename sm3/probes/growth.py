"""How fast accumulators still grow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from sm3.probes.base import Probe, Reading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from sm3.probes.base import Watched
    from sm3.probes.tracking import Tracked
    from sm3.remote.record_specs import ProbeSettings

SATURATED = 0.01
"""Share of the growth of a steady gradient (1/t a step) below which a set counts as saturated."""


class Growth(Probe):
    """How much each tensor's accumulators grew a step since the last frame, and how many hardly grow any more.

    Under a steady gradient an accumulator grows by 1/t of itself at step t. ``growth/NAME`` is the median over sets
    of the relative growth a step times t: 1 when gradients are as large as ever, below 1 when they fade, above 1
    when they swell. ``saturated/NAME`` is the share of non-zero sets below 0.01: old outliers hold them up.

    Kind: series a tensor. Unit: multiples of steady growth; share. Cost: a sort of the accumulators. Memory: a copy
    of the accumulators (Σ dᵢ floats a tensor for slices), from frame to frame; none of tensors under singletons.
    """

    name: ClassVar[str] = "growth"

    def __init__(self, watched: Watched | None = None, settings: ProbeSettings | None = None) -> None:
        super().__init__(watched, settings)
        self._last: dict[str, tuple[int, Tensor]] = {}

    def read(self, tensors: Sequence[Tracked], step: int) -> Reading:
        """Returns the growth of ``tensors`` since the last reading; nothing at the first."""
        import torch

        reading = Reading()
        for tensor in tensors:
            if tensor.cover is None or tensor.cover.kind == "singletons":
                continue
            now = torch.cat([mu.flatten() for mu in tensor.mu])
            then_step, then = self._last.get(tensor.name, (step, now))
            self._last[tensor.name] = (step, now)
            if then_step == step or now.numel() == 0:
                continue
            relative = (now - then) / now * (step / (step - then_step))
            alive = now > 0
            reading.scalars[f"growth/{tensor.name}"] = torch.where(alive, relative, torch.nan).nanmedian()
            slow = (alive & (relative < SATURATED)).sum()
            reading.scalars[f"saturated/{tensor.name}"] = slow / alive.sum().clamp(min=1)
        return reading

    @property
    def num_bytes(self) -> int:
        """The copies."""
        return sum(mu.nbytes for _, mu in self._last.values())

    def state_dict(self) -> dict[str, Any]:
        """Returns name to step and accumulators of the last reading."""
        return {name: [step, mu] for name, (step, mu) in self._last.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes back the last reading."""
        self._last = {name: (step, mu) for name, (step, mu) in state.items()}

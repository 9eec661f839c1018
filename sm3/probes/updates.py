"""How large a step is beside the weights it moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sm3.probes.base import Probe, Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sm3.probes.tracking import Tracked


class Updates(Probe):
    """Norm of a step's change of each tensor over the norm of the tensor, and the norm of its momentum.

    Series ``update_ratio/NAME`` = ‖Δw‖/‖w‖, with weight decay in Δw; ``momentum_norm/NAME`` = ‖m‖ where SM3 keeps
    momentum. About 1e-3 is what practitioners look for; 0.1 tears a tensor apart, 1e-6 leaves it where it was.

    Kind: series a tensor. Unit: ratio; gradient/√ν for the momentum. Cost: a copy of the parameters before the step
    that is read, three passes after it. Memory: 4 bytes a parameter, from before the step until after it only.
    """

    name: ClassVar[str] = "updates"
    _before: dict[str, Tensor] | None = None

    def before(self, tensors: Sequence[Tracked]) -> None:
        """Copies the parameters."""
        self._before = {t.name: t.param.clone() for t in tensors if t.param is not None and t.param.numel()}

    def read(self, tensors: Sequence[Tracked], step: int) -> Reading:
        """Returns ratios and norms of ``tensors``; ratios only if :meth:`before` saw them before this step."""
        reading = Reading()
        before, self._before = self._before or {}, None
        for tensor in tensors:
            if tensor.param is not None and tensor.name in before:
                moved = (tensor.param - before.pop(tensor.name)).norm()
                reading.scalars[f"update_ratio/{tensor.name}"] = moved / tensor.param.norm()
            momentum = tensor.momentum()
            if momentum is not None:
                reading.scalars[f"momentum_norm/{tensor.name}"] = momentum.norm()
        return reading

"""What the optimizer decides once for a parameter rather than at each step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from sm3.covers import Cover
    from sm3.kernels import Kernel, Work


@dataclass(slots=True, eq=False)
class Planned:
    """A parameter's name, cover and kernel; kept until its group or its layout changes.

    Attributes:
        name: From `named_parameters`, else "group.index".
        param: The parameter.
        cover: Covers its shape.
        kernel: Steps it.
        reason: Why that kernel does.
        address: Of its memory when this was decided; 0 for an empty tensor.
        contiguous: Whether it was contiguous then.
        work: What the kernel is given; None where state is still to be allocated or was replaced.
        state: The entry of the optimizer's state that `work` was made from.
    """

    name: str
    param: Tensor
    cover: Cover
    kernel: Kernel
    reason: str
    address: int
    contiguous: bool
    work: Work | None = None
    state: dict[str, Tensor] = field(default_factory=dict)

    def has_moved(self) -> bool:
        """Whether `param.data` was assigned to: what the kernel's choice and its addresses hang on."""
        return self.param.data_ptr() != self.address or self.param.is_contiguous() is not self.contiguous

    def is_stale(self, work: Work, with_momentum: bool) -> bool:
        """Whether `work` no longer holds the tensors that the state holds."""
        if self.state["accumulator_0"] is not work.mu[0] or (work.momentum is None) is with_momentum:
            return True
        return work.momentum is not None and self.state["momentum"] is not work.momentum.values

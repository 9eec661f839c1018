"""The ways to carry out a step, and the dispatcher that picks one for each tensor.

To add a kernel: one module beside this one with `name`, `merit`, `refuses` and `run` (see `base.Kernel`), one line in
`PREFERENCE`, fastest first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sm3.kernels import cpu, eager, reference, triton
from sm3.kernels.base import Kernel as Kernel
from sm3.kernels.base import KernelChoice as KernelChoice
from sm3.kernels.base import StepOptions as StepOptions
from sm3.kernels.base import Work as Work

if TYPE_CHECKING:
    from torch import Tensor

    from sm3.covers.base import Cover

PREFERENCE: tuple[Kernel, ...] = (cpu, triton, eager, reference)
KERNELS: dict[str, Kernel] = {kernel.name: kernel for kernel in PREFERENCE}


def choose(param: Tensor, cover: Cover, options: StepOptions, *, asked: str = "auto") -> tuple[Kernel, str]:
    """The kernel that serves a tensor, and why.

    Args:
        param: The parameter.
        cover: Its cover.
        options: Its group's hyperparameters.
        asked: "auto" for the first of `PREFERENCE` that does not refuse, or a kernel's name.

    Raises:
        ValueError: The kernel asked for refuses the tensor, or there is none of that name.
    """
    if asked != "auto":
        if asked not in KERNELS:
            raise ValueError(f"kernel={asked!r} is unknown; allowed: 'auto', {', '.join(map(repr, KERNELS))}")
        refusal = KERNELS[asked].refuses(param, cover, options)
        if refusal is not None:
            raise ValueError(
                f"kernel {asked!r} cannot serve a tensor of shape {tuple(param.shape)}: {refusal}"
            )
        return KERNELS[asked], "asked for by name"
    refusals: list[str] = []
    for kernel in PREFERENCE:
        refusal = kernel.refuses(param, cover, options)
        if refusal is None:
            return kernel, "; ".join([kernel.merit, *refusals])
        refusals.append(f"{kernel.name}: {refusal}")
    raise AssertionError("the reference kernel refuses nothing")

"""Shadow covers: other covers' accumulators, driven by the same gradients without touching training.

Each shadow is an SM3 optimizer of its own over stand-ins for the parameters, stepped with a learning rate of 0
after every step of the real one. So a shadow takes the same kernels as training does, and its accumulators are,
bit for bit, those of an optimizer that had seen these gradients under that cover (Algorithms SM3-I and SM3-II of
arXiv 1901.11150 read nothing but gradients).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sm3.groups import as_cover
from sm3.optimizer import SM3

if TYPE_CHECKING:
    from sm3.covers import Cover
    from sm3.groups import CoverLike


class Shadow:
    """One cover's accumulators on the gradients of chosen parameters.

    Memory: the accumulators of the cover, and room as large as the largest chosen parameter, of its dtype, that
    kernels step in place of the parameters. `num_bytes` counts both.

    Args:
        params: Name to parameter; read for shape, dtype, device and gradient, never written.
        cover: The cover of every chosen parameter, of whatever rank.
        tensors: Globs on names; a parameter that any of them matches is chosen.
        variant: "II" or "I".
        beta2: Name to the decay of its accumulators; absent or None for sums.
        label: What the shadow is called in frames.

    Raises:
        ValueError: The cover cannot cover a chosen parameter, or no parameter is chosen.
    """

    def __init__(
        self,
        params: Mapping[str, Tensor],
        cover: CoverLike,
        *,
        tensors: Sequence[str] = ("*",),
        variant: str = "II",
        beta2: Mapping[str, float | None] | None = None,
        label: str = "shadow",
    ) -> None:
        self.label = label
        self.cover: Cover = as_cover(cover)
        self._originals = {n: p for n, p in params.items() if any(fnmatchcase(n, glob) for glob in tensors)}
        if not self._originals:
            raise ValueError(f"shadow {label!r}: no parameter's name matches {', '.join(map(repr, tensors))}")
        rooms: dict[tuple[torch.dtype, torch.device], int] = {}
        for param in self._originals.values():
            key = (param.dtype, param.device)
            rooms[key] = max(rooms.get(key, 0), param.numel())
        self._rooms = {key: torch.zeros(size, dtype=key[0], device=key[1]) for key, size in rooms.items()}
        self._stand_ins = {name: self._stand_in(param) for name, param in self._originals.items()}
        groups: defaultdict[float | None, list[tuple[str, torch.nn.Parameter]]] = defaultdict(list)
        for name, stand_in in self._stand_ins.items():
            groups[(beta2 or {}).get(name)].append((name, stand_in))
        self._optimizer = SM3(
            [{"params": params, "cover": self.cover, "beta2": decay} for decay, params in groups.items()],
            lr=0.0,
            momentum=0.0,
            variant=variant,
            nonfinite="propagate",
        )

    def _stand_in(self, param: Tensor) -> torch.nn.Parameter:
        """A parameter of the same shape that shares its room with all others: what is written there is nobody's."""
        room = self._rooms[param.dtype, param.device][: param.numel()]
        return torch.nn.Parameter(room.view(param.shape), requires_grad=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The chosen parameters."""
        return tuple(self._originals)

    def observe(self) -> None:
        """Take in the gradients that the parameters hold now; call it once after each step.

        Cost: one optimizer step without momentum over the chosen parameters.
        """
        for name, param in self._originals.items():
            self._stand_ins[name].grad = param.grad
        self._optimizer.step()
        for stand_in in self._stand_ins.values():
            stand_in.grad = None

    def accumulators(self, name: str) -> tuple[Tensor, ...]:
        """The accumulators of a chosen parameter; zeros before the first gradient. Not copies: do not write."""
        return self._optimizer.accumulators(self._stand_ins[name])

    def bound(self, name: str) -> Tensor:
        """The bound of every entry of a chosen parameter, of its shape."""
        return self.cover.bound(self.accumulators(name), tuple(self._originals[name].shape))

    def bound_at(self, name: str, entries: Tensor) -> Tensor:
        """The bound of some entries, given as flat indices (n,)."""
        return self.cover.bound_at(self.accumulators(name), tuple(self._originals[name].shape), entries)

    @property
    def accumulator_bytes(self) -> int:
        """What the cover would cost an optimizer: float32 accumulators of all chosen parameters."""
        return 4 * sum(self.cover.num_accumulators(tuple(p.shape)) for p in self._originals.values())

    @property
    def num_bytes(self) -> int:
        """All memory of the shadow: accumulators and room."""
        return self.accumulator_bytes + sum(room.nbytes for room in self._rooms.values())


class WholeTruth(Shadow):
    """AdaGrad's exact accumulators `gamma` of chosen parameters: the shadow under singletons.

    Args:
        params: Name to parameter.
        tensors: Globs on names.
        limit_bytes: The most bytes that the accumulators may take.
        beta2: Name to decay, as the optimizer's, so that `gamma` forgets alike.

    Raises:
        ValueError: More bytes would be needed than `limit_bytes`, or nothing matches.
    """

    def __init__(
        self,
        params: Mapping[str, Tensor],
        tensors: Sequence[str],
        *,
        limit_bytes: int = 64 * 2**20,
        beta2: Mapping[str, float | None] | None = None,
    ) -> None:
        needed = sum(
            4 * p.numel() for n, p in params.items() if any(fnmatchcase(n, glob) for glob in tensors)
        )
        if needed > limit_bytes:
            raise ValueError(
                f"whole truth of the tensors that match {', '.join(map(repr, tensors))} takes {needed:,} bytes; at "
                f"most {limit_bytes:,} are allowed: choose fewer tensors or raise the limit"
            )
        super().__init__(params, "singletons", tensors=tensors, beta2=beta2, label="truth")

    def gamma(self, name: str) -> Tensor:
        """Σ g² of every entry (or its moving average), float32 of the parameter's shape."""
        return self.accumulators(name)[0]

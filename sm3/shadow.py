"""Shadow covers: other covers' accumulators, driven by the same gradients without touching training.

Each shadow is an SM3 optimizer of its own over stand-ins for the parameters, stepped with a learning rate of 0
after every step of the real one. So a shadow takes the same kernels as training does, and its accumulators are,
bit for bit, those of an optimizer that had seen these gradients under that cover (Algorithms SM3-I and SM3-II of
arXiv 1901.11150 read nothing but gradients).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sm3.groups import as_cover
from sm3.kernels.sparse import in_force
from sm3.optimizer import SM3

if TYPE_CHECKING:
    from sm3.covers import Cover
    from sm3.covers.base import Accumulators
    from sm3.groups import CoverLike


class Room:
    """Memory that kernels step in place of parameters: what is written there is nobody's, so all stand-ins share it.

    Holds as many numbers as the largest parameter, for each dtype and device there is.

    Args:
        params: Those that stand-ins are wanted for.
    """

    def __init__(self, params: Iterable[Tensor]) -> None:
        sizes: defaultdict[tuple[torch.dtype, torch.device], int] = defaultdict(int)
        for param in params:
            sizes[param.dtype, param.device] = max(sizes[param.dtype, param.device], param.numel())
        self._held = {key: torch.zeros(size, dtype=key[0], device=key[1]) for key, size in sizes.items()}

    def stand_in(self, param: Tensor) -> torch.nn.Parameter:
        """A parameter of the same shape, dtype and device in this memory."""
        held = self._held[param.dtype, param.device][: param.numel()]
        return torch.nn.Parameter(held.view(param.shape), requires_grad=False)

    @property
    def num_bytes(self) -> int:
        """All of it."""
        return sum(held.nbytes for held in self._held.values())


class Shadow:
    """One cover's accumulators on the gradients of chosen parameters.

    Memory: the accumulators of the cover, and the room.

    Args:
        params: Name to parameter; read for shape, dtype, device and gradient, never written.
        cover: The cover of every chosen parameter, of whatever rank.
        tensors: Globs on names; a parameter that any of them matches is chosen.
        variant: "II" or "I".
        beta2: Name to the decay of its accumulators; absent or None for sums.
        label: What the shadow is called in frames.
        room: Shared with other shadows of these parameters; None makes one.

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
        room: Room | None = None,
    ) -> None:
        self.label = label
        self.cover: Cover = as_cover(cover)
        self._originals = {n: p for n, p in params.items() if any(fnmatchcase(n, glob) for glob in tensors)}
        if not self._originals:
            raise ValueError(f"shadow {label!r}: no parameter's name matches {', '.join(map(repr, tensors))}")
        room = room or Room(self._originals.values())
        self._stand_ins = {name: room.stand_in(param) for name, param in self._originals.items()}
        self._after_sparse: set[str] = set()
        groups: defaultdict[float | None, list[tuple[str, torch.nn.Parameter]]] = defaultdict(list)
        for name, stand_in in self._stand_ins.items():
            groups[(beta2 or {}).get(name)].append((name, stand_in))
        self._optimizer = SM3(
            [{"params": group, "cover": self.cover, "beta2": decay} for decay, group in groups.items()],
            lr=0.0,
            momentum=0.0,
            variant=variant,
            nonfinite="propagate",
        )

    def __contains__(self, name: object) -> bool:
        """Whether the parameter of this name is chosen."""
        return name in self._originals

    def observe(self) -> None:
        """Take in the gradients that the parameters hold now; call it once after each step.

        Cost: one optimizer step without momentum over the chosen parameters.
        """
        for name, param in self._originals.items():
            grad = self._stand_ins[name].grad = param.grad
            if grad is not None:
                (self._after_sparse.add if grad.is_sparse else self._after_sparse.discard)(name)
        self._optimizer.step()
        for stand_in in self._stand_ins.values():
            stand_in.grad = None

    def held(self) -> dict[str, tuple[Cover, Accumulators]]:
        """Name to the cover and accumulators that bound its entries now. Not copies: do not write.

        After a sparse gradient these are the rows of slices alone, as `sm3.kernels.sparse` steps them.
        """
        found = {}
        names = {id(stand_in): name for name, stand_in in self._stand_ins.items()}
        for param, cover, mu in self._optimizer.watched():
            name = names[id(param)]
            seen = in_force(cover, mu, tuple(param.shape)) if name in self._after_sparse else (cover, mu)
            found[name] = seen
        return found

    def accumulators(self, name: str) -> Accumulators:
        """The accumulators of a chosen parameter; zeros before the first gradient. Not copies: do not write."""
        return self._optimizer.accumulators(self._stand_ins[name])

    def bound(self, name: str) -> Tensor:
        """The bound of every entry of a chosen parameter, of its shape."""
        cover, mu = self.held()[name]
        return cover.bound(mu, tuple(self._originals[name].shape))

    def state_dict(self) -> dict[str, Any]:
        """Returns the accumulators, and which parameters had sparse gradients last; not copies."""
        return {"optimizer": self._optimizer.state_dict(), "after_sparse": sorted(self._after_sparse)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes back what a shadow of the same cover over the same parameters held.

        Raises:
            ValueError: It had another cover or other parameters.
        """
        self._optimizer.load_state_dict(state["optimizer"])
        self._after_sparse = set(state["after_sparse"])

    @property
    def accumulator_bytes(self) -> int:
        """What the cover would cost an optimizer: float32 accumulators of all chosen parameters."""
        return 4 * sum(self.cover.num_accumulators(tuple(p.shape)) for p in self._originals.values())


class WholeTruth(Shadow):
    """AdaGrad's exact accumulators `gamma` of chosen parameters: the shadow under singletons.

    Args:
        params: Name to parameter.
        tensors: Globs on names.
        limit_bytes: The most bytes that the accumulators may take.
        beta2: Name to decay, as the optimizer's, so that `gamma` forgets alike.
        room: Shared with other shadows of these parameters; None makes one.

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
        room: Room | None = None,
    ) -> None:
        needed = sum(
            4 * p.numel() for n, p in params.items() if any(fnmatchcase(n, glob) for glob in tensors)
        )
        if needed > limit_bytes:
            raise ValueError(
                f"whole truth of the tensors that match {', '.join(map(repr, tensors))} takes {needed:,} bytes; at "
                f"most {limit_bytes:,} are allowed: choose fewer tensors or raise the limit"
            )
        super().__init__(params, "singletons", tensors=tensors, beta2=beta2, label="truth", room=room)

    def gamma(self, name: str) -> Tensor:
        """Σ g² of every entry (or its moving average), float32 of the parameter's shape."""
        return self.accumulators(name)[0]

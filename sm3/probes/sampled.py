"""AdaGrad's exact accumulators for a fixed sample of entries of every tensor: truth at next to no cost."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor

SAMPLE_ENTRIES = 1024


class SampledTruth:
    """`gamma` = Σ g² (or its moving average) of up to n entries a tensor, chosen once; exact to a rounding a step.

    Memory: 12 bytes a sampled entry (4 of gamma, 8 of its place). Cost of a step: n gathered numbers a tensor.

    Args:
        params: Name to parameter; read for shape and gradient. Empty ones are left out.
        beta2: Name to the decay of its accumulators; absent or None for sums.
        entries: n, entries a tensor.
        seed: With the tensor's name, decides the sample.
    """

    def __init__(
        self,
        params: Mapping[str, Tensor],
        *,
        beta2: Mapping[str, float | None] | None = None,
        entries: int = SAMPLE_ENTRIES,
        seed: int = 0,
    ) -> None:
        self._params = {name: param for name, param in params.items() if param.numel()}
        self._beta2 = beta2 or {}
        self.places: dict[str, Tensor] = {}
        """Flat int64 indices of the sampled entries, (n,), by tensor."""
        self._gamma: dict[str, Tensor] = {}
        for name, param in self._params.items():
            drawn = draw(tuple(param.shape), entries, seed=seed, name=name)
            self.places[name] = drawn.to(param.device)
            self._gamma[name] = torch.zeros(len(drawn), device=param.device)

    @torch.no_grad()
    def observe(self) -> None:
        """Take in the gradients that the parameters hold now; call it once after each step."""
        for name, param in self._params.items():
            grad = param.grad
            if grad is None:
                continue
            g = (grad.to_dense() if grad.is_sparse else grad).take(self.places[name]).float()
            gamma, beta2 = self._gamma[name], self._beta2.get(name)
            if beta2 is None:
                gamma.addcmul_(g, g)
            elif grad.is_sparse and grad.sparse_dim() == 1:
                # The rows that are absent forget nothing, as in the optimizer's own sparse steps.
                row = self.places[name] // max(1, param.numel() // param.shape[0])
                present = torch.isin(row, grad.coalesce().indices()[0])
                gamma.copy_(torch.where(present, beta2 * gamma + (1 - beta2) * g * g, gamma))
            else:
                gamma.mul_(beta2).addcmul_(g, g, value=1 - beta2)

    def gamma(self, name: str) -> Tensor:
        """The exact accumulators of the sampled entries of a tensor, float32 (n,). Not a copy: do not write."""
        return self._gamma[name]

    def is_whole(self, name: str) -> bool:
        """Whether the sample of a tensor is all of it."""
        return len(self.places[name]) == self._params[name].numel()

    def state_dict(self) -> dict[str, Tensor]:
        """Returns name to `gamma` of the sampled entries; not copies. Their places follow from the seed."""
        return dict(self._gamma)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Takes back what a sample of the same tensors, size and seed held.

        Raises:
            ValueError: It was a sample of other tensors or of another size.
        """
        shapes, saved = ({n: tuple(g.shape) for n, g in held.items()} for held in (self._gamma, state))
        if saved != shapes:
            raise ValueError(
                f"the saved sample holds {saved}, this one {shapes}; build it with the same tensors and n"
            )
        for name, gamma in self._gamma.items():
            gamma.copy_(state[name])

    @property
    def num_bytes(self) -> int:
        """Memory of the sample: gamma and places."""
        return sum(t.nbytes for held in (self._gamma, self.places) for t in held.values())


def draw(shape: tuple[int, ...], entries: int, *, seed: int, name: str = "") -> Tensor:
    """Returns up to ``entries`` distinct flat indices into a tensor of ``shape``, int64, in increasing order.

    One is drawn from each of ``entries`` equal runs of the flat tensor, so rows are visited evenly and rare ones are
    seen; each entry has the same probability, so quantiles of the sample estimate the tensor's. Two runs may draw
    the entry that they share, which leaves a few less. Where more than half of all entries are asked for, a random
    subset is taken.

    Args:
        shape: of the tensor; not empty.
        entries: at least 1; all entries are taken of a tensor that has no more.
        seed: decides the draw, together with ``name``.
        name: of the tensor.
    """
    size = prod(shape)
    if size <= entries:
        return torch.arange(size)
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=7).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "big"))
    if size < 2 * entries:
        return torch.randperm(size, generator=generator)[:entries].sort().values
    within = torch.rand(entries, generator=generator, dtype=torch.float64)
    places = ((torch.arange(entries) + within) * (size / entries)).long().clamp(max=size - 1)
    distinct: Tensor = torch.unique_consecutive(places)
    return distinct

"""AdaGrad's exact accumulators for a fixed sample of entries of every tensor: truth at next to no cost."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from math import prod

import torch
from torch import Tensor

from sm3.covers import Cover, Singletons

SAMPLE_ENTRIES = 1024


class SampledTruth:
    """`gamma` = Σ g² (or its moving average) of up to n entries a tensor, chosen once.

    Tensors under singletons are left out: there nu is gamma. Memory: 12 bytes a sampled entry (4 of gamma, 8 of its
    place). Cost of a step: n gathered numbers a tensor.

    Args:
        params: Name to parameter; read for shape and gradient.
        covers: The cover of each.
        beta2: Name to the decay of its accumulators; absent or None for sums.
        entries: n, entries a tensor.
        seed: With the tensor's name, decides the sample.
    """

    def __init__(
        self,
        params: Mapping[str, Tensor],
        covers: Mapping[str, Cover],
        *,
        beta2: Mapping[str, float | None] | None = None,
        entries: int = SAMPLE_ENTRIES,
        seed: int = 0,
    ) -> None:
        self._params = {
            name: param
            for name, param in params.items()
            if param.numel() and not isinstance(covers[name], Singletons)
        }
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
            if param.grad is None:
                continue
            grad = param.grad.to_dense() if param.grad.is_sparse else param.grad
            g = grad.take(self.places[name]).float()
            gamma, beta2 = self._gamma[name], self._beta2.get(name)
            if beta2 is None:
                gamma.addcmul_(g, g)
            else:
                gamma.mul_(beta2).addcmul_(g, g, value=1 - beta2)

    def gamma(self, name: str) -> Tensor:
        """The exact accumulators of the sampled entries of a tensor, float32 (n,). Not a copy: do not write."""
        return self._gamma[name]

    @property
    def num_bytes(self) -> int:
        """Memory of the sample: gamma and places."""
        return sum(t.nbytes for held in (self._gamma, self.places) for t in held.values())


def draw(shape: tuple[int, ...], entries: int, *, seed: int, name: str = "") -> Tensor:
    """Returns up to ``entries`` distinct flat indices into a tensor of ``shape``, int64, in increasing order.

    Stratified along dim 0, so that rare rows are seen: where there are at least as many rows as entries, one row is
    drawn from each of ``entries`` equal runs of rows and one entry from it; else every row gives equally many, up
    to one. Each entry is drawn with about the same probability, so plain quantiles of the sample estimate the
    tensor's.

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
    rows = shape[0] if len(shape) > 1 else size
    cols = size // rows
    if rows >= entries:
        edges = torch.arange(entries + 1) * rows // entries
        widths = edges[1:] - edges[:-1]
        drawn_rows = (
            edges[:-1] + (torch.rand(entries, generator=generator, dtype=torch.float64) * widths).long()
        )
        return drawn_rows * cols + torch.randint(cols, (entries,), generator=generator)
    each = entries // rows
    more = torch.randperm(rows, generator=generator)[: entries - each * rows].tolist()
    counts = [each] * rows
    for row in more:
        counts[row] += 1
    # Distinct columns of each row: the first few of a random order of strata.
    parts = []
    for row, count in enumerate(counts):
        edges = torch.arange(count + 1) * cols // max(count, 1)
        widths = edges[1:] - edges[:-1]
        offsets = (torch.rand(count, generator=generator, dtype=torch.float64) * widths).long()
        parts.append(row * cols + edges[:-1] + offsets)
    return torch.cat(parts)

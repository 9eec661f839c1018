from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.sparse.check_sparse_tensor_invariants.enable()


class Oracle:
    """SM3 as loops over explicit sets, in float64: slow, obvious, and independent of `sm3.update`.

    Keeps `mu` (one number a set), `gamma` (exact Σ g² an entry) and the last `nu`.
    """

    def __init__(self, sets, size, *, variant="II", beta2=None):
        assert set().union(*map(set, sets)) == set(range(size)), "not a cover"
        self.sets, self.variant, self.beta2 = sets, variant, beta2
        self.mu = [0.0] * len(sets)
        self.gamma = np.zeros(size)
        self.nu = np.zeros(size)
        self.containing = [[k for k, s in enumerate(sets) if i in s] for i in range(size)]

    def _blend(self, old, new):
        return old + new if self.beta2 is None else self.beta2 * old + (1 - self.beta2) * new

    def direction(self, g):
        """Take one gradient in; return `g/√nu` for each entry, flat."""
        g = np.asarray(g, dtype=np.float64).reshape(-1)
        square = g * g
        self.gamma += square
        if self.variant == "I":
            for k, members in enumerate(self.sets):
                self.mu[k] = self._blend(self.mu[k], max((square[i] for i in members), default=0.0))
            self.nu = np.array([min(self.mu[k] for k in self.containing[i]) for i in range(g.size)])
        else:
            self.nu = np.array([
                self._blend(min(self.mu[k] for k in self.containing[i]), square[i]) for i in range(g.size)
            ])
            self.mu = [max((self.nu[i] for i in members), default=0.0) for members in self.sets]
        return np.array([gi / math.sqrt(n) if n > 0 else 0.0 for gi, n in zip(g, self.nu, strict=True)])


@pytest.fixture(scope="session")
def oracle() -> type[Oracle]:
    return Oracle


@pytest.fixture(scope="session")
def golden() -> dict[str, np.ndarray]:
    shared = ROOT.parent / "shared" / "golden" / "sm3_reference.npz"
    copy = ROOT / "tests" / "golden" / "sm3_reference.npz"
    with np.load(shared if shared.exists() else copy) as archive:
        return {key: archive[key] for key in archive.files}

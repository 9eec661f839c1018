"""Which stretch of the tokens goes into which batch: a pure function of the seed and the step.

Tokens are cut into windows that follow one another without overlap. An epoch visits each window once, in an
order of its own. The order is a keyed permutation computed one element at a time (a Feistel network, stepping
on until the result falls in range), so no list of windows is ever held, however big the corpus.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROUNDS = 4
"""Feistel rounds; with four, the order is as good as random for this purpose."""


def permute(index: int, *, size: int, key: bytes) -> int:
    """Send an index to its place in an order of 0 … size-1 that the key decides.

    Args:
        index: 0 … size-1.
        size: how many there are.
        key: at most 64 bytes; each gives an order of its own.

    Returns:
        A number in 0 … size-1; for one key, different indices go to different numbers.

    >>> sorted(permute(i, size=5, key=b"any") for i in range(5))
    [0, 1, 2, 3, 4]
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)  # bits in each half, so that 4**half >= size
    mask = (1 << half) - 1
    while True:
        left, right = index >> half, index & mask
        for round_number in range(ROUNDS):
            message = round_number.to_bytes(1, "big") + right.to_bytes(8, "big")
            mixed = hashlib.blake2b(message, key=key, digest_size=8).digest()
            left, right = right, left ^ (int.from_bytes(mixed, "big") & mask)
        index = left << half | right
        # A bijection of 0 … 4**half-1, walked until it is back in range, is a bijection of 0 … size-1.
        if index < size:
            return index


@dataclass(frozen=True)
class Windows:
    """The windows of one stretch of tokens.

    Attributes:
        tokens: 1-D token numbers, possibly mapped from disk.
        context: tokens the model sees; a window holds one more, the last one's target.
    """

    tokens: NDArray[Any]
    context: int

    def __post_init__(self) -> None:
        """Refuse a text without a single window."""
        if self.tokens.size <= self.context:
            raise ValueError(
                f"the text has {self.tokens.size} tokens, too few for a context of {self.context};"
                " choose a smaller context or a larger corpus"
            )

    def __len__(self) -> int:
        return (self.tokens.size - 1) // self.context

    def gather(self, indices: list[int]) -> NDArray[np.int64]:
        """Return the windows of the given numbers, (len(indices), context + 1)."""
        starts = [index * self.context for index in indices]
        return np.stack([self.tokens[start : start + self.context + 1].astype(np.int64) for start in starts])

    def shuffled(self, step: int, *, batch_size: int, seed: int) -> NDArray[np.int64]:
        """Return the training batch of a step, (batch_size, context + 1).

        Args:
            step: 0-based.
            batch_size: windows in a batch.
            seed: decides the order.
        """
        first = step * batch_size
        positions = range(first, first + batch_size)
        return self.gather([self._place(position, seed=seed) for position in positions])

    def _place(self, position: int, *, seed: int) -> int:
        epoch, index = divmod(position, len(self))
        return permute(index, size=len(self), key=seed.to_bytes(16, "big") + epoch.to_bytes(16, "big"))

    def spread(self, count: int) -> list[int]:
        """Choose `count` window numbers evenly over the text, or all where it has fewer."""
        count = min(count, len(self))
        return [position * len(self) // count for position in range(count)]

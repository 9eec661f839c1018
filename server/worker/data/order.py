"""In which order the training data is visited: a pure function of the seed and the step.

An epoch visits each item once, in an order of its own. The order is a keyed permutation computed one element
at a time (a Feistel network, stepping on until the result falls in range), so no list of items is ever held,
however many there are, and it is the same with every version of every library.
"""

import hashlib

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


def batch_indices(step: int, *, size: int, batch_size: int, seed: int) -> list[int]:
    """Return the items of a step's training batch; a batch may reach over the end of an epoch.

    Args:
        step: 0-based.
        size: items in an epoch, at least 1.
        batch_size: items in a batch.
        seed: decides the order, 0 or more.

    Returns:
        `batch_size` numbers in 0 … size-1.
    """
    first = step * batch_size
    return [_place(position, size=size, seed=seed) for position in range(first, first + batch_size)]


def _place(position: int, *, size: int, seed: int) -> int:
    epoch, index = divmod(position, size)
    return permute(index, size=size, key=seed.to_bytes(16, "big") + epoch.to_bytes(16, "big"))

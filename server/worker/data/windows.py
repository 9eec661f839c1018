"""Which stretch of the tokens goes into which batch: a pure function of the seed and the step.

Tokens are cut into windows that follow one another without overlap; `order` says which come when.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.worker.data.order import batch_indices


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
        return self.gather(batch_indices(step, size=len(self), batch_size=batch_size, seed=seed))

    def spread(self, count: int) -> list[int]:
        """Choose `count` window numbers evenly over the text, or all where it has fewer."""
        count = min(count, len(self))
        return [position * len(self) // count for position in range(count)]

"""Muon as torch has it: one momentum a matrix; AdamW for all that is no hidden matrix."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from fnmatch import fnmatchcase

from sm3.ledger.rules.adamw import AdamW
from sm3.ledger.rules.base import TORCH, Kept, Part, Rule, Step, full
from sm3.ledger.shapes import TensorShape
from sm3.remote.ledger_specs import AdamWLedgerSpec, Dtype, MuonSpec


class Muon(Rule[MuonSpec]):
    """`momentum_buffer` of a matrix, in the gradient's dtype; torch's Muon refuses any other rank.

    Embeddings and output layers are stepped by AdamW, as its author advises.
    """

    source = "torch/optim/_muon.py; Keller Jordan, Muon, 2024"
    verified = TORCH
    title = "Muon, with AdamW"

    def __init__(self, spec: MuonSpec) -> None:
        super().__init__(spec)
        self._adamw = AdamW(AdamWLedgerSpec())

    def takes(self, tensor: TensorShape) -> bool:
        """Whether Muon itself steps this tensor."""
        return len(tensor.shape) == 2 and not any(fnmatchcase(tensor.name, g) for g in self.spec.adamw_for)

    def kept(self, tensor: TensorShape) -> Iterator[Kept]:
        """Yields the momentum of a hidden matrix, or AdamW's state."""
        if self.takes(tensor):
            yield full("momentum_buffer", Part.MOMENTUM, tensor)
        else:
            yield from self._adamw.kept(tensor)

    def working_bytes(self, tensor: TensorShape, step: Step) -> int:
        """The update, three matrices in bfloat16 and two Gram matrices of the shorter side, roughly.

        That is with oneDNN's products in bfloat16; a CPU without AVX-512 does without the room of the last two.
        """
        if not self.takes(tensor):
            return self._adamw.working_bytes(tensor, step)
        short = min(tensor.shape)
        return tensor.num_bytes + Dtype.BF16.itemsize * (3 * tensor.num_entries + 2 * short * short)

    def left_bytes(self, tensor: TensorShape, step: Step) -> int:
        """AdamW's, of what it steps."""
        return 0 if self.takes(tensor) else self._adamw.left_bytes(tensor, step)

    def transient_bytes(
        self, tensors: Sequence[TensorShape], working: Sequence[int], left: Sequence[int], step: Step
    ) -> int:
        """Two optimizers step one after the other: the larger need of both."""
        own = [self.takes(tensor) for tensor in tensors]
        rest = [k for k, is_own in enumerate(own) if not is_own]
        return max(
            max((num_bytes for num_bytes, is_own in zip(working, own, strict=True) if is_own), default=0),
            self._adamw.transient_bytes(
                [tensors[k] for k in rest], [working[k] for k in rest], [left[k] for k in rest], step
            ),
        )

    def key(self, tensor: TensorShape) -> Hashable:
        """Which of the two steps it."""
        return self.takes(tensor)

    def notes(self, tensors: Sequence[TensorShape]) -> Iterator[str]:
        """Yields how many tensors Muon itself takes."""
        own = sum(map(self.takes, tensors))
        yield f"Muon steps {own} of {len(tensors)} tensors, AdamW the rest"

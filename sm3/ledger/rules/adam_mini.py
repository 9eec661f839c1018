"""Adam-mini: Adam's momentum, and one second moment a head, a neuron or a whole tensor, chosen by the tensor's name."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from enum import Enum

from sm3.ledger.rules.base import Kept, Part, Rule, Step, Verified, full
from sm3.ledger.shapes import TensorShape
from sm3.remote.ledger_specs import AdamMiniSpec
from sm3.remote.wire import FieldFault

DIM, HEADS = 2048, 32
_BY_HEAD = ("k_proj", "q_proj", "wq", "wk", "query", "key")
_BY_NEURON = (
    *("embed", "embd", "wte"),
    *("lm_head", "output", "final_layer"),
    *("v_proj", "wv", "value"),
    *("o_proj", "wo", "attn.proj"),
    *("feed_forward", "linear", "mlp"),
)


class Share(Enum):
    """What entries of a tensor share a second moment."""

    NONE = "every entry has its own"
    HEAD = "those of a head"
    NEURON = "those of a row"
    ALL = "all of the tensor"


class AdamMini(Rule[AdamMiniSpec]):
    """`m` of the parameter's shape and dtype, `vmean` of one number a block (`v` of all entries for biases)."""

    source = "adam_mini/adam_mini.py (step); arXiv 2406.16793, Algorithm 3"
    verified = Verified("adam-mini", "1.1.1")
    title = "Adam-mini"

    @property
    def head_entries(self) -> int:
        """Entries of a head: those of dim² shared out among the heads."""
        return (self.spec.dim or DIM) ** 2 // (self.spec.n_heads or HEADS)

    def share(self, tensor: TensorShape) -> Share:
        """By which of its rules on names a tensor goes."""
        name = tensor.name.lower()
        if "bias" in name:
            return Share.NONE
        if any(part in name for part in _BY_HEAD):
            return Share.HEAD
        if any(part in name for part in _BY_NEURON) and len(tensor.shape) >= 2:
            return Share.NEURON
        return Share.ALL

    def kept(self, tensor: TensorShape) -> Iterator[Kept]:
        """Yields momentum and second moments."""
        yield full("m", Part.MOMENTUM, tensor)
        match self.share(tensor):
            case Share.NONE:
                yield full("v", Part.ACCUMULATORS, tensor)
            case Share.HEAD:
                heads = tensor.num_entries // self.head_entries
                yield Kept("vmean", Part.ACCUMULATORS, (heads, 1), tensor.dtype)
            case Share.NEURON:
                rows, trailing = tensor.shape[0], tensor.shape[2:]
                yield Kept(
                    "vmean", Part.ACCUMULATORS, (rows, min(1, tensor.shape[1]), *trailing), tensor.dtype
                )
            case Share.ALL:
                yield Kept("vmean", Part.ACCUMULATORS, (), tensor.dtype)

    def working_bytes(self, tensor: TensorShape, step: Step) -> int:
        """The update and its negative; a bias's root and quotient."""
        return 2 * tensor.num_bytes

    def key(self, tensor: TensorShape) -> Hashable:
        """Which of its rules on names it goes by."""
        return self.share(tensor)

    def faults(self, tensors: Sequence[TensorShape]) -> Iterator[FieldFault]:
        """Yields a query or key that does not split into heads."""
        for tensor in tensors:
            entries = max(1, self.head_entries)
            if self.share(tensor) is Share.HEAD and tensor.num_entries % entries:
                yield FieldFault(
                    field="dim",
                    given=f"dim {self.spec.dim or DIM}, n_heads {self.spec.n_heads or HEADS}",
                    allowed=f"such that dim²/n_heads divides the {tensor.num_entries:,} entries of {tensor.name!r}",
                )
                return

    def notes(self, tensors: Sequence[TensorShape]) -> Iterator[str]:
        """Yields where the package itself would fail, and how many tensors share nothing below the whole."""
        vectors = [t.name for t in tensors if is_refused(t)]
        if vectors:
            yield (
                f"adam-mini 1.1.1 itself fails on {len(vectors)} vectors whose names look like matrices to it, such as "
                f"{vectors[0]!r}; counted as one block each, as its paper has it"
            )


def is_refused(tensor: TensorShape) -> bool:
    """Whether the package itself fails on this tensor: a vector that its rules on names take for a matrix."""
    name = tensor.name.lower()
    is_other = "bias" in name or any(part in name for part in _BY_HEAD)
    return len(tensor.shape) < 2 and not is_other and any(part in name for part in _BY_NEURON)

"""SM3 of this library: the cover's accumulators in float32, and momentum as it is asked to be stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from importlib.metadata import version
from math import isqrt, prod

from sm3.covers import Blocks, Cover, CoverPolicy, Reshaped, Singletons, Slices, Whole, from_spec
from sm3.covers.misfits import misfits
from sm3.ledger.rules.base import Kept, Part, Rule, Step, Verified, full
from sm3.ledger.shapes import Shape, TensorShape
from sm3.remote.cover_specs import CoverSpec, ReshapedSpec, UnionSpec
from sm3.remote.ledger_specs import Dtype
from sm3.remote.optimizer_specs import AdviseSpec, Sm3Spec
from sm3.remote.record_specs import ShadowSpec, label_of
from sm3.remote.wire import FieldFault

RUN = 256
"""Entries of a row that share a scale of int8 momentum: `sm3.kernels.momentum.RUN`."""
CPU_BLOCK_ENTRIES = 131_072
CUDA_BLOCK_ENTRIES = 16_777_216
"""Entries the eager kernel takes at once: `sm3.kernels.eager`'s, for one thread."""
_C_MAX_RANK = 8
MAX_DIVISIONS = 2**22
_DTYPES = {"fp32": Dtype.FP32, "bf16": Dtype.BF16, "int8": Dtype.INT8}


class Sm3(Rule[Sm3Spec]):
    """`accumulator_0`, …: float32, by the cover; `momentum`, for int8 with `momentum_scale`.

    Empty tensors are never stepped and keep nothing.
    """

    source = "sm3/optimizer.py (_work), sm3/kernels/momentum.py; arXiv 1901.11150"
    verified = Verified("sm3-scope", version("sm3-scope"))  # every run of the tests compares this very one

    @property
    def title(self) -> str:
        """Name, cover and momentum."""
        spec = self.spec
        cover = "advise" if isinstance(spec.cover, AdviseSpec) else label_of(ShadowSpec(cover=spec.cover))
        shown = "" if cover == "slices" and not spec.rules else f", {cover}"
        count = f" and {len(spec.rules)} rule{'s' if len(spec.rules) > 1 else ''}" if spec.rules else ""
        return f"SM3{shown}{count}, {f'momentum {spec.momentum_dtype}' if spec.momentum else 'no momentum'}"

    @cached_property
    def _policy(self) -> CoverPolicy:
        assert not isinstance(self.spec.cover, AdviseSpec)  # `faults` told
        return CoverPolicy(
            default=from_spec(self.spec.cover),
            rules=tuple((rule.match, from_spec(rule.cover)) for rule in self.spec.rules),
        )

    def cover_of(self, tensor: TensorShape) -> Cover:
        """Returns the cover that serves a tensor.

        Raises:
            ValueError: It cannot cover the tensor.
        """
        return self._policy.cover_for(tensor.name, tensor.shape)

    def key(self, tensor: TensorShape) -> Hashable:
        """The first rule that names it: all tensors of a shape that it names have one cover."""
        return next(
            (k for k, rule in enumerate(self.spec.rules) if fnmatchcase(tensor.name, rule.match)), None
        )

    def cover(self, tensor: TensorShape) -> str:
        """The cover's kind."""
        return self.cover_of(tensor).kind

    def kept(self, tensor: TensorShape) -> Iterator[Kept]:
        """Yields accumulators, and momentum with its scales."""
        if tensor.num_entries == 0:
            return
        for k, shape in enumerate(self.cover_of(tensor).accumulator_shapes(tensor.shape)):
            yield Kept(f"accumulator_{k}", Part.ACCUMULATORS, shape, Dtype.FP32)
        if self.spec.momentum:
            yield full("momentum", Part.MOMENTUM, tensor, _DTYPES[self.spec.momentum_dtype])
            if self.spec.momentum_dtype == "int8":
                rows, cols = rows_and_columns(tensor.shape)
                yield Kept("momentum_scale", Part.MOMENTUM, (rows, -(-cols // RUN)), Dtype.FP32)

    def working_bytes(self, tensor: TensorShape, step: Step) -> int:
        """By the kernel that serves such a tensor: vectors in one pass, blocks of rows, or whole copies.

        The C kernel takes two vectors of columns a thread (outside torch's allocator), Triton's two of columns and one
        of rows; the eager kernel blocks of `nu` and of what 16-bit tensors and momentum are decoded to; the reference
        copies of the whole tensor in float32. Counted for one thread.
        """
        entries, itemsize = tensor.num_entries, Dtype.FP32.itemsize
        if entries == 0:
            return 0
        cover = self.cover_of(tensor)
        rows, cols = rows_and_columns(tensor.shape)
        is_ii = self.spec.variant == "II"
        if is_ii and step.device == "cpu" and self._c_serves(tensor, cover):
            return 2 * itemsize * cols if len(tensor.shape) > 1 else 0
        if is_ii and step.device == "cuda" and self._triton_serves(tensor, cover):
            return itemsize * (rows + 2 * cols)
        if is_ii and isinstance(cover, Slices | Singletons | Whole):
            block = CPU_BLOCK_ENTRIES if step.device == "cpu" else CUDA_BLOCK_ENTRIES
            block = min(entries, max(cols, block // (2 if self._is_int8 else 1)))
            decoded = (
                0 if not self.spec.momentum else {"fp32": 0, "bf16": 1, "int8": 7}[self.spec.momentum_dtype]
            )
            copies = (5 if tensor.dtype.is_half else 1) + decoded
            return itemsize * (block * copies + 2 * cols)
        return itemsize * entries * (5 if tensor.dtype.is_half else 3)

    @property
    def _is_int8(self) -> bool:
        return bool(self.spec.momentum) and self.spec.momentum_dtype == "int8"

    def _triton_serves(self, tensor: TensorShape, cover: Cover) -> bool:
        return isinstance(cover, Slices) and len(tensor.shape) > 1 and not self._is_int8

    def _c_serves(self, tensor: TensorShape, cover: Cover) -> bool:
        """Whether `sm3.kernels.cpu` would not refuse it: as there, but that it is contiguous is taken for granted."""
        shape = tensor.shape
        while isinstance(cover, Reshaped):
            shape = cover.view_of(shape)
            cover = cover.inner
        if tensor.dtype is not Dtype.FP32 or len(shape) > _C_MAX_RANK:
            return False
        if not isinstance(cover, Slices | Blocks | Singletons | Whole):
            return False
        if not self._is_int8:
            return True
        if isinstance(cover, Singletons | Whole) or (isinstance(cover, Slices) and len(shape) < 2):
            rows, cols = rows_and_columns(tensor.shape)
            return rows == 1 or cols % RUN == 0
        return shape == tensor.shape and len(shape) >= 2

    def faults(self, tensors: Sequence[TensorShape]) -> Iterator[FieldFault]:
        """Yields covers that do not fit a tensor, and rules that match none."""
        if isinstance(self.spec.cover, AdviseSpec):
            yield FieldFault(
                field="cover",
                given="advise",
                allowed="a cover: the advisor needs gradients, so launch a job and ask for its ledger",
            )
            return
        if (fault := self._too_many_divisions(tensors)) is not None:
            yield fault
            return
        first: dict[str, FieldFault] = {}
        more: Counter[str] = Counter()
        for fault in misfits(self.spec.cover, self.spec.rules, {t.name: t.shape for t in tensors}):
            first.setdefault(fault.field, fault)
            more[fault.field] += 1
        for field, fault in first.items():
            others = f" (and {more[field] - 1} more tensors)" if more[field] > 1 else ""
            yield fault.model_copy(update={"allowed": fault.allowed + others})

    def _too_many_divisions(self, tensors: Sequence[TensorShape]) -> FieldFault | None:
        """A squared view finds its factors by trial division: √n of them, which a stranger's shapes could make long."""
        covers = [self.spec.cover, *(rule.cover for rule in self.spec.rules)]
        if not any(_is_squared(cover) for cover in covers if not isinstance(cover, AdviseSpec)):
            return None
        divisions = sum(isqrt(entries) for entries in {tensor.num_entries for tensor in tensors})
        if divisions <= MAX_DIVISIONS:
            return None
        return FieldFault(
            field="cover",
            given="a view 'square'",
            allowed=f"of tensors whose factors take at most {MAX_DIVISIONS:,} trial divisions, not {divisions:,}: give "
            "views as sizes, or another cover",
        )


def _is_squared(cover: CoverSpec) -> bool:
    if isinstance(cover, ReshapedSpec):
        return cover.view == "square" or _is_squared(cover.inner)
    return isinstance(cover, UnionSpec) and any(map(_is_squared, cover.members))


def rows_and_columns(shape: Shape) -> tuple[int, int]:
    """A tensor as a matrix, dim 0 × the rest; a vector is one row: as `sm3.kernels.momentum` lays int8 out."""
    if len(shape) <= 1:
        return 1, prod(shape)
    return shape[0], prod(shape[1:])

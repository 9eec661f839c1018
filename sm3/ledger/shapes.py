"""A model as the ledger sees it: names, shapes and dtypes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

from sm3.remote.ledger_specs import MAX_ENTRIES, MAX_RANK, MAX_SIZE, Dtype, TensorSpec
from sm3.remote.wire import FieldFault

Shape = tuple[int, ...]


class LedgerError(ValueError):
    """The ledger cannot be drawn up; `faults` says all that is wrong, and there is no partial ledger."""

    def __init__(self, faults: Iterable[FieldFault]) -> None:
        self.faults = tuple(faults)
        super().__init__(
            "; ".join(f"{f.field}: given {f.given!r}; allowed: {f.allowed}" for f in self.faults[:8])
            + (f" (and {len(self.faults) - 8} more)" if len(self.faults) > 8 else "")
        )


@dataclass(frozen=True, slots=True)
class TensorShape:
    """One tensor of a model.

    Attributes:
        name: as `named_parameters` has it.
        shape: its sizes; () for a 0-d tensor.
        dtype: how its entries are stored.
        trainable: whether it has a gradient and is stepped.
    """

    name: str
    shape: Shape
    dtype: Dtype = Dtype.FP32
    trainable: bool = True

    @property
    def num_entries(self) -> int:
        """Numbers it holds."""
        return prod(self.shape)

    @property
    def num_bytes(self) -> int:
        """Bytes of its entries."""
        return self.num_entries * self.dtype.itemsize


TensorsLike: TypeAlias = Mapping[str, Iterable[int]] | Iterable[TensorShape] | Iterable[TensorSpec]


def tensors_from(given: TensorsLike) -> tuple[TensorShape, ...]:
    """Returns a model's tensors from name-to-shape, or from a list of `TensorShape` or `TensorSpec`.

    Raises:
        LedgerError: A size is negative or enormous, a rank too high, or a name is there twice; it tells all faults.

    >>> tensors_from({"weight": (3, 4)})
    (TensorShape(name='weight', shape=(3, 4), dtype=<Dtype.FP32: 'fp32'>, trainable=True),)
    """
    if isinstance(given, Mapping):
        found = tuple(TensorShape(name, tuple(shape)) for name, shape in given.items())
    else:
        found = tuple(
            t if isinstance(t, TensorShape) else TensorShape(t.name, t.shape, t.dtype, t.trainable)
            for t in given
        )
    if faults := _faults(found):
        raise LedgerError(faults)
    return found


def _faults(tensors: tuple[TensorShape, ...]) -> list[FieldFault]:
    faults = []
    names: set[str] = set()
    for number, tensor in enumerate(tensors):
        field, given = f"tensors.{number}.shape", str(tensor.shape)
        if any(not 0 <= size <= MAX_SIZE for size in tensor.shape):
            faults.append(FieldFault(field=field, given=given, allowed="sizes from 0 to 2^40"))
        elif len(tensor.shape) > MAX_RANK:
            faults.append(FieldFault(field=field, given=given, allowed=f"at most {MAX_RANK} dims"))
        elif tensor.num_entries > MAX_ENTRIES:
            faults.append(FieldFault(field=field, given=given, allowed="at most 2^50 entries"))
        if tensor.name in names:
            faults.append(
                FieldFault(
                    field=f"tensors.{number}.name",
                    given=tensor.name,
                    allowed="each name once, that of a tied tensor too",
                )
            )
        names.add(tensor.name)
    if not tensors:
        faults.append(FieldFault(field="tensors", given="no tensors", allowed="at least one"))
    return faults

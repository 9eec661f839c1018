"""What the memory ledger can be asked: the body of ``POST /v1/ledger``. No torch.

A **ledger** says where every byte goes that a model and its optimizer hold: weights, gradients, momentum, accumulators,
master weights, and what a step takes for itself and gives back. An optimizer is described here exactly as a job
describes it; those that no job can train with have specs of their own below.
"""

from __future__ import annotations

from difflib import get_close_matches
from enum import StrEnum
from math import prod
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, Field, StringConstraints, field_validator, model_validator

from sm3.remote.optimizer_specs import AdafactorSpec, AdagradSpec, AdamWSpec, SgdSpec, Sm3Spec
from sm3.remote.recipe_specs import RecipeSpec
from sm3.remote.spec import Spec

MAX_RANK = 16
MAX_SIZE = 2**40
MAX_ENTRIES = 2**50
MAX_TENSORS = 20_000
MAX_OPTIMIZERS = 16
MAX_LINES = 50_000


class Dtype(StrEnum):
    """How one number is stored; `itemsize` bytes each."""

    FP64 = "fp64"
    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT64 = "int64"
    INT32 = "int32"
    INT8 = "int8"
    UINT8 = "uint8"
    BOOL = "bool"

    @property
    def itemsize(self) -> int:
        """Bytes of one number."""
        return _ITEMSIZE[self]

    @property
    def is_half(self) -> bool:
        """Whether it is a float of 16 bits."""
        return self in {Dtype.FP16, Dtype.BF16}


_ITEMSIZE = {
    Dtype.FP64: 8,
    Dtype.FP32: 4,
    Dtype.FP16: 2,
    Dtype.BF16: 2,
    Dtype.INT64: 8,
    Dtype.INT32: 4,
    Dtype.INT8: 1,
    Dtype.UINT8: 1,
    Dtype.BOOL: 1,
}


# ── the optimizers that only the ledger knows


class AdamWLedgerSpec(AdamWSpec):
    """AdamW as torch has it; a job's spec of it is one, too."""

    amsgrad: bool = Field(False, description="keeps the largest second moment as well: one number more")


class AdafactorTransformersSpec(Spec):
    """Adafactor as `transformers.optimization` has it: float32 state, and a first moment if asked for."""

    name: Literal["adafactor-transformers"] = "adafactor-transformers"
    momentum: bool = Field(False, description="its `beta1`: keeps one number an entry")


class LionSpec(Spec):
    """Lion (arXiv 2302.06675): one momentum an entry, no second moment."""

    name: Literal["lion"] = "lion"


class AdamW8bitSpec(Spec):
    """AdamW8bit of bitsandbytes (arXiv 2110.02861): two bytes an entry and two scales a block of 256."""

    name: Literal["adamw8bit"] = "adamw8bit"
    min_8bit_size: int = Field(4096, ge=0, le=2**40, description="tensors with fewer entries stay float32")


class AdamW8bitTorchaoSpec(Spec):
    """AdamW8bit of torchao: as bitsandbytes', but a table of 256 floats for each quantized buffer."""

    name: Literal["adamw8bit-torchao"] = "adamw8bit-torchao"
    block_size: int = Field(256, ge=1, le=65_536, description="entries a scale")
    amsgrad: bool = False


class CameSpec(Spec):
    """CAME (arXiv 2307.02047): momentum, and rows and columns of second moments and of their instability."""

    name: Literal["came"] = "came"


class AdamMiniSpec(Spec):
    """Adam-mini (arXiv 2406.16793): Adam's momentum, but one second moment a head, a neuron or a tensor."""

    name: Literal["adam-mini"] = "adam-mini"
    dim: int | None = Field(
        None, ge=1, le=2**20, description="width; null: the catalogue's, else the package's 2048"
    )
    n_heads: int | None = Field(
        None, ge=1, le=2**16, description="attention heads; null: the catalogue's, else 32"
    )


class MuonSpec(Spec):
    """Muon as torch has it for matrices, AdamW for the rest and for what ``adamw_for`` names."""

    name: Literal["muon"] = "muon"
    adamw_for: tuple[Annotated[str, StringConstraints(min_length=1, max_length=200)], ...] = Field(
        ("*embed*", "*wte*", "*wpe*", "*shared*", "*head*"),
        max_length=64,
        description="globs on names of matrices that AdamW steps: embeddings and output layers",
    )


AnyOptimizerSpec = (
    Sm3Spec
    | SgdSpec
    | AdamWLedgerSpec
    | AdagradSpec
    | AdafactorSpec
    | AdafactorTransformersSpec
    | LionSpec
    | AdamW8bitSpec
    | AdamW8bitTorchaoSpec
    | CameSpec
    | AdamMiniSpec
    | MuonSpec
)
OPTIMIZER_NAMES: tuple[str, ...] = tuple(
    spec.model_fields["name"].default for spec in get_args(AnyOptimizerSpec)
)


def nearest(given: str, known: tuple[str, ...]) -> str:
    """Returns the allowed names in words, those that look like ``given`` first.

    >>> nearest("adamv", ("sgd", "adamw", "lion"))
    "did you mean 'adamw'? There are 'sgd', 'adamw', 'lion'"
    """
    close = get_close_matches(given.lower()[:200], known, n=3, cutoff=0.5)
    guess = f"did you mean {' or '.join(map(repr, close))}? " if close else ""
    return f"{guess}There are {', '.join(map(repr, known))}"


def _known(given: Any) -> Any:
    """Takes a bare name for an optimizer with its defaults; an unknown name is told with the nearest ones."""
    if isinstance(given, str):
        given = {"name": given}
    if (
        isinstance(given, dict)
        and isinstance(given.get("name"), str)
        and given["name"] not in OPTIMIZER_NAMES
    ):
        raise ValueError(
            f"no optimizer is called {given['name'][:200]!r}; {nearest(given['name'], OPTIMIZER_NAMES)}"
        )
    return given


LedgerOptimizer = Annotated[
    AnyOptimizerSpec,
    Field(discriminator="name"),
    BeforeValidator(_known, json_schema_input_type=AnyOptimizerSpec | str),
]


# ── the models


class TensorSpec(Spec):
    """One tensor of a model, by its shape."""

    name: str = Field(min_length=1, max_length=480)
    shape: tuple[Annotated[int, Field(ge=0, le=MAX_SIZE)], ...] = Field(max_length=MAX_RANK)
    dtype: Dtype = Dtype.FP32
    trainable: bool = Field(
        True, description="false: only its own bytes count, as of a buffer or a frozen layer"
    )

    @model_validator(mode="after")
    def _thinkable(self) -> Self:
        if (entries := prod(self.shape)) > MAX_ENTRIES:
            raise ValueError(
                f"{self.name!r} has {entries:,} entries; at most 2^50 are allowed: check its shape"
            )
        return self


CatalogueName = Annotated[str, StringConstraints(min_length=1, max_length=100)]


# ── the request


class FitSpec(Spec):
    """A device, and what a sample takes on it: how large a batch fits, and how large a model of the family."""

    device_memory_bytes: int = Field(ge=1, le=2**50)
    activation_bytes_per_sample: int | None = Field(
        None,
        ge=1,
        le=2**50,
        description="measured or known; null: the catalogue's estimate for `sequence_length`, where it has one",
    )
    sequence_length: int | None = Field(
        None, ge=1, le=2**20, description="tokens of a sample in the estimate; null: the model's own"
    )
    activations: Dtype = Field(Dtype.BF16, description="how the estimate takes activations to be stored")
    batch: int = Field(
        1, ge=1, le=2**30, description="samples that a larger model of the family must hold too"
    )
    reserve_bytes: int = Field(
        0, ge=0, le=2**50, description="not ours: driver, context, fragments of the allocator"
    )


def _default_optimizers() -> tuple[AnyOptimizerSpec, ...]:
    return (Sm3Spec(), AdamWLedgerSpec())


class LedgerSpec(Spec):
    """What is asked: one model (by name, by its tensors, or a recipe's), some optimizers, and how they are run."""

    model: CatalogueName | None = Field(None, description="a name from GET /v1/models")
    tensors: Annotated[tuple[TensorSpec, ...], Field(max_length=MAX_TENSORS)] | None = Field(
        None,
        description="a model of your own as a list of its tensors, at least one; a tied one is listed once",
    )
    recipe: RecipeSpec | None = Field(None, description="the model that a job with this recipe trains")
    optimizers: tuple[LedgerOptimizer, ...] = Field(
        default_factory=_default_optimizers, max_length=MAX_OPTIMIZERS, description="at least one"
    )
    weights: Dtype | None = Field(None, description="store all trainable weights so; null: as the model says")
    gradients: Dtype | None = Field(None, description="store gradients so; null: as the weights")
    master_weights: bool = Field(
        False, description="a float32 copy of each 16-bit weight is what the optimizer steps"
    )
    device: Literal["cpu", "cuda"] = Field("cuda", description="which code takes the step")
    foreach: bool | None = Field(
        None,
        description="torch's step for all tensors at once; null: torch's default, on cuda but not on cpu",
    )
    fit: FitSpec | None = None
    per_tensor: bool = Field(False, description="tell each tensor's bytes too")

    @field_validator("weights", "gradients")
    @classmethod
    def _floating(cls, dtype: Dtype | None) -> Dtype | None:
        if dtype is not None and not dtype.startswith(("fp", "bf")):
            raise ValueError("weights and gradients are fp64, fp32, fp16 or bf16")
        return dtype

    @model_validator(mode="after")
    def _one_model(self) -> Self:
        given = [name for name in ("model", "tensors", "recipe") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"the model is given by {' and '.join(given) or 'nothing'}; give exactly one of model, tensors, recipe"
            )
        # Not by min_length, which pydantic also reports of items that are faulty themselves.
        if self.tensors == () or self.optimizers == ():
            raise ValueError(
                "tensors and optimizers must not be empty: give at least one of each, or leave them out"
            )
        names: set[str] = set()
        twice: set[str] = set()
        for tensor in self.tensors or ():
            (twice if tensor.name in names else names).add(tensor.name)
        if twice:
            some = ", ".join(map(repr, sorted(twice)[:8]))
            raise ValueError(f"tensors are named twice: {some}; name each once, a tied one too")
        return self

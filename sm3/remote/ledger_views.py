"""What the memory ledger answers. No torch. Every number is in bytes."""

from __future__ import annotations

from pydantic import Field

from sm3.remote.wire import View


class PartBytes(View):
    """Where the bytes go, of one tensor or of all of them."""

    weights_bytes: int
    gradients_bytes: int
    master_bytes: int = Field(description="float32 copies of 16-bit weights")
    momentum_bytes: int
    accumulators_bytes: int = Field(description="second moments, whole or of a cover, and their scales")
    other_bytes: int = Field(description="step counters, tables")
    state_bytes: int = Field(description="momentum, accumulators and other: what the optimizer's state holds")
    held_bytes: int = Field(description="all of the above, from step to step")
    transient_bytes: int = Field(
        description="what the step takes and gives back; of all tensors less than the sum where they go in turn"
    )


class TensorBytes(PartBytes):
    """One tensor's bytes."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    cover: str = Field(description="SM3's cover of it; '' for others")
    accumulator_shapes: tuple[tuple[int, ...], ...] = Field(
        (), description="of the tensors that `accumulators_bytes` are: vectors along the dims for slices"
    )


class FitView(View):
    """What fits on a device."""

    fixed_bytes: int = Field(description="held, whatever the batch")
    activation_bytes_per_sample: int
    activation_source: str
    largest_batch: int = Field(description="0: not even one sample")
    peak_bytes: int = Field(description="at that batch")
    largest_model: str | None = Field(None, description="of the family, that still holds the batch asked for")


class OptimizerLedger(View):
    """One optimizer's ledger."""

    optimizer: dict[str, object]
    title: str = Field(description="the optimizer and its settings that cost bytes, in words")
    verified: str = Field(
        description="which package's allocated state the rule was compared with, to the byte"
    )
    source: str
    total: PartBytes
    peak_bytes: int = Field(
        description="held bytes and the larger of the step's own and one sample's activations"
    )
    tensors: tuple[TensorBytes, ...] = ()
    fit: FitView | None = None
    notes: tuple[str, ...] = ()


class ModelView(View):
    """A model of the catalogue, or the one that was given."""

    name: str
    title: str
    family: str
    num_tensors: int
    num_parameters: int
    published: str = Field("", description="the published count and where it stands")
    provenance: str = ""


class ModelList(View):
    """The catalogue."""

    items: tuple[ModelView, ...]


class LedgerAnswer(View):
    """A model's ledgers, one for each optimizer asked for, in that order."""

    model: ModelView
    ledgers: tuple[OptimizerLedger, ...]


class Finding(View):
    """One reason why memory did not shrink as hoped, with the numbers that led to it."""

    name: str
    says: str
    remedy: str
    numbers: dict[str, int | float]


class MeasuredBytes(View):
    """What was measured of a job; None where it was not."""

    accumulators_bytes: int | None = None
    momentum_bytes: int | None = None
    state_bytes: int | None = None
    averaging_bytes: int | None = None
    probe_bytes: int | None = None
    rss_bytes: int | None = Field(None, description="the worker's resident set at the newest frame")
    peak_rss_bytes: int | None = None
    cuda_allocated_bytes: int | None = None
    cuda_peak_bytes: int | None = None
    cuda_reserved_bytes: int | None = None


class JobLedger(View):
    """A job's bytes: predicted from its spec's shapes, measured by its worker, and what the difference means."""

    model: ModelView
    predicted: OptimizerLedger
    adamw: OptimizerLedger = Field(description="what AdamW would hold, predicted alike")
    measured: MeasuredBytes | None = Field(description="None before the first step")
    difference_bytes: int | None = Field(
        None, description="measured less predicted optimizer state; 0 where the prediction holds to the byte"
    )
    findings: tuple[Finding, ...] = ()

"""Every message between worker, service and viewers. No torch.

What a client asks for is in :mod:`sm3.remote.job_specs`; this file holds what is answered and what a worker
reports. Binary frames are described in :mod:`sm3.remote.frames`.

Streams are described in ``docs/streams.md``. The live WebSocket (``/v1/jobs/{id}/live?ticket=…``) sends

* text: a :data:`LiveMessage` (``job`` at the start and at every change, ``gap``, ``ping``),
* binary with ``seq`` in its metadata: a frame,
* binary without: scalar history (:func:`sm3.remote.frames.encode_scalars`), to be merged by step: the job's own
  series at the start, those of a tensor that the viewer asked for with a :class:`Select`, and after a ``gap`` all
  series of the frames that were left out; or, for a :class:`Glance`, a few points of a statistic of every tensor,
* binary with ``asked`` instead: one tensor's part of the stored frame that the viewer asked for with an :class:`At`
  (:func:`sm3.remote.frames.answer_of`).
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from sm3.remote.job_specs import JobSpec
from sm3.remote.live_specs import GlanceStatistic
from sm3.remote.spec import Spec


class View(BaseModel):
    """Base of everything the service answers: frozen; unknown fields from a newer service are ignored."""

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="null")


class JobState(StrEnum):
    """Where a job is in its life; the table of moves is ``server/lifecycle.py``."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    CRASHED = "crashed"

    @property
    def is_final(self) -> bool:
        """Whether nothing more can happen to the job."""
        return self in {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.CRASHED}


class Transition(View):
    """One change of state, and why it happened."""

    number: int
    state: JobState
    at: datetime
    attempt: int
    cause: str


class Move(Transition):
    """A change of state, and the newest step that was recorded when it happened."""

    step: int = 0


class Progress(View):
    """How far a job is, from its newest frame.

    ``loss`` and ``val_loss`` are nats a token or an image; ``eta_s`` is the rest of the run at the newest pace.
    """

    step: int = 0
    steps: int
    loss: float | None = None
    val_loss: float | None = None
    tokens_per_s: float | None = None
    step_s: float | None = None
    eta_s: float | None = None
    last_frame_at: datetime | None = None
    frames: int = 0
    frames_dropped: int = 0


class Memory(View):
    """Bytes the optimizer holds, measured on its tensors, and what Adam would hold for the same parameters."""

    num_parameters: int
    parameter_bytes: int
    accumulator_bytes: int
    momentum_bytes: int
    state_bytes: int = Field(description="all of it; torch's AdamW also counts 4 bytes of steps a tensor")
    adam_bytes: int = Field(description="8 bytes a parameter: two fp32 numbers each")
    adagrad_bytes: int = Field(description="4 bytes a parameter: one fp32 number each")
    averaging_bytes: int = Field(0, description="the averaged copy of the parameters; no optimizer state")
    probe_bytes: int = Field(0, description="kept for statistics from step to step; no optimizer state")


class TensorInfo(View):
    """One parameter tensor and what the optimizer keeps for it."""

    name: str = Field(min_length=1, max_length=480)
    shape: tuple[int, ...]
    dtype: str
    cover: str = Field(description="the cover in words, such as 'slices' or 'singletons'; '' without covers")
    parts: tuple[str, ...] = Field(description="parts of its accumulators in a frame, such as dim0, dim1")
    num_accumulators: int
    accumulator_bytes: int
    momentum_bytes: int
    kernel: str = Field("", description="which path takes this tensor's step")


class AdvisedTensor(View):
    """What the advisor chose for one tensor, and the tightness in bits that it expects there.

    Measured afterwards under the same names: series ``tightness_level/NAME``, ``tightness_spread/NAME``, ….
    """

    name: str = Field(min_length=1, max_length=480)
    cover: dict[str, object]
    num_bytes: int
    expected: dict[str, float]


class Manifest(Spec):
    """What a worker says of itself once, after its first step or as soon as it goes on from a checkpoint."""

    attempt: int = Field(ge=0)
    resumed_step: int = Field(0, ge=0, description="the checkpoint it went on from; 0: from the beginning")
    tensors: tuple[TensorInfo, ...] = Field(max_length=100_000)
    memory: Memory
    advice: tuple[AdvisedTensor, ...] = Field((), max_length=100_000)
    provenance: dict[str, str] = Field(default_factory=dict, max_length=64)
    device: str = ""
    versions: dict[str, str] = Field(default_factory=dict, max_length=16)


class WorkerReport(Spec):
    """A worker's word on its own state, on what it does while starting, or on trouble that it goes on in spite of.

    ``paused`` is left in the outcome file alone: what it means for the job is for the supervisor to say.
    """

    attempt: int = Field(ge=0)
    state: Literal["succeeded", "failed", "cancelled", "paused"] | None = None
    phase: str | None = Field(None, max_length=500)
    warning: str | None = Field(None, max_length=2000, description="'' takes the last one back")
    cause: str = Field("", max_length=20_000)


class JobView(View):
    """A job as the service knows it."""

    id: str
    state: JobState
    attempt: int
    cause: str = Field("", description="why it is in this state, in words")
    phase: str = Field("", description="what the worker does before its first step")
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    spec: JobSpec
    labels: dict[str, str] = Field(
        default_factory=dict, description="as they are now; `spec` has those asked for"
    )
    notes: str = ""
    priority: int = 0
    cloned_from: str | None = Field(None, description="the job this one was cloned from")
    failures: int = Field(0, description="crashes in a row without a new checkpoint in between")
    warning: str = Field("", description="trouble that the job goes on in spite of, such as a full disk")
    progress: Progress
    memory: Memory | None = None
    provenance: dict[str, str] = Field(default_factory=dict)
    device: str = ""


class JobPage(View):
    """Jobs, newest first. ``next`` is the cursor of the following page, null on the last."""

    items: tuple[JobView, ...]
    next: str | None = None


class CheckpointView(View):
    """One checkpoint: all that a job needs to go on exactly from after ``step`` steps."""

    step: int
    at: datetime
    size_bytes: int
    model_bytes: int = Field(description="of the model's weights, which can be had by themselves")


class CheckpointList(View):
    """A job's checkpoints, newest first."""

    items: tuple[CheckpointView, ...]


class TransitionList(View):
    """A job's life so far, oldest first."""

    items: tuple[Transition, ...]


class TensorList(View):
    """The tensors of a job, in the model's order, and what the advisor chose where a job asked it."""

    items: tuple[TensorInfo, ...]
    advice: tuple[AdvisedTensor, ...] = ()


class FrameInfo(View):
    """One stored frame; its bytes are at ``/v1/jobs/{id}/frames/{attempt}/{seq}``."""

    attempt: int
    seq: int
    step: int
    at: datetime
    size_bytes: int


class FramePage(View):
    """Frames, oldest first. ``next`` is the cursor of the following page, null on the last."""

    items: tuple[FrameInfo, ...]
    next: str | None = None


class Series(View):
    """One scalar series; ``values`` holds null where the value is NaN or infinite."""

    steps: tuple[int, ...]
    values: tuple[float | None, ...]
    num_points: int = Field(description="points before downsampling")


class Metrics(View):
    """Scalar series of a job."""

    series: dict[str, Series]
    available: tuple[str, ...] = Field(description="names of all series that the job has so far")
    downsampling: Literal["none", "minmax-lttb"]


class Ticket(View):
    """A pass for one WebSocket connection: single use, for one job, for ``expires_in_s`` seconds."""

    ticket: str
    expires_in_s: float


class Points(View):
    """Every point of one scalar series in one frame; null where a value is NaN or infinite."""

    steps: tuple[int, ...]
    values: tuple[float | None, ...]


class FrameEvent(View):
    """Event ``frame``: a frame was stored. ``scalars`` are the newest values of the job's own series."""

    attempt: int
    seq: int
    step: int
    scalars: dict[str, float | None]
    points: dict[str, Points] | None = Field(None, description="only in an export that asks for them")


class EndEvent(View):
    """Event ``end``: the last of a stream. ``final``: nothing more will ever come of this job."""

    state: JobState | None = Field(description="the job's state; null: the job was deleted")
    final: bool


class GapReason(StrEnum):
    """Why frames were not sent: the viewer was too slow or was away, or they are not in the store (any more)."""

    SLOW = "slow"
    AWAY = "away"
    ABSENT = "absent"


class RecipeView(View):
    """A recipe, what its sizes are and where its data comes from."""

    name: str
    summary: str
    json_schema: dict[str, object]
    sizes: dict[str, dict[str, int | str]]
    data: dict[str, dict[str, str]]


class RecipeList(View):
    """All recipes."""

    items: tuple[RecipeView, ...]


class StatisticView(View):
    """One statistic: what it means and what it costs."""

    name: str
    meaning: str
    kind: str
    unit: str
    cost: str
    memory: str
    default: bool = Field(description="whether a job records it unless told otherwise")
    of_shadows: bool = Field(description="whether it is read of shadow covers too, as `name@label`")


class StatisticList(View):
    """All statistics."""

    items: tuple[StatisticView, ...]


class FieldFault(View):
    """One fault of a request: which field, what was given, what is allowed."""

    field: str
    given: object
    allowed: str


class Problem(View):
    """RFC 9457 problem details; the media type is ``application/problem+json``."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[FieldFault, ...] = ()
    request_id: str = Field("", description="the `X-Request-ID` of the answer; the log's lines have it too")


class JobMessage(View):
    """The job changed (state, phase, manifest, or simply now)."""

    type: Literal["job"] = "job"
    job: JobView
    tensors: tuple[TensorInfo, ...] | None = None
    moves: tuple[Move, ...] = Field((), description="the newest changes of state, oldest first")
    server_time: datetime


class Gap(View):
    """Frames ``first`` to ``last`` of ``attempt`` were not sent to this viewer."""

    type: Literal["gap"] = "gap"
    attempt: int
    first: int
    last: int
    reason: GapReason = GapReason.SLOW


class Ping(View):
    """Nothing new; the connection and the service are well."""

    type: Literal["ping"] = "ping"
    server_time: datetime


LiveMessage = Annotated[JobMessage | Gap | Ping, Field(discriminator="type")]


class Select(Spec):
    """What a viewer sends: the tensor whose series it wants to see."""

    type: Literal["select"] = "select"
    tensor: str = Field(max_length=480)


class At(Spec):
    """What a viewer sends to see the past: the newest stored frame of at most ``step`` steps, of one tensor."""

    type: Literal["at"] = "at"
    tensor: str = Field(max_length=480)
    step: int = Field(ge=0, lt=2**53, description="steps done; a browser counts exactly below 2^53")


class Glance(Spec):
    """What a viewer sends to get a few points of one statistic of every tensor, and what is wrong with any of them."""

    type: Literal["glance"] = "glance"
    statistic: GlanceStatistic = GlanceStatistic.RATE


ViewerMessage = Annotated[Select | At | Glance, Field(discriminator="type")]

"""The tables. Times are Unix seconds (float), documents are JSON text of the models in ``sm3.remote.wire``.

A change here needs a migration in ``migrations/versions``; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Double, ForeignKey, Index, Integer, LargeBinary, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from server.store.texts import String, Text


class Base(DeclarativeBase):
    """Base of all tables."""


class JobRow(Base):
    """One job: what was asked, where it stands, and what its newest frame said.

    ``recipe`` and ``words`` (all that a search looks at, in lower case) repeat what the spec, labels and notes say.
    Frames up to ``base_step`` were stored before the current attempt began: it does those steps again and brings
    nothing new until it is past them.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index("jobs_by_state", "state", "id"),
        Index("jobs_by_priority", "state", "priority", "id"),
        Index("jobs_by_key", "idempotency_key", unique=True),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    attempt: Mapped[int] = mapped_column(Integer)
    cause: Mapped[str] = mapped_column(Text)
    phase: Mapped[str] = mapped_column(Text)
    spec: Mapped[str] = mapped_column(Text)
    created_s: Mapped[float] = mapped_column(Double)
    started_s: Mapped[float | None] = mapped_column(Double)
    finished_s: Mapped[float | None] = mapped_column(Double)
    ingest_digest: Mapped[str] = mapped_column(String(64))
    summary: Mapped[str | None] = mapped_column(Text)
    step: Mapped[int] = mapped_column(BigInteger)
    frames: Mapped[int] = mapped_column(BigInteger)
    last_frame_s: Mapped[float | None] = mapped_column(Double)
    latest: Mapped[str] = mapped_column(Text)
    priority: Mapped[int] = mapped_column(Integer, server_default="0")
    recipe: Mapped[str] = mapped_column(String(64), server_default="")
    labels: Mapped[str] = mapped_column(Text, server_default="{}")
    notes: Mapped[str] = mapped_column(Text, server_default="")
    words: Mapped[str] = mapped_column(Text, server_default="")
    cloned_from: Mapped[str | None] = mapped_column(String(36))
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    body_digest: Mapped[str | None] = mapped_column(String(64))
    base_step: Mapped[int] = mapped_column(BigInteger, server_default="0")
    failures: Mapped[int] = mapped_column(Integer, server_default="0")
    warning: Mapped[str] = mapped_column(Text, server_default="")
    home: Mapped[str] = mapped_column(String(36), default="", server_default="")


class LabelRow(Base):
    """One label of one job, for lists that ask for it."""

    __tablename__ = "job_labels"
    __table_args__ = (Index("job_labels_by_value", "key", "value", "job_id"),)

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(String(128))


class ManifestRow(Base):
    """What a worker said of its tensors; large, so apart from the job that lists read."""

    __tablename__ = "manifests"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    body: Mapped[str] = mapped_column(Text)


class TransitionRow(Base):
    """One change of state of one job; ``number`` counts from 0 within the job."""

    __tablename__ = "transitions"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    state: Mapped[str] = mapped_column(String(16))
    attempt: Mapped[int] = mapped_column(Integer)
    at_s: Mapped[float] = mapped_column(Double)
    cause: Mapped[str] = mapped_column(Text)


_UNSEALED = text("segment_id IS NULL")


class FrameRow(Base):
    """One frame; ``scalars`` repeats its scalar columns, so that history is read without the arrays.

    Of a sealed frame, ``segment_id`` names the segment that holds ``scalars`` and ``blob``, which are empty here.
    """

    __tablename__ = "frames"
    __table_args__ = (
        Index(
            "frames_unsealed",
            "job_id",
            "attempt",
            "seq",
            sqlite_where=_UNSEALED,
            postgresql_where=_UNSEALED,
        ),
        Index("frames_by_step", "job_id", "step"),
    )

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    step: Mapped[int] = mapped_column(BigInteger)
    at_s: Mapped[float] = mapped_column(Double)
    size_bytes: Mapped[int] = mapped_column(Integer)
    scalars: Mapped[bytes] = mapped_column(LargeBinary)
    blob: Mapped[bytes] = mapped_column(LargeBinary)
    segment_id: Mapped[str | None] = mapped_column(String(36))


class SegmentRow(Base):
    """One Parquet file of sealed frames, or one that is being written (``sealed_s`` is null until it counts).

    ``place`` is the folder or bucket it lies in, '' the data folder's own. A row whose job is no more
    (``job_id`` is null) tells which file is to be removed.
    """

    __tablename__ = "segments"
    __table_args__ = (Index("segments_by_job", "job_id"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    place: Mapped[str] = mapped_column(Text)
    num_frames: Mapped[int] = mapped_column(Integer)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[str] = mapped_column(String(64))
    begun_s: Mapped[float] = mapped_column(Double)
    sealed_s: Mapped[float | None] = mapped_column(Double)


class ScalarChunkRow(Base):
    """The scalar points of all frames up to ``last_seq`` of an attempt that no earlier chunk has.

    ``scope`` says which of them: see :mod:`server.store.chunks`.
    """

    __tablename__ = "scalar_chunks"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True)
    scope: Mapped[str] = mapped_column(String(8), primary_key=True)
    first_seq: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    last_seq: Mapped[int] = mapped_column(BigInteger)
    blob: Mapped[bytes] = mapped_column(LargeBinary)


class ComparisonRow(Base):
    """One comparison: what was asked."""

    __tablename__ = "comparisons"
    __table_args__ = (Index("comparisons_by_key", "idempotency_key", unique=True),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    label: Mapped[str] = mapped_column(Text)
    spec: Mapped[str] = mapped_column(Text)
    created_s: Mapped[float] = mapped_column(Double)
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    body_digest: Mapped[str | None] = mapped_column(String(64))


class ComparisonJobRow(Base):
    """One job of a comparison: that of variant ``variant`` at seed ``seed``, both counted from 0 in the spec."""

    __tablename__ = "comparison_jobs"
    __table_args__ = (Index("comparison_jobs_by_job", "job_id"),)

    comparison_id: Mapped[str] = mapped_column(
        ForeignKey("comparisons.id", ondelete="CASCADE"), primary_key=True
    )
    variant: Mapped[int] = mapped_column(Integer, primary_key=True)
    seed: Mapped[int] = mapped_column(Integer, primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))


class TokenRow(Base):
    """One token: the SHA-256 of its secret, and of the secret before while that is still good."""

    __tablename__ = "tokens"
    __table_args__ = (
        Index("tokens_by_digest", "digest", unique=True),
        Index("tokens_by_old_digest", "old_digest"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    scope: Mapped[str] = mapped_column(String(8))
    digest: Mapped[str] = mapped_column(String(64))
    created_s: Mapped[float] = mapped_column(Double)
    expires_s: Mapped[float | None] = mapped_column(Double)
    last_used_s: Mapped[float | None] = mapped_column(Double)
    rotated_s: Mapped[float | None] = mapped_column(Double)
    old_digest: Mapped[str | None] = mapped_column(String(64))
    old_until_s: Mapped[float | None] = mapped_column(Double)
    revoked_s: Mapped[float | None] = mapped_column(Double)

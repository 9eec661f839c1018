"""The writing side of frames: rows, what a job's row repeats of them, and scalar chunks."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from server.store.chunks import cut, is_job_wide
from server.store.tables import FrameRow, JobRow, ScalarChunkRow
from sm3.remote.frames import Header, Scalars, encode_scalars, read_header, read_scalars

CHUNK_FRAMES = 256
_BATCH_BYTES = 16 * 2**20
_LATEST = ("loss", "val_loss", "tokens_per_s", "step_s", "frames_dropped", "lr", "grad_norm")


def in_scope(scalars: Scalars, *, job_wide: bool) -> Scalars:
    """Returns the points of the job's own series, or those of its tensors' series."""
    return scalars.select(name for name in scalars.names if is_job_wide(name) == job_wide)


def advance(job: JobRow, header: Header, scalars: Scalars, now: float) -> None:
    """Takes what the job's row repeats of its newest frame."""
    job.frames += 1
    job.last_frame_s = now
    if header.step < job.step:
        return
    job.step = header.step
    latest = json.loads(job.latest)
    values = scalars.latest()
    latest |= {name: values[name] for name in _LATEST if name in values}
    job.latest = json.dumps({k: v if v is None or math.isfinite(v) else None for k, v in latest.items()})


def gather(session: Session, job_id: str, attempt: int, last_seq: int) -> None:
    """Writes the chunks that end with frame ``last_seq``, if all frames of the attempt before it are there.

    An attempt that went on from a checkpoint begins with the frame at which it brought something new.
    """
    done = session.scalar(
        select(func.max(ScalarChunkRow.last_seq)).where(
            ScalarChunkRow.job_id == job_id, ScalarChunkRow.attempt == attempt
        )
    )
    if done is None:
        mine = (FrameRow.job_id == job_id, FrameRow.attempt == attempt)
        done = session.scalars(select(func.min(FrameRow.seq)).where(*mine)).one() - 1
    first_seq = done
    these = (
        FrameRow.job_id == job_id,
        FrameRow.attempt == attempt,
        FrameRow.seq > first_seq,
        FrameRow.seq <= last_seq,
    )
    # A frame that is missing, or sealed before it was gathered, leaves these to the tail of `FrameStore.history`.
    # Counted first: behind a frame that never comes, reading them all every time would cost more and more.
    unsealed = FrameRow.segment_id.is_(None)
    if session.scalar(select(func.count()).where(*these, unsealed)) != last_seq - first_seq:
        return
    blobs = session.scalars(select(FrameRow.scalars).where(*these).order_by(FrameRow.seq))
    points = Scalars.concatenate(read_scalars(blob) for blob in blobs)
    key = {"job_id": job_id, "attempt": attempt, "first_seq": first_seq + 1, "last_seq": last_seq}
    rows = [key | {"scope": scope, "blob": encode_scalars(part)} for scope, part in cut(points)]
    session.execute(insert(ScalarChunkRow), rows)


def frame_row(job_id: str, header: Header, scalars: Scalars, blob: bytes) -> dict[str, Any]:
    """Returns a frame's row as a mapping."""
    return {
        "job_id": job_id,
        "attempt": header.attempt,
        "seq": header.seq,
        "step": header.step,
        "at_s": header.time_s,
        "size_bytes": len(blob),
        "scalars": encode_scalars(scalars),
        "blob": blob,
    }


def add_many(session: Session, job_id: str, blobs: Iterable[bytes]) -> int:
    """Adds frames to a job that nobody else writes to, in batches; returns how many there were.

    Args:
        session: the transaction.
        job_id: a job that has no frames yet.
        blobs: well-formed frames of it, in the order of (attempt, seq).
    """
    total, waiting_bytes = 0, 0
    rows: list[dict[str, Any]] = []

    def flush() -> None:
        nonlocal waiting_bytes
        session.execute(insert(FrameRow), rows)
        for row in rows:
            if (row["seq"] + 1) % CHUNK_FRAMES == 0:
                gather(session, job_id, row["attempt"], row["seq"])
        rows.clear()
        waiting_bytes = 0

    for blob in blobs:
        header = read_header(blob)
        rows.append(frame_row(job_id, header, read_scalars(blob), blob))
        total += 1
        waiting_bytes += len(blob)
        if len(rows) >= CHUNK_FRAMES or waiting_bytes > _BATCH_BYTES:
            flush()
    if rows:
        flush()
    return total

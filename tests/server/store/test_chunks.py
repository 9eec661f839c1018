"""How scalar points are gathered: every question finds all of its points, and reads little else."""

from __future__ import annotations

import numpy as np
from sqlalchemy import delete, func, insert, select

from server.store import Database, FrameStore, JobStore
from server.store.chunks import ALL_TENSORS, GLANCE, bucket_of, cut, glance
from server.store.recording import CHUNK_FRAMES, in_scope
from server.store.tables import ScalarChunkRow
from server.thinning import for_glance
from sm3.remote.frames import Point, Scalars, encode_scalars, read_scalars
from tests.conftest import tiny_job
from tests.server.store.recorded import blob

TENSORS = [f"blocks.{k}.weight" for k in range(40)]


def recorded(tensor: str, seq: int) -> dict[str, float]:
    return {f"rate_p50/{tensor}": seq / 7, f"nonfinite/{tensor}": float(seq == 33), f"growth/{tensor}": 1.0}


def test_cutting_loses_nothing_and_keeps_the_order() -> None:
    rng = np.random.default_rng(0)
    names = ["loss", "lr", *(f"{s}/{t}" for t in TENSORS for s in ("rate_p50", "growth"))]
    points = [Point(str(rng.choice(names)), step, float(rng.random())) for step in range(3000)]
    given = Scalars.from_points(points).by_series()
    parts = {scope: part for scope, part in cut(Scalars.from_points(points)) if scope != GLANCE}
    found = Scalars.concatenate(parts.values()).by_series()
    assert found.keys() == given.keys()
    for name, (steps, values) in given.items():
        np.testing.assert_array_equal(found[name][0], steps)
        np.testing.assert_array_equal(found[name][1], values)
    assert len(parts) > 20
    assert all(len(scope) <= 8 for scope in parts)


def test_cutting_nothing_gives_nothing() -> None:
    assert [(scope, len(part.step)) for scope, part in cut(Scalars())] == [(GLANCE, 0)]


def test_a_tensors_history_is_whole_and_reads_a_fraction(
    jobs: JobStore, frames: FrameStore, database: Database
) -> None:
    job = jobs.create(tiny_job())
    for seq in range(CHUNK_FRAMES + 9):
        values = {name: v for tensor in TENSORS for name, v in recorded(tensor, seq).items()}
        frames.add(job.id, blob(job, seq, **values))
    everything = frames.history(job.id, job_wide=False).by_series()
    for tensor in TENSORS[:3]:
        found = frames.tensor_history(job.id, tensor).by_series()
        assert set(found) == {f"{s}/{tensor}" for s in ("rate_p50", "nonfinite", "growth")}
        for name, (steps, values) in found.items():
            assert steps.tolist() == list(range(1, CHUNK_FRAMES + 10))
            np.testing.assert_array_equal(values, everything[name][1])
    with database.read() as session:
        size = func.sum(func.length(ScalarChunkRow.blob))
        mine = select(size).where(ScalarChunkRow.job_id == job.id)
        own, every = (
            session.scalars(mine.where(where)).one()
            for where in (ScalarChunkRow.scope == bucket_of(TENSORS[0]), ScalarChunkRow.scope.like("t%"))
        )
    assert own < every / 10


def test_a_glance_has_a_few_points_and_every_change_of_a_count(jobs: JobStore, frames: FrameStore) -> None:
    job = jobs.create(tiny_job())
    for seq in range(CHUNK_FRAMES + 1):
        frames.add(job.id, blob(job, seq, **recorded("w", seq)))
    found = frames.glance(job.id, {"rate_p50", "nonfinite"}).by_series()
    steps, values = found["rate_p50/w"]
    assert len(steps) == 9
    assert steps[-2:].tolist() == [CHUNK_FRAMES, CHUNK_FRAMES + 1]
    np.testing.assert_array_equal(values, (steps - 1) / 7)
    steps, values = found["nonfinite/w"]
    assert list(zip(steps.tolist(), values.tolist(), strict=True)) == [
        (1, 0.0),
        (34, 1.0),
        (35, 0.0),
        (257, 0.0),  # the next chunk's first
    ]


def test_what_an_older_version_gathered_is_still_found(
    jobs: JobStore, frames: FrameStore, database: Database
) -> None:
    job = jobs.create(tiny_job())
    for seq in range(CHUNK_FRAMES + 2):
        frames.add(job.id, blob(job, seq, **recorded("w", seq), **recorded("v", seq)))
    before = {
        "all": frames.history(job.id, job_wide=False).by_series(),
        "w": frames.tensor_history(job.id, "w").by_series(),
    }
    with database.write() as session:  # as it was laid down: one chunk for all tensors and none for a glance
        mine = (ScalarChunkRow.job_id == job.id, ScalarChunkRow.scope != "job")
        blobs = session.scalars(select(ScalarChunkRow.blob).where(*mine, ScalarChunkRow.scope != GLANCE))
        points = Scalars.concatenate(map(read_scalars, blobs))
        session.execute(delete(ScalarChunkRow).where(*mine))
        key = {"job_id": job.id, "attempt": 0, "first_seq": 0, "last_seq": CHUNK_FRAMES - 1}
        whole = encode_scalars(in_scope(points, job_wide=False))
        session.execute(insert(ScalarChunkRow), [{**key, "scope": ALL_TENSORS, "blob": whole}])
    after = {
        "all": frames.history(job.id, job_wide=False).by_series(),
        "w": frames.tensor_history(job.id, "w").by_series(),
    }
    for part, series in before.items():
        assert after[part].keys() == series.keys()
        for name, (steps, values) in series.items():
            np.testing.assert_array_equal(after[part][name][0], steps)
            np.testing.assert_array_equal(after[part][name][1], values)
    assert len(frames.glance(job.id, {"rate_p50"}).by_series()["rate_p50/w"][0]) == 10
    parts = [scalars for _, scalars in frames.scalar_parts(job.id)]
    assert len(Scalars.concatenate(parts).by_series()["rate_p50/w"][0]) == CHUNK_FRAMES + 2


def test_a_glance_tells_when_a_fault_is_over_wherever_the_chunks_end() -> None:
    values = np.zeros(600)
    values[250:256] = 3
    values[400:420] = 1
    points = Scalars(("nonfinite/w",), np.arange(600), np.zeros(600, np.uint32), values)
    for chunk in (1, 100, 256, 600):
        parts = [
            Scalars(
                points.names,
                points.step[at : at + chunk],
                points.series[at : at + chunk],
                values[at : at + chunk],
            )
            for at in range(0, 600, chunk)
        ]
        told = for_glance(Scalars.concatenate(map(glance, parts)), "rate_p50")
        steps, states = told.by_series()["nonfinite/w"]
        assert list(zip(steps.tolist(), states.tolist(), strict=True)) == [
            (250, 3),
            (256, 0),
            (400, 1),
            (420, 0),
        ]


def test_a_tensor_whose_name_is_no_unicode_is_cut_like_any_other() -> None:
    points = Scalars(("rate_p50/\ud800",), np.arange(2), np.zeros(2, np.uint32), np.ones(2))
    assert sum(len(part.step) for scope, part in cut(points) if scope != GLANCE) == 2

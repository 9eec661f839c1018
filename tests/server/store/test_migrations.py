"""Migrations: a store of every earlier version keeps what it holds, on SQLite and PostgreSQL."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from server.store import ComparisonStore, Database, FrameStore, JobStore
from server.store.tables import Base
from sm3.remote.frames import encode_scalars, read_scalars
from sm3.remote.wire import JobState
from tests.conftest import tiny_job
from tests.server.store.recorded import blob
from tests.server.store.test_comparisons import races

MIGRATIONS = Path(__file__).parents[3] / "server" / "store" / "migrations"
ROWS = json.loads((Path(__file__).parent / "rows_of_0001.json").read_text())
COMPARISON = "01990000-0000-7000-8000-00000000000c"


class AtRevision(Database):
    """A store as an earlier version of the service left it."""

    def __init__(self, url: str, revision: str) -> None:
        self._revision = revision
        super().__init__(url)

    def migrate(self, revision: str = "head") -> None:
        super().migrate(self._revision)


def made_at(url: str, revision: str) -> bytes:
    """Fills a store of the given revision with rows written by plain SQL; returns the frame's blob."""
    database = AtRevision(url, revision)
    job = ROWS["jobs"]
    sent = blob(type("Job", (), {"id": job["id"]}), 0)  # only its id is read
    with database.write() as session:
        for table in ("jobs", "manifests", "transitions"):
            for row in ROWS[table] if isinstance(ROWS[table], list) else [ROWS[table]]:
                columns = ", ".join(row)
                places = ", ".join(f":{name}" for name in row)
                session.execute(text(f"INSERT INTO {table} ({columns}) VALUES ({places})"), row)
        scalars = encode_scalars(read_scalars(sent))
        session.execute(
            text(
                "INSERT INTO frames (job_id, attempt, seq, step, at_s, size_bytes, scalars, blob) "
                "VALUES (:job, 0, 0, 1, 50.0, :size, :scalars, :blob)"
            ),
            {"job": job["id"], "size": len(sent), "scalars": scalars, "blob": sent},
        )
        session.execute(
            text(
                "INSERT INTO scalar_chunks (job_id, attempt, scope, first_seq, last_seq, blob) "
                "VALUES (:job, 0, 'job', 0, 0, :blob)"
            ),
            {"job": job["id"], "blob": scalars},
        )
        if revision >= "0002":
            session.execute(
                text("INSERT INTO comparisons (id, label, spec, created_s) VALUES (:id, 'old', :spec, 9.5)"),
                {"id": COMPARISON, "spec": races(1).model_dump_json()},
            )
            session.execute(
                text(
                    "INSERT INTO comparison_jobs (comparison_id, variant, seed, job_id) VALUES (:id, 0, 0, :job)"
                ),
                {"id": COMPARISON, "job": job["id"]},
            )
    database.close()
    return sent


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_a_store_of_an_earlier_version_is_brought_up_to_date_with_all_that_it_holds(
    empty_url: str, revision: str
) -> None:
    sent = made_at(empty_url, revision)
    database = Database(empty_url)
    jobs, frames, comparisons = JobStore(database), FrameStore(database), ComparisonStore(database)
    job = jobs.get(ROWS["jobs"]["id"])
    assert (job.state, job.cause, job.spec.seed) == (JobState.SUCCEEDED, "all steps are done", 5)
    assert (job.progress.frames, job.progress.loss, job.progress.step) == (1, 0.25, 1)
    assert job.memory is not None
    assert jobs.manifest(job.id).tensors[0].name == "w"
    assert [t.state for t in jobs.transitions(job.id)] == ["queued", "starting", "running", "succeeded"]
    assert frames.blob(job.id, 0, 0) == frames.newest(job.id) == sent
    assert frames.history(job.id, job_wide=True).latest() == {"loss": 0.0}
    assert [info.seq for info in frames.page(job.id, limit=5)[0]] == [0]
    if revision >= "0002":
        assert comparisons.get(COMPARISON).variants[0].jobs == (job.id,)
        assert comparisons.get(COMPARISON).label == "old"
    # And it works on: what is new is claimed, what is old is not.
    made, queued = comparisons.create(races(1))
    assert jobs.claim("d").id == queued[0].id
    assert comparisons.get(made.id).states == {JobState.STARTING: 1, JobState.QUEUED: 1}
    database.close()


@pytest.mark.parametrize("revision", ["0001", "0002", "head"])
def test_migrations_make_exactly_the_tables_that_the_code_knows(empty_url: str, revision: str) -> None:
    AtRevision(empty_url, revision).close()
    database = Database(empty_url)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    database.migrate()
    database.close()


def test_every_migration_can_be_undone(empty_url: str) -> None:
    database = Database(empty_url)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with database.engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    assert inspect(database.engine).get_table_names() == ["alembic_version"]
    database.migrate()
    JobStore(database).create(tiny_job())
    database.close()


def test_the_migrations_are_one_line_from_the_first_schema_to_the_newest() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    scripts = ScriptDirectory.from_config(config)
    assert len(scripts.get_heads()) == 1
    assert [s.revision for s in scripts.walk_revisions()][-1] == "0001"

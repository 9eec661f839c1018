"""Backup while frames come in, and starting anew from one."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from server.backup import folder, postgres, sqlite
from server.backup.contents import BackupError, Contents
from server.service import Service
from server.settings import Settings
from sm3.remote.frames import Frame, encode
from sm3.remote.spool import Spool
from sm3.remote.wire import JobState
from tests.conftest import RunningService, tiny_job
from tests.test_cli import sm3

INSERT = """
import sys
from pathlib import Path
import numpy as np
from server.settings import Settings
from server.store import Database, FrameStore
from sm3.remote.frames import Frame, encode
data_dir, job = sys.argv[1:]
frames = FrameStore(Database(Settings(data_dir=Path(data_dir)).store_url))
blob = np.random.default_rng(0).random(2_000, dtype=np.float32)
for seq in range(100_000):
    frames.add(job, encode(Frame(job, 0, seq, seq + 1, 1.0, {"a/b/c": blob})))
    print(seq, flush=True)
"""


def settings(tmp_path: Path, name: str = "data", **changes: object) -> Settings:
    return Settings(data_dir=tmp_path / name, **changes)


def filled(here: Settings, *, frames: int = 3) -> str:
    """Makes a store with one job and some frames, one of which still waits in its spool; returns the job's id."""
    service = Service.open(here)
    job = service.jobs.create(tiny_job())
    for seq in range(frames):
        service.frames.add(job.id, encode(Frame(job.id, 0, seq, seq + 1, 1.0, {"a/b/c": np.arange(3.0)})))
    spool = Spool(here.jobs_dir / job.id / "spool")
    spool.put(0, frames, encode(Frame(job.id, 0, frames, frames + 1, 1.0)))
    (here.jobs_dir / job.id / "checkpoints").mkdir()
    (here.jobs_dir / job.id / "checkpoints" / "500.safetensors").write_bytes(b"weights")
    (here.jobs_dir / job.id / "attempt-0.lock").write_text("1")
    (here.data_dir / "segments").mkdir()
    (here.data_dir / "segments" / "0.parquet").write_bytes(b"PAR1")
    service.database.close()
    return job.id


def test_a_backup_made_during_a_stream_of_inserts_is_whole_and_has_every_frame_acknowledged_before(
    tmp_path: Path,
) -> None:
    here = settings(tmp_path)
    job_id = filled(here, frames=0)
    writer = subprocess.Popen(
        [sys.executable, "-c", INSERT, str(here.data_dir), job_id], stdout=subprocess.PIPE, text=True
    )
    try:
        assert writer.stdout is not None
        acknowledged = -1
        for round_ in range(3):
            for _ in range(50):
                acknowledged = int(writer.stdout.readline())
            contents = folder.create(here, tmp_path / f"backup-{round_}")
            assert writer.poll() is None, "the writer has gone on meanwhile"
            with closing(sqlite3.connect(tmp_path / f"backup-{round_}" / "store.sqlite3")) as copy:
                assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                seqs = [seq for (seq,) in copy.execute("SELECT seq FROM frames ORDER BY seq")]
                (counted,) = copy.execute("SELECT frames FROM jobs").fetchone()
            assert seqs == list(range(len(seqs))), "no frame is missing in between"
            assert seqs[-1] >= acknowledged
            assert counted == len(seqs) == contents.counts["frames"], "job and frames are of one moment"
    finally:
        writer.kill()
        writer.wait()
        writer.stdout.close()


def test_a_restored_folder_is_what_was_backed_up_and_a_service_goes_on_from_it(tmp_path: Path) -> None:
    here, there = settings(tmp_path), settings(tmp_path, "new")
    job_id = filled(here)
    (here.data_dir / "token").write_text("sm3_secret")
    made = folder.create(here, tmp_path / "backup")
    assert made.counts["jobs"] == 1
    assert not made.has_token
    assert folder.restore(there, tmp_path / "backup") == made
    assert sorted(path.name for path in there.data_dir.iterdir()) == [
        "home",
        "jobs",
        "segments",
        "store.sqlite3",
    ]
    service = Service.open(there)
    assert service.jobs.get(job_id).state is JobState.QUEUED
    assert [info.seq for info in service.frames.page(job_id, limit=9)[0]] == [0, 1, 2]
    service.database.close()
    kept = there.jobs_dir / job_id
    assert [entry.seq for entry in Spool(kept / "spool").pending()] == [3], (
        "what waited for delivery still waits"
    )
    assert (kept / "checkpoints" / "500.safetensors").read_bytes() == b"weights"
    assert not (kept / "attempt-0.lock").exists(), "locks are of processes, not of data"
    assert stat.S_IMODE(there.data_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((there.data_dir / "store.sqlite3").stat().st_mode) & 0o077 == 0


def test_the_token_is_in_a_backup_only_if_asked_for(tmp_path: Path) -> None:
    here = settings(tmp_path)
    filled(here)
    token = here.admin_token()
    folder.create(here, tmp_path / "without")
    folder.create(here, tmp_path / "with", with_token=True)

    def holds(place: Path) -> bool:
        return any(token.encode() in p.read_bytes() for p in place.rglob("*") if p.is_file())

    assert not holds(tmp_path / "without")
    assert holds(tmp_path / "with")
    there = settings(tmp_path, "new")
    assert folder.restore(there, tmp_path / "with").has_token
    assert there.admin_token() == token
    assert stat.S_IMODE((there.data_dir / "token").stat().st_mode) == 0o600


def test_nothing_is_overwritten_and_a_refusal_leaves_nothing_behind(tmp_path: Path) -> None:
    here = settings(tmp_path)
    filled(here)
    folder.create(here, tmp_path / "backup")
    before = sorted(tmp_path.rglob("*"))
    for what, place in (("exists", tmp_path / "backup"), ("is inside the data folder", here.data_dir / "b")):
        with pytest.raises(BackupError, match=what):
            folder.create(here, place)
    with pytest.raises(BackupError, match=r"is not empty: it has home, home\.lock, jobs, segments"):
        folder.restore(here, tmp_path / "backup")
    with pytest.raises(BackupError, match="there is no store at"):
        folder.create(settings(tmp_path, "nowhere"), tmp_path / "other")
    with pytest.raises(BackupError, match=r"is no backup: backup\.json cannot be read"):
        folder.restore(settings(tmp_path, "new"), here.data_dir)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("damage", ["changed", "gone", "newer", "outside"])
def test_a_damaged_or_newer_backup_is_refused_before_anything_is_written(tmp_path: Path, damage: str) -> None:
    here, there = settings(tmp_path), settings(tmp_path, "new")
    filled(here)
    folder.create(here, tmp_path / "backup")
    document = tmp_path / "backup" / "backup.json"
    store = tmp_path / "backup" / "store.sqlite3"
    contents = json.loads(document.read_text())
    match damage:
        case "changed":
            with store.open("r+b") as file:
                file.seek(5000)
                file.write(b"\xff" * 64)
            told = "store.sqlite3 is not what was written"
        case "gone":
            store.unlink()
            told = "store.sqlite3 is not there"
        case "newer":
            document.write_text(json.dumps(contents | {"revision": "9999"}))
            told = "newer than this version"
        case _:
            contents["files"]["../../etc/x"] = {"size_bytes": 0, "sha256": "0" * 64}
            document.write_text(json.dumps(contents))
            told = "without '..' is allowed"
    with pytest.raises(BackupError, match=told):
        folder.restore(there, tmp_path / "backup")
    assert not there.data_dir.exists()


def test_a_full_disk_leaves_no_half_backup(tmp_path: Path) -> None:
    here = settings(tmp_path)
    filled(here)
    small = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536)); "
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "from server.backup.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", small, "create", str(tmp_path / "backup")],
        env=os.environ | {"SM3_DATA_DIR": str(here.data_dir), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("sm3: the store")
    assert "Make room or rights" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_a_store_that_sqlite_finds_faults_in_is_refused(tmp_path: Path) -> None:
    here = settings(tmp_path)
    filled(here, frames=50)
    sqlite.copy(here.data_dir / "store.sqlite3", tmp_path / "copy")
    with (tmp_path / "copy").open("r+b") as file:
        file.seek(4096 * 6)
        file.write(os.urandom(4096 * 3))
    with pytest.raises(BackupError):
        sqlite.verify(tmp_path / "copy")
    (tmp_path / "text").write_text("not a database at all, " * 100)
    with pytest.raises(BackupError, match="no store of SM3 Scope"):
        sqlite.verify(tmp_path / "text")


URL = "postgresql+psycopg://sm3:hunter2@127.0.0.1:5433/jobs?sslmode=disable"


def test_the_commands_for_postgresql_have_no_password(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    public = "--dbname=postgresql://sm3@127.0.0.1:5433/jobs?sslmode=disable"
    assert postgres.dump_command(URL, "x") == [
        "pg_dump",
        "--format=custom",
        "--no-owner",
        "--file=x",
        public,
    ]
    assert public in postgres.restore_command(URL, "x")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        BackupError, match=r"pg_dump is not on this machine.*run this where it is: pg_dump --"
    ) as told:
        postgres._run(postgres.dump_command(URL, "x"), URL)
    assert "hunter2" not in str(told.value)


def test_pg_dump_gets_the_password_by_its_environment_and_its_words_are_passed_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tool = tmp_path / "pg_dump"
    tool.write_text('#!/bin/sh\necho "$PGPASSWORD" "$@" >&2\nexit 3\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(BackupError, match=r"failed: hunter2 --format=custom"):
        postgres._run(postgres.dump_command(URL, "x"), URL)


def test_the_command_line_backs_up_a_running_service_and_restores_it(
    own_service: RunningService, tmp_path: Path
) -> None:
    with own_service.client as client:
        job = client.launch(tiny_job(steps=100_000, retry={"attempts": 0}))
        own_service.wait_for(job.id, lambda j: j.progress.frames > 3)
        before = client.job(job.id).progress.frames
        made = sm3("backup", str(tmp_path / "backup"), SM3_DATA_DIR=str(own_service.data_dir))
        assert made.returncode == 0, made.stderr
        assert "verified" in made.stdout
        assert "The admin token is not in it" in made.stdout
        own_service.wait_for(job.id, lambda j: j.progress.frames > before)
        client.cancel(job.id)
    again = sm3("backup", str(tmp_path / "backup"), SM3_DATA_DIR=str(own_service.data_dir))
    assert (again.returncode, again.stdout) == (1, "")
    assert "exists. Nothing is overwritten" in again.stderr
    restored = sm3("restore", str(tmp_path / "backup"), SM3_DATA_DIR=str(tmp_path / "new"))
    assert restored.returncode == 0, restored.stderr
    kept = Contents.read(tmp_path / "backup").counts["frames"]
    assert kept >= before
    new = RunningService(tmp_path / "new", own_service.cache_dir).start()
    try:
        ended = new.wait_for(job.id, lambda j: j.state.is_final)
        with new.client as client:
            seqs = [frame.seq for frame in client.frames(job.id, limit=5000).items]
        assert ended.state is JobState.CRASHED
        assert len(seqs) >= kept
        assert seqs == list(range(len(seqs)))
    finally:
        new.stop()

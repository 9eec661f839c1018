"""Archives: another instance has the same job afterwards; of a file with one bad part nothing is stored."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server import archive as archives
from server.archive import Archive, ArchiveError, pack
from server.store import Database, FrameStore, JobStore, Sealer, Segments
from server.store.archives import ArchiveStore, JobExists
from server.store.recording import CHUNK_FRAMES
from sm3.remote.frames import Frame, FrameError, decode, encode, read_header, readdressed
from sm3.remote.wire import JobState, JobView, Manifest, Memory, TensorInfo
from tests.conftest import tiny_job
from tests.server.store.recorded import blob
from tests.server.store.test_sealing import ALL, everything

NUM_FRAMES = CHUNK_FRAMES + 20
TENSOR = TensorInfo(
    name="w",
    shape=(2, 3),
    dtype="float32",
    cover="slices",
    parts=("dim0", "dim1"),
    num_accumulators=5,
    accumulator_bytes=20,
    momentum_bytes=0,
)
MEMORY = Memory(
    num_parameters=6,
    parameter_bytes=24,
    accumulator_bytes=20,
    momentum_bytes=0,
    state_bytes=20,
    adam_bytes=48,
    adagrad_bytes=24,
)


@pytest.fixture
def segments(tmp_path: Path) -> Segments:
    return Segments(tmp_path / "segments")


@pytest.fixture
def frames(database: Database, segments: Segments) -> FrameStore:
    return FrameStore(database, segments, now=lambda: 100.0)


@pytest.fixture
def other(tmp_path: Path):
    """Another instance, on SQLite."""
    found = Database(f"sqlite:///{tmp_path / 'other' / 'store.sqlite3'}")
    yield found
    found.close()


def ended(jobs: JobStore, frames: FrameStore, num_frames: int = NUM_FRAMES) -> JobView:
    """Returns a job that has run to its end, with all that a job can have."""
    job = jobs.create(tiny_job(labels={"course": "demo"}))
    jobs.claim("d")
    manifest = Manifest(attempt=0, tensors=(TENSOR,), memory=MEMORY, provenance={"corpus": "x"}, device="cpu")
    jobs.set_manifest(job.id, manifest)
    for seq in range(num_frames):
        value = float("nan") if seq == 3 else 0.25 * seq
        frames.add(job.id, blob(job, seq, **{"rate_p50/w": value}))
    return jobs.move(job.id, JobState.SUCCEEDED, "all steps are done")


def packed(database: Database, frames: FrameStore, job_id: str) -> bytes:
    record, newest = ArchiveStore(database).record(job_id)
    return b"".join(pack(record, frames.blobs(job_id, until=newest)))


def test_another_instance_has_the_same_job_afterwards(
    database: Database, jobs: JobStore, frames: FrameStore, segments: Segments, other: Database
) -> None:
    job = ended(jobs, frames)
    plain = packed(database, frames, job.id)
    assert Sealer(database, segments, ALL).run() == NUM_FRAMES
    assert packed(database, frames, job.id) == plain, "whether frames are sealed makes no difference"
    imported = ArchiveStore(other).restore(Archive(io.BytesIO(plain)), new_id=False)
    theirs, their_frames = JobStore(other), FrameStore(other)
    assert theirs.page(after=None, limit=5).items == (imported,)
    assert imported == theirs.get(job.id)
    assert imported.model_dump(exclude={"progress": {"last_frame_at"}}) == jobs.get(job.id).model_dump(
        exclude={"progress": {"last_frame_at"}}
    )
    assert theirs.transitions(job.id) == jobs.transitions(job.id)
    assert theirs.manifest(job.id) == jobs.manifest(job.id)
    # repr, since NaN is a value here.
    assert repr(everything(their_frames, job.id)) == repr(everything(frames, job.id))
    assert packed(other, their_frames, job.id) == plain
    assert theirs.claim("d") is None
    assert theirs.with_worker("") == ()


def test_a_job_that_is_here_already_is_refused_and_can_be_had_as_a_copy(
    database: Database, jobs: JobStore, frames: FrameStore
) -> None:
    job = ended(jobs, frames, 5)
    sent = packed(database, frames, job.id)
    store = ArchiveStore(database)
    with pytest.raises(JobExists, match=r"is here already\. Import it with \?new_id=true"):
        store.restore(Archive(io.BytesIO(sent)), new_id=False)
    copy = store.restore(Archive(io.BytesIO(sent)), new_id=True)
    assert copy.id != job.id
    assert (copy.spec, copy.state, copy.progress.loss) == (job.spec, job.state, 2.0)
    one, two = decode(frames.newest(job.id)), decode(frames.newest(copy.id))
    assert (two.job, two.seq, two.step) == (copy.id, one.seq, one.step)
    np.testing.assert_array_equal(two.arrays["a/b/c"], one.arrays["a/b/c"])
    assert len(jobs.page(after=None, limit=9).items) == 2


@pytest.mark.parametrize("running", [False, True])
def test_a_job_that_had_not_ended_counts_as_cancelled_and_is_never_claimed(
    database: Database, jobs: JobStore, frames: FrameStore, other: Database, running: bool
) -> None:
    job = jobs.create(tiny_job())
    if running:
        jobs.claim("d")
        frames.add(job.id, blob(job, 0))
    state = "starting" if running else "queued"
    sent = packed(database, frames, job.id)
    imported = ArchiveStore(other, now=lambda: 500.0).restore(Archive(io.BytesIO(sent)), new_id=False)
    assert (imported.state, imported.finished_at.timestamp()) == (JobState.CANCELLED, 500.0)
    assert imported.cause == f"it was {state} when it was packed, and does not go on here"
    log = JobStore(other).transitions(job.id)
    assert [t.state for t in log][-2:] == [state, "cancelled"]
    assert imported.progress.frames == running
    assert JobStore(other).claim("d") is None


def test_frames_that_come_while_it_is_packed_are_left_out_whole(
    database: Database, jobs: JobStore, frames: FrameStore
) -> None:
    job = jobs.create(tiny_job())
    for seq in range(3):
        frames.add(job.id, blob(job, seq))
    record, newest = ArchiveStore(database).record(job.id)
    pieces = pack(record, frames.blobs(job.id, until=newest))
    head = next(pieces)
    frames.add(job.id, blob(job, 3))
    found = Archive(io.BytesIO(head + b"".join(pieces)))
    assert [read_header(b).seq for b in found.frames()] == [0, 1, 2]


def test_packing_holds_a_few_frames_in_memory_not_all(
    database: Database, jobs: JobStore, frames: FrameStore
) -> None:
    job = jobs.create(tiny_job())
    zeros = np.zeros(2**18)
    for seq in range(40):  # 2 MiB each
        frames.add(job.id, encode(Frame(job.id, 0, seq, seq, 1.0, {"a/b/c": zeros})))
    record, newest = ArchiveStore(database).record(job.id)
    tracemalloc.start()
    for _ in pack(record, frames.blobs(job.id, until=newest)):
        pass
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 40 * 2**20, "8 MiB are read at once, and drivers hold copies; all frames are 80 MiB"


# ── files of strangers


def job_json(**changes: object) -> dict[str, Any]:
    return {
        "id": "01990000-0000-7000-8000-000000000001",
        "state": "succeeded",
        "attempt": 0,
        "created_s": 1.0,
        "spec": tiny_job().model_dump(mode="json"),
        **changes,
    }


def transition(**changes: object) -> dict[str, Any]:
    return {"number": 0, "state": "succeeded", "attempt": 0, "at_s": 1.0, **changes}


def frame(seq: int = 0, **changes: object) -> bytes:
    key = {"job": job_json()["id"], "attempt": 0, "seq": seq, "step": 1, "time_s": 1.0} | changes
    return encode(Frame(**key, arrays={"a/b/c": np.ones(2, np.float32)}))


def name(seq: int = 0, attempt: int = 0) -> str:
    return f"frames/{attempt:06d}-{seq:012d}.safetensors"


def members(**changes: object) -> dict[str, Any]:
    return {"job.json": job_json(), "transitions.json": [transition()], name(): frame()} | changes


def zipped(parts: dict[str, Any], *, sums: dict[str, str] | None = None, method: int = 8) -> bytes:
    data = {
        k: v if isinstance(v, bytes) else json.dumps(v).encode() for k, v in parts.items() if v is not None
    }
    if sums is None:
        sums = {k: hashlib.sha256(v).hexdigest() for k, v in data.items()}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        for member, content in data.items():
            made.writestr(member, content)
        if "checksums.json" not in data:
            made.writestr("checksums.json", json.dumps(sums))
    return file.getvalue()


def twice() -> bytes:
    return zipped(members(**{"job.jsoX": {}})).replace(b"job.jsoX", b"job.json")


def hidden_end() -> bytes:
    return zipped(members(**{"job.json~.exe": {}})).replace(b"job.json~.exe", b"job.json\0.exe")


def flipped(at: bytes) -> bytes:
    """Returns an archive with one bit of a stored member changed."""
    whole = bytearray(zipped(members(), method=0))
    whole[whole.index(at)] ^= 1
    return bytes(whole)


def promising(size: int) -> bytes:
    """Returns an archive whose directory promises another unpacked size of job.json."""
    whole = bytearray(zipped(members()))
    at = whole.index(b"PK\x01\x02")
    while whole[at + 46 : at + 54] != b"job.json":
        at = whole.index(b"PK\x01\x02", at + 1)
    whole[at + 24 : at + 28] = struct.pack("<I", size)
    return bytes(whole)


def large_directory() -> bytes:
    whole = bytearray(zipped(members()))
    at = whole.rindex(b"PK\x05\x06")
    whole[at + 12 : at + 16] = struct.pack("<I", 2**31)
    return bytes(whole)


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "not a zip"),
    "no zip": (lambda: b"PK" * 5000, "not a zip"),
    "cut short": (lambda: zipped(members())[:-40], "cut short"),
    "cut in the middle": (lambda: zipped(members())[400:], "not a zip|cannot be unpacked|Bad"),
    "a directory of gigabytes": (large_directory, "its directory has 2,147,483,648 bytes"),
    "a path upwards": (
        lambda: zipped(members(**{"../../etc/cron.d/x": b"x"})),
        "no name that a member may have",
    ),
    "an absolute path": (lambda: zipped(members(**{"/etc/passwd": b"x"})), "'/etc/passwd' is no name"),
    "a backslash": (lambda: zipped(members(**{"frames\\x": b"x"})), "is no name"),
    "a hidden end": (hidden_end, "is no name"),
    "a strange frame name": (lambda: zipped(members(**{"frames/1-2.safetensors": b"x"})), "is no name"),
    "a pickle": (lambda: zipped(members(**{"model.pkl": b"x"})), "'model.pkl' is no name"),
    "a member twice": (twice, "job.json is there twice"),
    "another packing": (lambda: zipped(members(), method=zipfile.ZIP_LZMA), "in another way"),
    "a bomb": (lambda: zipped(members(**{"job.json": b" " * (2**20 + 1)})), "unpacks to 1,048,577 bytes"),
    "more than promised": (lambda: promising(5), "cannot be unpacked|promised"),
    "less than promised": (lambda: promising(2**19), "cannot be unpacked|promised"),
    "no job": (lambda: zipped(members(**{"job.json": None})), "job.json is missing"),
    "no checksums": (lambda: zipped(members(**{"checksums.json": b"{}"})), "differ in 'frames/"),
    "a checksum too many": (lambda: zipped(members(), sums={"x": "0" * 64}), "differ in"),
    "a wrong checksum": (
        lambda: zipped(members(), sums=dict.fromkeys(members(), "0" * 64)),
        "does not have the SHA-256",
    ),
    "a flipped bit": (lambda: flipped(b'"a/b/c"'), "cannot be unpacked|SHA-256"),
    "no JSON": (lambda: zipped(members(**{"job.json": b"{"})), "job.json: : Invalid JSON"),
    "another format": (lambda: zipped(members(**{"job.json": job_json(format="x 2")})), "job.json: format"),
    "a field too many": (lambda: zipped(members(**{"job.json": job_json(run="rm")})), "job.json: run"),
    "an id that is a path": (lambda: zipped(members(**{"job.json": job_json(id="../x")})), "job.json: id"),
    "a spec with a path": (
        lambda: zipped(members(**{"job.json": job_json(spec={"recipe": {"name": "/bin/sh"}})})),
        "job.json: spec",
    ),
    "a time that is none": (
        lambda: zipped(members(**{"job.json": json.dumps(job_json(created_s=1e300)).encode()})),
        "job.json: created_s",
    ),
    "an unknown state": (lambda: zipped(members(**{"job.json": job_json(state="x")})), "job.json: state"),
    "no transitions": (lambda: zipped(members(**{"transitions.json": []})), "transitions.json"),
    "transitions with a gap": (
        lambda: zipped(members(**{"transitions.json": [transition(number=1)]})),
        "count from 0 without gaps",
    ),
    "another last state": (
        lambda: zipped(members(**{"transitions.json": [transition(state="failed")]})),
        "ends in failed, but job.json says succeeded",
    ),
    "a manifest that is none": (lambda: zipped(members(**{"manifest.json": {}})), "manifest.json: attempt"),
    "a later manifest": (
        lambda: zipped(
            members(**{"manifest.json": Manifest(attempt=3, tensors=(), memory=MEMORY).model_dump()})
        ),
        "later attempt",
    ),
    "a frame that is none": (lambda: zipped(members(**{name(): b"x" * 50})), "not a safetensors blob"),
    "a frame of another job": (lambda: zipped(members(**{name(): frame(job="x")})), "of job 'x'"),
    "a frame under a wrong name": (lambda: zipped(members(**{name(7): frame()})), "says it is frame 0/0"),
    "a frame of a later attempt": (
        lambda: zipped(members(**{name(0, 2): frame(attempt=2)})),
        "has got to attempt 0 only",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_of_a_file_with_one_bad_part_nothing_is_stored(fault: str, other: Database) -> None:
    make, says = BAD[fault]
    with pytest.raises(ArchiveError, match=says):
        ArchiveStore(other).restore(Archive(io.BytesIO(make())), new_id=False)
    assert JobStore(other).page(after=None, limit=5).items == ()


def test_the_files_that_the_bad_ones_are_made_from_are_good(other: Database) -> None:
    for sent in (zipped(members()), zipped(members(), method=0)):
        job = ArchiveStore(other).restore(Archive(io.BytesIO(sent)), new_id=True)
        assert (job.state, job.progress.frames) == (JobState.SUCCEEDED, 1)


def test_every_cut_and_many_flipped_bytes_are_noticed_or_harmless() -> None:
    whole = zipped(members())
    rng = np.random.default_rng(0)
    good = Archive(io.BytesIO(whole)).record
    for _ in range(300):
        bad = bytearray(whole)
        bad[int(rng.integers(len(whole)))] ^= int(rng.integers(1, 256))
        try:
            found = Archive(io.BytesIO(bytes(bad))).record
        except ArchiveError:
            continue
        assert found == good  # a byte that means nothing, such as a time of a member
    for length in range(0, len(whole) - 1, 37):
        with pytest.raises(ArchiveError):
            Archive(io.BytesIO(whole[:length]))


def test_totals_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = zipped(members())
    with monkeypatch.context() as patch:
        patch.setattr(archives, "MAX_UNPACKED_BYTES", 100)
        with pytest.raises(ArchiveError, match="at most 100 may"):
            Archive(io.BytesIO(sent))
    with monkeypatch.context() as patch:
        patch.setattr(archives, "MAX_FRAMES", -1)
        with pytest.raises(ArchiveError, match="members"):
            Archive(io.BytesIO(sent))


def test_an_import_that_breaks_off_leaves_nothing(
    database: Database, jobs: JobStore, frames: FrameStore, other: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ended(jobs, frames, 40)
    found = Archive(io.BytesIO(packed(database, frames, job.id)))
    blobs = list(found.frames())

    def breaks_off(_: Archive):
        yield from blobs[:30]
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Archive, "frames", breaks_off)
        with pytest.raises(OSError, match="No space"):
            ArchiveStore(other).restore(found, new_id=False)
    assert JobStore(other).page(after=None, limit=5).items == ()
    assert FrameStore(other).page(job.id, limit=5) == ((), False)
    assert ArchiveStore(other).restore(found, new_id=False).progress.frames == 40


def test_a_frame_is_readdressed_and_otherwise_the_same() -> None:
    one = decode(frame(3))
    two = decode(readdressed(frame(3), "a longer or shorter name ✓"))
    assert (two.job, two.seq, two.time_s) == ("a longer or shorter name ✓", one.seq, one.time_s)
    np.testing.assert_array_equal(two.arrays["a/b/c"], one.arrays["a/b/c"])
    with pytest.raises(FrameError):
        readdressed(b"no frame", "x")

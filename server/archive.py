"""A job as one file: what is in it, how it is written, and how a stranger's is checked.

An archive is a zip of

* ``job.json``: spec, state, times (:class:`ArchivedJob`); ``transitions.json``; ``manifest.json`` if there was one,
* ``frames/ATTEMPT-SEQ.safetensors``: every frame as its worker sent it. All scalar points are in them.
* ``checksums.json``: the SHA-256 of every other member.

Reading trusts nothing: names come from a closed set and are never used as paths, sizes are bounded before and
while unpacking, every digest and every frame is checked before anything is stored.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, BinaryIO, Literal, TypeVar

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from sm3.remote.frames import MAX_FRAME_BYTES, MAX_TIME_S, FrameError, read_header, read_scalars
from sm3.remote.job_specs import JobSpec, Labels
from sm3.remote.spec import Spec
from sm3.remote.wire import JobState, Manifest

MAX_ARCHIVE_BYTES = 2**30
MAX_UNPACKED_BYTES = 4 * 2**30
MAX_FRAMES = 500_000
_MAX_DIRECTORY_BYTES = 128 * MAX_FRAMES
_LIMITS_BYTES = {
    "job.json": 2**20,
    "transitions.json": 16 * 2**20,
    "manifest.json": 16 * 2**20,
    "checksums.json": 128 * MAX_FRAMES,
}
_FRAME = re.compile(r"frames/(\d{6})-(\d{12})\.safetensors", re.ASCII)
_EPOCH = (1980, 1, 1, 0, 0, 0)  # equal content makes an equal file

Seconds = Annotated[float, Field(ge=0, lt=MAX_TIME_S)]
Part = TypeVar("Part")
Words = Annotated[str, StringConstraints(max_length=20_000)]


# What zipfile is seen to raise on files that are none.
_UNPACKING = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
)


class ArchiveError(ValueError):
    """A file that is not a well-formed archive; the message names what is wrong with it."""


class ArchivedJob(Spec):
    """``job.json``: what the store knows of a job, besides what its frames tell."""

    format: Literal["sm3-scope job 1"] = "sm3-scope job 1"
    id: Annotated[
        str, StringConstraints(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
    ]
    state: JobState
    attempt: int = Field(ge=0, lt=2**31)
    cause: Words = ""
    created_s: Seconds
    started_s: Seconds | None = None
    finished_s: Seconds | None = None
    last_frame_s: Seconds | None = None
    spec: JobSpec
    labels: Labels = Field(default_factory=dict)
    notes: Annotated[str, StringConstraints(max_length=10_000)] = ""


class ArchivedTransition(Spec):
    """One change of state in ``transitions.json``."""

    number: int = Field(ge=0, lt=2**31)
    state: JobState
    attempt: int = Field(ge=0, lt=2**31)
    at_s: Seconds
    cause: Words = ""


_TRANSITIONS = TypeAdapter(Annotated[tuple[ArchivedTransition, ...], Field(min_length=1, max_length=100_000)])
_CHECKSUMS = TypeAdapter(dict[str, Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]])


@dataclass(frozen=True)
class ArchivedRecord:
    """All of a job but its frames."""

    job: ArchivedJob
    transitions: tuple[ArchivedTransition, ...]
    manifest: Manifest | None


class Sink(io.RawIOBase):
    """Something to write to, whose bytes are taken away bit by bit."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        """Returns that it can be written to."""
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        """Takes bytes."""
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        """Returns what was written since the last call."""
        taken = b"".join(self._pieces)
        self._pieces.clear()
        return taken


def pack(record: ArchivedRecord, frames: Iterable[tuple[int, int, bytes]]) -> Iterator[bytes]:
    """Yields an archive piece by piece; memory holds one frame at a time.

    Args:
        record: the job.
        frames: (attempt, seq, blob), ascending.
    """
    sink, sums = Sink(), {}

    def add(archive: zipfile.ZipFile, name: str, data: bytes) -> bytes:
        sums[name] = hashlib.sha256(data).hexdigest()
        entry = zipfile.ZipInfo(name, _EPOCH)
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = 0o600 << 16
        archive.writestr(entry, data, compresslevel=1)
        return sink.take()

    with zipfile.ZipFile(sink, "w") as archive:
        yield add(archive, "job.json", record.job.model_dump_json().encode())
        yield add(archive, "transitions.json", _TRANSITIONS.dump_json(record.transitions))
        if record.manifest is not None:
            yield add(archive, "manifest.json", record.manifest.model_dump_json().encode())
        for attempt, seq, blob in frames:
            yield add(archive, f"frames/{attempt:06d}-{seq:012d}.safetensors", blob)
        yield add(archive, "checksums.json", _CHECKSUMS.dump_json(sums))
    yield sink.take()


class Archive:
    """An archive that was checked from end to end.

    Args:
        file: the whole of it; stays open as long as frames are read.

    Raises:
        ArchiveError: it is not a well-formed archive. All of it was read, nothing was kept.
    """

    def __init__(self, file: BinaryIO) -> None:
        _check_directory(file)
        try:
            self._zip = zipfile.ZipFile(file)
        except _UNPACKING as error:
            raise ArchiveError(f"not a zip: {error}") from error
        self._members = _members(self._zip.infolist())
        self._sums = self._parse("checksums.json", _CHECKSUMS.validate_json)
        if differing := self._sums.keys() ^ (self._members.keys() - {"checksums.json"}):
            raise ArchiveError(f"checksums.json and the members differ in {_some(sorted(differing))}")
        job = self._parse("job.json", ArchivedJob.model_validate_json)
        transitions = self._parse("transitions.json", _TRANSITIONS.validate_json)
        manifest = None
        if "manifest.json" in self._members:
            manifest = self._parse("manifest.json", Manifest.model_validate_json)
        self.record = ArchivedRecord(job, transitions, manifest)
        _check_record(self.record)
        self._frames = sorted(name for name in self._members if _FRAME.fullmatch(name))
        for name, blob in zip(self._frames, self.frames(), strict=True):
            self._check_frame(name, blob)

    def frames(self) -> Iterator[bytes]:
        """Yields every frame, ascending by (attempt, seq), one in memory at a time."""
        return map(self._read, self._frames)

    def _check_frame(self, name: str, blob: bytes) -> None:
        try:
            header = read_header(blob)
            read_scalars(blob)
        except FrameError as error:
            raise ArchiveError(f"{name}: {error}") from error
        if (header.job, name) != (
            self.record.job.id,
            f"frames/{header.attempt:06d}-{header.seq:012d}.safetensors",
        ):
            raise ArchiveError(
                f"{name} says it is frame {header.attempt}/{header.seq} of job {header.job[:64]!r}; the archive is "
                f"of job {self.record.job.id}"
            )
        if header.attempt > self.record.job.attempt:
            raise ArchiveError(f"{name}: the job has got to attempt {self.record.job.attempt} only")

    def _parse(self, name: str, parse: Callable[[bytes], Part]) -> Part:
        if name not in self._members:
            raise ArchiveError(f"{name} is missing")
        try:
            return parse(self._read(name))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise ArchiveError(f"{name}: {place}: {first['msg']}") from error

    def _read(self, name: str) -> bytes:
        """Returns a member, no more of it than its entry promised, with its digest checked."""
        entry = self._members[name]
        try:
            with self._zip.open(entry) as member:
                data = member.read(entry.file_size + 1)
        except _UNPACKING as error:
            raise ArchiveError(f"{name} cannot be unpacked: {error}") from error
        if len(data) != entry.file_size:
            raise ArchiveError(f"{name} has {len(data)} bytes; its entry promised {entry.file_size}")
        if name != "checksums.json" and hashlib.sha256(data).hexdigest() != self._sums[name]:
            raise ArchiveError(
                f"{name} does not have the SHA-256 that checksums.json names: it was changed or damaged"
            )
        return data


def _check_directory(file: BinaryIO) -> None:
    """Bounds what opening the zip will read into memory: its directory."""
    file.seek(0, io.SEEK_END)
    size_bytes = file.tell()
    file.seek(max(0, size_bytes - 22 - 2**16))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < 22:
        raise ArchiveError("not a zip: it has no end of directory; perhaps it was cut short")
    directory_bytes = int.from_bytes(tail[at + 12 : at + 16], "little")
    if tail[at - 20 : at - 16] == b"PK\x06\x07":  # zip64
        file.seek(int.from_bytes(tail[at - 12 : at - 4], "little") & (2**62 - 1))
        end = file.read(56)
        directory_bytes = int.from_bytes(end[40:48], "little") if end[:4] == b"PK\x06\x06" else 2**62
    if directory_bytes > min(_MAX_DIRECTORY_BYTES, size_bytes):
        raise ArchiveError(
            f"its directory has {directory_bytes:,} bytes; at most {_MAX_DIRECTORY_BYTES:,} may"
        )
    file.seek(0)


def _members(entries: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """Returns the members by name, if names, sizes and packing are such as an archive may have."""
    members: dict[str, zipfile.ZipInfo] = {}
    total_bytes = 0
    for entry in entries:
        name = entry.filename
        limit_bytes = MAX_FRAME_BYTES if _FRAME.fullmatch(name) else _LIMITS_BYTES.get(name)
        if limit_bytes is None or entry.orig_filename != name:
            raise ArchiveError(f"{entry.orig_filename[:200]!r} is no name that a member may have")
        if name in members:
            raise ArchiveError(f"{name} is there twice")
        if entry.flag_bits & 0x1 or entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise ArchiveError(f"{name} is encrypted or packed in another way than 'stored' or 'deflated'")
        if entry.file_size > limit_bytes:
            raise ArchiveError(f"{name} unpacks to {entry.file_size:,} bytes; at most {limit_bytes:,} may")
        total_bytes += entry.file_size
        members[name] = entry
    if total_bytes > MAX_UNPACKED_BYTES:
        raise ArchiveError(f"it unpacks to {total_bytes:,} bytes; at most {MAX_UNPACKED_BYTES:,} may")
    if len(members) > MAX_FRAMES + len(_LIMITS_BYTES):
        raise ArchiveError(f"it has {len(members):,} members; at most {MAX_FRAMES:,} frames may be in it")
    return members


def _check_record(record: ArchivedRecord) -> None:
    numbers = [transition.number for transition in record.transitions]
    if numbers != list(range(len(numbers))):
        raise ArchiveError("transitions.json: the numbers must count from 0 without gaps")
    if record.transitions[-1].state is not record.job.state:
        raise ArchiveError(
            f"transitions.json ends in {record.transitions[-1].state.value}, but job.json says "
            f"{record.job.state.value}"
        )
    if record.manifest is not None and record.manifest.attempt > record.job.attempt:
        raise ArchiveError("manifest.json is of a later attempt than the job has got to")


def _some(names: list[str]) -> str:
    return ", ".join(repr(name[:80]) for name in names[:5]) + (" and more" if len(names) > 5 else "")

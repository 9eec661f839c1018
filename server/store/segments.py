"""Segments: Parquet files that hold sealed frames, in a folder or a bucket.

A segment holds frames of one attempt of one job, in the order of ``seq``, in row groups of a few MiB, so that
reading one frame of a large segment reads one row group. It is written beside its place, read back and compared,
synced and renamed into place (a bucket's upload is all or nothing by itself), and never changed afterwards.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

ROW_GROUP_BYTES = 4 * 2**20
ROW_GROUP_FRAMES = 256
Column = Literal["scalars", "blob"]


class SegmentError(OSError):
    """A segment that cannot be written or read, or that is not what it should be."""


class SealedFrame(NamedTuple):
    """One frame as it lies in a segment."""

    attempt: int
    seq: int
    step: int
    at_s: float
    scalars: bytes
    blob: bytes


class Written(NamedTuple):
    """What a finished segment is: how many frames, its file's size and SHA-256."""

    num_frames: int
    size_bytes: int
    digest: str


@dataclass(frozen=True)
class Segments:
    """Writes, reads and removes segment files.

    Args:
        folder: the data folder's own place for segments, named ``''``; also where a file is made before upload.
        place: where new segments go: ``''``, a folder, or a URL that fsspec knows, such as ``s3://bucket/prefix``.
    """

    folder: Path
    place: str = ""

    def write(self, segment_id: str, job_id: str, groups: Iterable[Sequence[SealedFrame]]) -> Written:
        """Writes one segment; it is on disk or in the bucket, and equal to ``groups``, when this returns.

        Args:
            segment_id: its name.
            job_id: noted in the file.
            groups: the frames, one row group each; memory holds one group at a time.

        Raises:
            SegmentError: what was read back differs.
            OSError: it could not be written or uploaded.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, name = tempfile.mkstemp(suffix=".tmp", dir=self.folder)
        made = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                given = _write(file, job_id, groups)
                file.flush()
                os.fsync(file.fileno())
            with made.open("rb") as file:
                num_frames, found = _check_sum(file)
                file.seek(0)
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if found != given:
                raise SegmentError(
                    f"segment {segment_id} of job {job_id} reads back otherwise than it was written"
                )
            size_bytes = made.stat().st_size
            self._put_in_place(made, segment_id, size_bytes)
        finally:
            made.unlink(missing_ok=True)
        return Written(num_frames, size_bytes, digest)

    def _put_in_place(self, made: Path, segment_id: str, size_bytes: int) -> None:
        files, path = self._locate(self.place, segment_id)
        if not _is_local(files):
            files.put_file(str(made), path)
            files.invalidate_cache()
            if files.size(path) != size_bytes:
                raise SegmentError(
                    f"{path} has {files.size(path)} bytes after its upload; {size_bytes} were sent"
                )
            return
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if target.parent != made.parent:  # perhaps another file system: a rename works within one only
            beside = target.with_suffix(".part")
            with made.open("rb") as source, beside.open("wb") as copy:
                while piece := source.read(2**20):
                    copy.write(piece)
                copy.flush()
                os.fsync(copy.fileno())
            made = beside
        made.replace(target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def read(self, place: str, segment_id: str, column: Column, seqs: Collection[int]) -> dict[int, bytes]:
        """Returns ``{seq: bytes}`` of a column of the frames ``seqs``.

        Raises:
            FileNotFoundError: there is no such segment.
            SegmentError: one of the frames is not in it.
        """
        files, path = self._locate(place, segment_id)
        wanted = set(seqs)
        found: dict[int, bytes] = {}
        for number, (first, last) in enumerate(_ranges(files, path)):
            if any(first <= seq <= last for seq in wanted):
                group = _row_group(files, path, number, column)
                found |= {seq: group[seq] for seq in wanted & group.keys()}
        if missing := wanted - found.keys():
            raise SegmentError(f"segment {path} lacks frames {sorted(missing)[:5]}")
        return found

    def remove(self, place: str, segment_id: str) -> None:
        """Removes a segment; nothing happens where there is none."""
        files, path = self._locate(place, segment_id)
        with suppress(FileNotFoundError):
            files.rm_file(path)

    def sweep(self, before_s: float) -> None:
        """Removes half-made files last written before the Unix time ``before_s``: their makers were killed."""
        for path in self.folder.glob("*.tmp"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before_s:
                    path.unlink()

    def _locate(self, place: str, segment_id: str) -> tuple[Any, str]:
        """Returns the file system of ``place`` and the segment's path in it."""
        files, root = _file_system(place or str(self.folder))
        return files, f"{root.rstrip('/')}/{segment_id}.parquet"


def check_place(place: str) -> None:
    """Raises `ValueError` if no library here speaks with ``place``."""
    try:
        _file_system(place)
    except ImportError as error:
        raise ValueError(f"{place}: {error}. For s3://: pip install 'sm3-scope[s3]'") from error


@lru_cache(maxsize=16)
def _file_system(place: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs  # with pyarrow a quarter of a second, so only where needed

    found: tuple[Any, str] = url_to_fs(place)
    return found


def _is_local(files: Any) -> bool:
    protocol = files.protocol
    return "file" in ((protocol,) if isinstance(protocol, str) else protocol)


# Segments never change, so what was read of one holds for good.
@lru_cache(maxsize=256)
def _footer(files: Any, path: str) -> Any:
    with files.open(path, "rb") as file:
        return _open(file).metadata


@lru_cache(maxsize=256)
def _ranges(files: Any, path: str) -> tuple[tuple[int, int], ...]:
    """Returns the first and last ``seq`` of each row group."""
    metadata = _footer(files, path)
    column = metadata.schema.to_arrow_schema().get_field_index("seq")
    statistics = [metadata.row_group(k).column(column).statistics for k in range(metadata.num_row_groups)]
    return tuple((found.min, found.max) for found in statistics)


@lru_cache(
    maxsize=4
)  # who looks at one frame of a group soon looks at the next; 4 MiB each, or one large frame
def _row_group(files: Any, path: str, number: int, column: Column) -> dict[int, bytes]:
    with files.open(path, "rb") as file:
        table = _open(file, metadata=_footer(files, path)).read_row_group(number, columns=["seq", column])
    return dict(zip(table["seq"].to_pylist(), table[column].to_pylist(), strict=True))


def _open(file: Any, metadata: Any = None) -> Any:
    from pyarrow import parquet

    return parquet.ParquetFile(file, metadata=metadata)


def _write(file: IO[bytes], job_id: str, groups: Iterable[Sequence[SealedFrame]]) -> str:
    """Writes the groups; returns the sum over what they hold."""
    import pyarrow as pa
    from pyarrow import parquet

    types = (pa.int32(), pa.int64(), pa.int64(), pa.float64(), pa.binary(), pa.binary())
    schema = pa.schema(
        [pa.field(name, kind, nullable=False) for name, kind in zip(SealedFrame._fields, types, strict=True)],
        metadata={"sm3-scope": "segment 1", "job": job_id},
    )
    total = hashlib.sha256()
    # Scalars and blobs differ from frame to frame: a dictionary of them only costs.
    with parquet.ParquetWriter(
        file,
        schema,
        compression="zstd",
        use_dictionary=False,
        write_statistics=["attempt", "seq", "step", "at_s"],
    ) as writer:
        for group in groups:
            columns = [pa.array(c, t) for c, t in zip(zip(*group, strict=True), types, strict=True)]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=len(group))
            _add(total, group)
    return total.hexdigest()


def _check_sum(file: IO[bytes]) -> tuple[int, str]:
    """Returns how many frames a segment holds and the sum over what they hold."""
    total = hashlib.sha256()
    parquet = _open(file)
    for number in range(parquet.num_row_groups):
        columns = parquet.read_row_group(number).to_pydict()
        _add(total, [SealedFrame(*row) for row in zip(*columns.values(), strict=True)])
    return parquet.metadata.num_rows, total.hexdigest()


def _add(total: Any, group: Sequence[SealedFrame]) -> None:
    for frame in group:
        total.update(repr(frame[:4]).encode())
        total.update(hashlib.sha256(frame.scalars).digest() + hashlib.sha256(frame.blob).digest())

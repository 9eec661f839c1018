"""Frames on disk until the service has acknowledged them.

One file a frame, named so that the names sort in the order of delivery. A frame is written beside its place and
renamed into it, so that a reader never sees half of one and a killed process leaves at most a stray temporary
file. Files are synced when a checkpoint asks for it, not one by one: until then the spool outlives the process, not
the machine; what the service acknowledged outlives both.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

DEFAULT_LIMIT_BYTES = 256 * 2**20
_SUFFIX = ".frame"


class SpoolFull(OSError):  # noqa: N818 - reads as what it is
    """The spool holds as much as it may; the frame was not taken."""


@dataclass(frozen=True)
class Entry:
    """One spooled frame."""

    path: Path
    attempt: int
    seq: int

    def read(self) -> bytes:
        """Returns the frame's bytes."""
        return self.path.read_bytes()

    def forget(self) -> None:
        """Removes the frame; call it only once the service has stored it."""
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Spool:
    """A folder of frames waiting for the service.

    Args:
        folder: made when the first frame comes.
        limit_bytes: how much may wait.
    """

    folder: Path
    limit_bytes: int = DEFAULT_LIMIT_BYTES

    def put(self, attempt: int, seq: int, blob: bytes) -> Entry:
        """Takes a frame.

        Raises:
            SpoolFull: the limit is reached.
            OSError: the disk is full or not writable. Nothing was taken then.
        """
        waiting_bytes = self.waiting_bytes()
        if waiting_bytes + len(blob) > self.limit_bytes:
            raise SpoolFull(
                f"{waiting_bytes:,} bytes of frames wait in {self.folder}; at most {self.limit_bytes:,} may"
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{attempt:06d}-{seq:012d}{_SUFFIX}"
        temporary = path.with_suffix(".tmp")
        try:
            temporary.write_bytes(blob)
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        return Entry(path, attempt, seq)

    def pending(self) -> list[Entry]:
        """Returns the waiting frames in the order of their delivery."""
        entries = []
        for path in sorted(self.folder.glob(f"*{_SUFFIX}")):
            attempt, _, seq = path.stem.partition("-")
            entries.append(Entry(path, int(attempt), int(seq)))
        return entries

    def sync(self) -> None:
        """Waits until all waiting frames are on disk, so that they outlive the machine too. Raises `OSError`."""
        if self.folder.exists():
            for path in [*(entry.path for entry in self.pending()), self.folder]:
                with suppress(FileNotFoundError):  # delivered meanwhile
                    _sync(path)

    def waiting_bytes(self) -> int:
        """Returns the size of all waiting frames."""
        total_bytes = 0
        for entry in self.pending():
            try:
                total_bytes += entry.path.stat().st_size
            except FileNotFoundError:
                continue
        return total_bytes


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

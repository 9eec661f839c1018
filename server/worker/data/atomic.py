"""Files and folders that appear whole, once, though several workers want them at the same time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from server.worker.data.base import Report


@contextmanager
def locked(target: Path, *, report: Report) -> Iterator[None]:
    """Hold the right to make `target`; the lock goes with the process, even a killed one.

    Args:
        target: the file or folder to be made; its parent is made here, and the lock file lies there.
        report: told when another worker holds the lock already.

    Yields:
        Nothing; look again whether `target` is there before making it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{target}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        report("waiting for another worker that is preparing the same data …")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def put_in_place(made: Path, target: Path) -> None:
    """Rename a finished file or folder to its final name, after its bytes are safely on disk.

    Args:
        made: a file, or a folder of files, on the same file system.
        target: the final name; a file there is replaced, a folder must not exist.
    """
    for path in [made] if made.is_file() else list(made.iterdir()):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    os.replace(made, target)

"""Who a data folder is, for stores that several services share."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock
from uuid_utils import uuid7

HOME_FILE = "home"


def home_id(data_dir: Path) -> str:
    """Returns the data folder's id, made at first use: jobs that run from it carry it in the store."""
    path = data_dir / HOME_FILE
    with FileLock(path.with_suffix(".lock"), mode=0o600):
        if path.exists() and (found := path.read_text(encoding="ascii").strip()):
            return found
        made = str(uuid7())
        temporary = path.with_suffix(".tmp")
        temporary.write_text(made + "\n", encoding="ascii")
        temporary.replace(path)
    return made

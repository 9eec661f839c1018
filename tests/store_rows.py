"""All that a SQLite store holds, to show that a refused request changed nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

_VOLATILE = {("tokens", "last_used_s")}


def rows(data_dir: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Returns table name to its rows, in a fixed order, without what every use of a token changes."""
    with closing(sqlite3.connect(data_dir / "store.sqlite3")) as store:
        found: dict[str, list[tuple[Any, ...]]] = {}
        for (table,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            columns = [column for _, column, *_ in store.execute(f"PRAGMA table_info({table})")]
            kept = ", ".join(f'"{column}"' for column in columns if (table, column) not in _VOLATILE)
            found[table] = sorted(store.execute(f"SELECT {kept} FROM {table}").fetchall(), key=str)
    return found

"""`sm3 backup` and `sm3 restore`: the service's own code does it, in a process beside the one that serves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer


def backup(
    target: Annotated[Path, typer.Argument(metavar="DEST", help="a folder that does not exist yet")],
    *,
    with_token: Annotated[bool, typer.Option("--with-token", help="put the admin token in too")] = False,
) -> None:
    """Back the data folder up, also while the service runs; the copy is consistent and verified."""
    _run("create", str(target), *(["--with-token"] if with_token else []))


def restore(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="a folder that `sm3 backup` made")],
) -> None:
    """Fill an empty data folder from a backup; nothing is ever overwritten."""
    _run("restore", str(source))


def register(app: typer.Typer) -> None:
    """Adds both commands to ``app``."""
    app.command()(backup)
    app.command()(restore)


def _run(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "server.backup", *arguments], check=False)
    if done.returncode != 0:
        raise typer.Exit(done.returncode)

"""What commands of the command line have in common: where they write, and how a job is named."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from sm3.remote.client import Client

MIN_SUFFIX = 4
OUT = Console()
ERR = Console(stderr=True)
JobArgument = Annotated[
    str, typer.Argument(metavar="ID", help="a job's id, its last characters, or 'latest'")
]


def find_job(client: Client, job: str) -> str:
    """Returns the id that ``job`` stands for.

    Raises:
        typer.BadParameter: there are no jobs, or it stands for several.
    """
    newest = client.jobs(limit=500).items
    if job == "latest":
        if not newest:
            raise typer.BadParameter("there are no jobs yet; start one: sm3 launch language-model")
        return newest[0].id
    matches = [found.id for found in newest if found.id.endswith(job)]
    if len(job) < MIN_SUFFIX or len(matches) > 1:
        raise typer.BadParameter(
            f"{job!r} stands for {len(matches)} jobs; give at least {MIN_SUFFIX} characters that only one id ends with"
        )
    return matches[0] if matches else job

"""``sm3 export`` and ``sm3 import``: jobs as files."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.console import Console

from sm3.progress import show_bytes
from sm3.remote.client import Client

_OUT = Console()
Find = Callable[[Client, str], str]
JobArgument = Annotated[
    str, typer.Argument(metavar="ID", help="a job's id, its last characters, or 'latest'")
]


class Form(StrEnum):
    """As what a job is exported."""

    ARCHIVE = "archive"
    CSV = "csv"
    PARQUET = "parquet"

    @property
    def suffix(self) -> str:
        """The end of a file's name."""
        return "zip" if self is Form.ARCHIVE else self.value


def add_to(app: typer.Typer, find: Find) -> None:
    """Adds both commands to ``app``; ``find`` returns the id that a user's word for a job stands for."""

    @app.command("export")
    def export(
        job: JobArgument = "latest",
        form: Annotated[
            Form,
            typer.Option("--format", help="the whole job to import elsewhere, or its scalars as a table"),
        ] = Form.ARCHIVE,
        output: Annotated[
            Path | None,
            typer.Option("--output", "-o", help="file to write; '-' is stdout; default: job-ID.…"),
        ] = None,
    ) -> None:
        """Write a job, or its scalar points, to a file."""
        with Client.from_settings() as client:
            job_id = find(client, job)
            if output is not None and str(output) == "-":
                _fetch(client, job_id, form, sys.stdout.buffer)
                return
            target = output or Path(f"job-{job_id}.{form.suffix}")
            beside = target.with_name(target.name + ".part")
            try:
                with beside.open("wb") as file:
                    size_bytes = _fetch(client, job_id, form, file)
                beside.replace(target)
            except OSError as error:
                raise typer.BadParameter(f"{target} cannot be written: {error}") from error
            finally:
                beside.unlink(missing_ok=True)
        _OUT.print(f"{target} {show_bytes(size_bytes)}", highlight=False, soft_wrap=True)

    @app.command("import")
    def import_(
        file: Annotated[
            Path, typer.Argument(metavar="FILE.zip", exists=True, dir_okay=False, help="an archive")
        ],
        new_id: Annotated[
            bool, typer.Option("--new-id", help="import a copy, though the job is there already")
        ] = False,
    ) -> None:
        """Store a job that `sm3 export` wrote, and print its id."""
        with Client.from_settings() as client, file.open("rb") as source:
            job = client.import_job(source, new_id=new_id)
        _OUT.print(job.id, highlight=False, soft_wrap=True)


def _fetch(client: Client, job_id: str, form: Form, target: BinaryIO) -> int:
    if form is Form.ARCHIVE:
        return client.export_job(job_id, target)
    return client.export_scalars(job_id, target, "csv" if form is Form.CSV else "parquet")

"""``sm3 cancel | pause | resume | note | clone | delete``: what can be done with a job that was launched."""

from __future__ import annotations

from typing import Annotated

import typer

from sm3.cli_arguments import OUT, JobArgument, find_job
from sm3.cli_assignments import AssignmentOption, changes_from
from sm3.remote.client import Client
from sm3.remote.job_specs import CloneSpec, JobPatch
from sm3.remote.wire import JobView


def cancel(job: JobArgument) -> None:
    """Stop a job; what it has recorded stays."""
    with Client.from_settings() as client:
        _say(client.cancel(find_job(client, job)))


def pause(job: JobArgument) -> None:
    """Let a job write a checkpoint and make way for others."""
    with Client.from_settings() as client:
        _say(client.pause(find_job(client, job)))


def resume(job: JobArgument) -> None:
    """Let a paused job go on, exactly where it stopped."""
    with Client.from_settings() as client:
        _say(client.resume(find_job(client, job)))


def note(job: JobArgument, text: Annotated[str, typer.Argument(help="replaces the job's notes")]) -> None:
    """Write a job's notes."""
    with Client.from_settings() as client:
        _say(client.change(find_job(client, job), JobPatch(notes=text)))


def clone(job: JobArgument, assignments: AssignmentOption = None) -> None:
    """Launch a job like an earlier one, with changes."""
    with Client.from_settings() as client:
        _say(client.clone(find_job(client, job), CloneSpec(change=changes_from(assignments))))


def delete(
    job: JobArgument,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Delete a job that has ended, with its frames, history, log and checkpoints."""
    with Client.from_settings() as client:
        job_id = find_job(client, job)
        if not yes:
            found = client.job(job_id)
            typer.confirm(
                f"Delete {job_id} ({found.state}, {found.progress.frames:,} frames) for good?", abort=True
            )
        client.delete(job_id)
    OUT.print(f"{job_id} deleted", highlight=False, soft_wrap=True)


def register(app: typer.Typer) -> None:
    """Adds these commands to ``app``."""
    for command in (cancel, pause, resume, note, clone, delete):
        app.command()(command)


def _say(job: JobView) -> None:
    OUT.print(f"{job.id} {job.state}", highlight=False, soft_wrap=True)

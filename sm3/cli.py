"""The command line: ``sm3 up | launch | compare | list | watch | token``, and what other modules add."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.markup import escape
from rich.table import Table

from sm3 import backup, cli_jobs, token_commands, transfer
from sm3.cli_arguments import ERR, OUT, JobArgument, find_job
from sm3.cli_assignments import AssignmentOption, changes_from
from sm3.doctor import command as doctor
from sm3.ledger.command import ledger
from sm3.progress import show_bytes, show_state, watch
from sm3.remote.client import Client, RemoteError, ServiceError
from sm3.remote.comparison_specs import ComparisonSpec
from sm3.remote.comparison_views import VariantStatistics
from sm3.remote.demo import DEMO
from sm3.remote.job_specs import JobSpec
from sm3.remote.settings import ClientSettings, unknown_variables
from sm3.remote.wire import JobState, JobView
from sm3.up import CannotStart, Instance, running

app = typer.Typer(
    name="sm3", no_args_is_help=True, add_completion=False, help="SM3 Scope: train with SM3 and look inside."
)


@app.command()
def up(
    *,
    demo: Annotated[bool, typer.Option(help="launch the demo job unless it has run before")] = False,
    port: Annotated[int, typer.Option(help="the service's port")] = 8000,
    dashboard_port: Annotated[int, typer.Option(help="the dashboard's port")] = 8501,
    dashboard: Annotated[bool, typer.Option(help="start the dashboard too")] = True,
) -> None:
    """Start the service and the dashboard; Ctrl-C ends everything and keeps what is stored."""
    instance = Instance(ClientSettings(), port, dashboard_port if dashboard else None)
    try:
        with running(instance):
            OUT.print(f"Service    [bold]{instance.url}[/]  (API: {instance.url}/docs)", highlight=False)
            if instance.dashboard_url:
                OUT.print(f"Dashboard  [bold green]{instance.dashboard_url}[/]", highlight=False)
            if demo:
                _run_demo(instance)
            OUT.print("Ctrl-C ends everything; jobs and frames stay.", style="dim")
            instance.wait()
    except KeyboardInterrupt:
        OUT.print("Stopped.", style="dim")


def _run_demo(instance: Instance) -> None:
    with instance.client() as client:
        job = _earlier_demo(client) or client.launch(DEMO)
        page = f"{instance.dashboard_url}/?job={job.id}" if instance.dashboard_url else ""
        OUT.print(f"Demo job   {job.id}  {page}", highlight=False, soft_wrap=True)
        job = watch(client, job.id, OUT)


def _earlier_demo(client: Client) -> JobView | None:
    """Returns the newest demo job that runs or has succeeded."""
    for job in client.jobs(limit=200).items:
        usable = job.state is JobState.SUCCEEDED or not job.state.is_final
        if usable and job.spec.labels.get("demo") == DEMO.labels["demo"]:
            return job
    return None


@app.command()
def launch(
    recipe: Annotated[str, typer.Argument(help="such as language-model")],
    assignments: AssignmentOption = None,
    follow: Annotated[bool, typer.Option("--watch", help="show its progress until it ends")] = False,
) -> None:
    """Queue a training job and print its id."""
    try:
        spec = JobSpec.model_validate(spec_from(recipe, assignments))
    except ValidationError as error:
        raise typer.BadParameter(_explain(error)) from error
    with Client.from_settings() as client:
        job = client.launch(spec)
        OUT.print(job.id, highlight=False, soft_wrap=True)
        if follow:
            _exit_with(watch(client, job.id, OUT))


@app.command()
def compare(
    file: Annotated[typer.FileText, typer.Argument(metavar="FILE.json", help="the comparison; '-' is stdin")],
    follow: Annotated[
        bool, typer.Option("--watch", help="wait for its jobs and show how they ended")
    ] = False,
) -> None:
    """Queue a comparison, one job for each variant at each seed, and print its id."""
    try:
        spec = ComparisonSpec.model_validate_json(file.read())
    except ValidationError as error:
        raise typer.BadParameter(_explain(error)) from error
    with Client.from_settings() as client:
        comparison = client.compare(spec)
        OUT.print(comparison.id, highlight=False, soft_wrap=True)
        if not follow:
            return
        for number, seed in enumerate(comparison.seeds):
            for variant in comparison.variants:
                if (job_id := variant.jobs[number]) is not None:
                    OUT.print(f"{variant.name}, seed {seed}", highlight=False, markup=False)
                    watch(client, job_id, OUT)
        found = client.comparison_statistics(comparison.id)
        table = Table("variant", "memory", "val loss", f"against {escape(found.reference)}", box=None)
        for outcome in found.variants:
            table.add_row(*map(escape, _outcome(outcome)))
        OUT.print(table)
        if any(state is not JobState.SUCCEEDED for state in client.comparison(comparison.id).states):
            raise typer.Exit(1)


def _outcome(variant: VariantStatistics) -> tuple[str, str, str, str]:
    """Returns name, bytes, final loss of each seed, and mean difference with its band."""
    losses = [
        "diverged" if run.diverged else "–" if run.final_loss is None else f"{run.final_loss:.4f}"
        for run in variant.runs
    ]
    state_bytes = next((run.state_bytes for run in variant.runs if run.state_bytes is not None), None)
    found, difference = variant.final_difference, ""
    if found is not None and found.mean is not None:
        difference = f"{found.mean:+.4f}"
        if found.low is not None and found.high is not None:
            difference += f" ({found.low:+.4f} to {found.high:+.4f})"
    return variant.name, "" if state_bytes is None else show_bytes(state_bytes), " ".join(losses), difference


@app.command("list")
def list_jobs(
    limit: Annotated[int, typer.Option(min=1, max=500)] = 20,
    state: Annotated[list[JobState] | None, typer.Option(help="only jobs in this state; repeatable")] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="only with this label: KEY or KEY:VALUE; repeatable")
    ] = None,
    text: Annotated[
        str | None, typer.Option("--text", help="only with these words in id, labels, notes, …")
    ] = None,
) -> None:
    """List jobs, newest first."""
    with Client.from_settings() as client:
        page = client.jobs(limit=limit, state=state, label=label, text=text)
    table = Table("id", "state", "size", "optimizer", "step", "loss", "memory", "age", box=None)
    for column in table.columns:
        column.no_wrap = True
    for job in page.items:
        recipe, progress = job.spec.recipe, job.progress
        table.add_row(
            job.id[-8:],
            show_state(job.state),
            recipe.size,
            f"{job.spec.optimizer.name} {job.spec.optimizer.lr:g}",
            f"{progress.step:,}/{progress.steps:,}",
            "" if progress.loss is None else f"{progress.loss:.3f}",
            "" if job.memory is None else show_bytes(job.memory.state_bytes),
            _age(job),
        )
    none = "No such jobs." if state or label or text else "No jobs yet. Start one: sm3 launch language-model"
    OUT.print(table if page.items else none)


@app.command("watch")
def watch_job(job: JobArgument = "latest") -> None:
    """Show a job's progress until it ends; the exit status is 0 if it succeeded."""
    with Client.from_settings() as client:
        _exit_with(watch(client, find_job(client, job), OUT))


app.command()(ledger)
app.add_typer(token_commands.app, name="token")


def spec_from(recipe: str, assignments: Sequence[str] | None) -> dict[str, Any]:
    """Returns a job's body from ``key=value`` pairs. Raises `typer.BadParameter` if they make none."""
    body = changes_from(assignments, {"recipe": {"name": recipe}})
    optimizer = body.get("optimizer")
    if isinstance(optimizer, dict):
        optimizer.setdefault("name", "sm3")
    return body


def _age(job: JobView) -> str:
    age_s = (datetime.now(UTC) - job.created_at).total_seconds()
    for unit, unit_s in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if age_s >= unit_s:
            return f"{age_s / unit_s:.0f} {unit}"
    return f"{max(0.0, age_s):.0f} s"


def _explain(error: ValidationError) -> str:
    lines = []
    for fault in error.errors():
        field = ".".join(str(part) for part in fault["loc"])
        lines.append(f"{field}: given {fault.get('input')!r}; {fault['msg']}")
    return "; ".join(lines)


def _exit_with(job: JobView) -> None:
    if job.state is not JobState.SUCCEEDED:
        raise typer.Exit(1)


cli_jobs.register(app)
transfer.add_to(app, find_job)
backup.register(app)
doctor.register(app)


def main() -> None:
    """Entry point: every refusal is one sentence on stderr and exit status 1."""
    for variable in unknown_variables():
        ERR.print(f"Warning: {variable}", style="yellow", highlight=False, markup=False, soft_wrap=True)
    try:
        app()
    except ServiceError as error:
        ERR.print(f"[red]{error.problem.title}.[/] {error}", highlight=False, soft_wrap=True)
        sys.exit(1)
    except (RemoteError, CannotStart) as error:
        ERR.print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

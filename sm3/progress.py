"""A job's progress in the terminal, fed by server-sent events."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import stamina
from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from sm3.remote.client import Client, Unreachable
from sm3.remote.wire import JobState, JobView, Memory

_STYLE = {
    JobState.SUCCEEDED: "green",
    JobState.FAILED: "red",
    JobState.CRASHED: "red",
    JobState.CANCELLED: "yellow",
    JobState.PAUSED: "yellow",
}
_RECONNECT_S = 30.0
_REFRESH_S = 0.25
T = TypeVar("T")


def show_bytes(size: float) -> str:
    """Returns a number of bytes in binary units, such as ``47.8 KiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def show_state(state: JobState) -> Text:
    """Returns a state in its colour."""
    return Text(state, style=_STYLE.get(state, "cyan"))


def memory_line(memory: Memory) -> str:
    """Returns the headline: what the optimizer holds, and what Adam would."""
    times = memory.adam_bytes / memory.state_bytes if memory.state_bytes else float("inf")
    return (
        f"optimizer state {show_bytes(memory.state_bytes)} "
        f"({show_bytes(memory.accumulator_bytes)} accumulators, {show_bytes(memory.momentum_bytes)} momentum); "
        f"Adam would hold {show_bytes(memory.adam_bytes)}: {times:.1f}× less"
    )


def watch(client: Client, job_id: str, console: Console) -> JobView:
    """Shows a job's progress until it has ended; returns it in its final state.

    Raises:
        RemoteError: the service refused, or could not be reached for half a minute.
    """
    job = client.job(job_id)
    if not console.is_terminal:
        return _print_milestones(client, job, console)
    bar = _bar(console, job)
    refreshed = 0.0
    with Live(_view(job, bar), console=console, refresh_per_second=8, transient=False) as live:
        for event in client.events(job_id, reconnect_s=_RECONNECT_S):
            if event.name != "end" and time.monotonic() - refreshed < _REFRESH_S:
                continue
            job = patiently(client.job, job_id)
            refreshed = time.monotonic()
            bar.update(bar.tasks[0].id, completed=job.progress.step)
            live.update(_view(job, bar))
    return job


@stamina.retry(on=Unreachable, attempts=None, timeout=_RECONNECT_S, wait_max=2.0)
def patiently(call: Callable[[str], T], job_id: str) -> T:
    """Calls until the service answers; raises `Unreachable` after half a minute without an answer."""
    return call(job_id)


def _bar(console: Console, job: JobView) -> Progress:
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TextColumn("{task.completed:,}/{task.total:,} steps"),
        TimeRemainingColumn(compact=True),
        console=console,
        expand=True,
    )
    bar.add_task(f"{job.spec.recipe.name}", total=job.progress.steps, completed=job.progress.step)
    return bar


def _view(job: JobView, bar: Progress) -> RenderableType:
    progress = job.progress
    view = Table.grid(expand=True)
    view.add_row(bar)
    facts = Text("  ").append_text(show_state(job.state))
    if job.phase:
        facts.append(f" · {job.phase}", style="dim")
    if progress.loss is not None:
        facts.append(f" · loss {progress.loss:.3f}")
    if progress.val_loss is not None:
        facts.append(f" · held out {progress.val_loss:.3f}")
    if progress.tokens_per_s is not None:
        facts.append(f" · {progress.tokens_per_s:,.0f} tokens/s")
    view.add_row(facts)
    if job.memory is not None:
        view.add_row(Text(f"  {memory_line(job.memory)}"))
    if job.state.is_final:
        view.add_row(Text(f"  {job.cause}", style=_STYLE.get(job.state, "")))
    return view


def _print_milestones(client: Client, job: JobView, console: Console) -> JobView:
    """The same for a pipe or a file: a line a tenth of the way."""
    tenth = -1
    for event in client.events(job.id, reconnect_s=_RECONNECT_S):
        if event.name == "state":
            console.print(f"{event.data['state']}: {event.data['cause']}", markup=False, highlight=False)
        elif event.name == "frame" and (reached := 10 * event.data["step"] // job.spec.steps) > tenth:
            tenth = reached
            loss = event.data["scalars"].get("loss")
            console.print(
                f"step {event.data['step']:,}/{job.spec.steps:,} loss {loss if loss is None else round(loss, 3)}",
                highlight=False,
            )
    job = patiently(client.job, job.id)
    if job.memory is not None:
        console.print(memory_line(job.memory), highlight=False)
    return job

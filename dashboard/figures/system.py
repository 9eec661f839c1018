"""How the service is, in the words and numbers that the System page shows. Nothing here draws or fetches."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime

from dashboard.figures.byte_words import size
from sm3.remote.health_views import Check, Verdict
from sm3.remote.system_views import GpuView, IngestView, Supervision, SystemView, WaitingJob, WorkingJob
from sm3.remote.wire import JobState

MAX_BOXES = 32
_SIGNS = {Verdict.OK: "✓", Verdict.WARNING: "!", Verdict.FAILED: "✕"}


@dataclass(frozen=True)
class Job:
    """A job in a slot, or in the queue: its id, its lines, and for one that trains how far it is, 0 to 1."""

    id: str
    name: str
    state: str
    detail: str
    share: float = 0.0
    position: int = 0


@dataclass(frozen=True)
class Gauge:
    """One number: what it is, what it says, and how it is counted.

    Attributes:
        key: tells gauges apart; its past is drawn beside it.
        label: what it is.
        value: in words.
        note: below it.
        about: how it is counted, for who hovers.
        share: 0 to 1 where it is part of a whole, else None.
        trend: the number whose past is drawn, None for none.
        is_bad: whether it should be 0 and is not.
    """

    key: str
    label: str
    value: str
    note: str = ""
    about: str = ""
    share: float | None = None
    trend: float | None = None
    is_bad: bool = False


@dataclass(frozen=True)
class Board:
    """The page.

    Attributes:
        headline: its message.
        detail: version, age, and who supervises.
        status: ``kind`` of `kit.css`, and its words.
        slots: how many boxes there are at least; those that no job is in say that they are free.
        hidden_slots: free slots beyond those boxes.
        elsewhere: why there are no slots here, '' where there are.
        working: jobs that have a worker.
        waiting: the first of the queue.
        queue_note: what the queue's list leaves out, or that it is empty.
        machine: gauges of machine and process.
        ingest: gauges of what comes in.
        store: gauges of what is stored.
        checks: sign, verdict, name, what was found with the remedy.
    """

    headline: str
    detail: str
    status: tuple[str, str]
    slots: int
    hidden_slots: int
    elsewhere: str
    working: tuple[Job, ...]
    waiting: tuple[Job, ...]
    queue_note: str
    machine: tuple[Gauge, ...]
    ingest: tuple[Gauge, ...]
    store: tuple[Gauge, ...]
    checks: tuple[tuple[str, str, str, str], ...]

    def payload(self) -> dict[str, object]:
        """Returns the JSON that the component gets."""
        return asdict(self)


def board(system: SystemView, *, stale_s: float | None = None, why: str = "") -> Board:
    """Returns the page for what the service answered, ``stale_s`` seconds ago if it no longer answers, and ``why``."""
    here = system.supervision is Supervision.HERE
    boxes = min(system.slots, max(MAX_BOXES, len(system.working)))
    return Board(
        headline=headline(system),
        detail=why
        or f"version {system.version} · up {duration(system.uptime_s)} · "
        + ("jobs are started by this service" if here else "jobs are started by another process"),
        status=_status(system, stale_s),
        slots=boxes,
        hidden_slots=system.slots - boxes,
        elsewhere="" if here else _elsewhere(system),
        working=tuple(_working(job, system.at) for job in system.working),
        waiting=tuple(_waiting(job, system.at) for job in system.waiting),
        queue_note=_queue_note(system),
        machine=_machine(system),
        ingest=_ingest(system),
        store=_store(system),
        checks=tuple(map(_check, system.checks)),
    )


def headline(system: SystemView) -> str:
    """Returns the page's one sentence."""
    busy, waiting = len(system.working), system.num_waiting
    if system.supervision is Supervision.HERE:
        slots = f"{busy} of {system.slots} slot{'s' if system.slots != 1 else ''} {_verb(busy, 'trains', 'train')}"
    else:
        slots = f"{busy} job{'s' if busy != 1 else ''} {_verb(busy, 'trains', 'train')}"
    queue = f"{waiting:,} {_verb(waiting, 'waits', 'wait')}" if waiting else "nothing waits"
    return f"{slots}, {queue}, {_frames(system.ingest)}."


def _frames(ingest: IngestView) -> str:
    """What became of frames that are not stored: a refused one may be sent again and taken then."""
    refused = sum(ingest.refused.values())
    dropped = f"{ingest.dropped:,} frame{_verb(ingest.dropped, ' was', 's were')} dropped"
    if not ingest.dropped and not refused:
        return "no frame was dropped"
    if not ingest.dropped:
        return f"{refused:,} frame{_verb(refused, ' was', 's were')} refused"
    return f"{dropped}, {refused:,} refused" if refused else dropped


def _verb(count: int, one: str, many: str) -> str:
    return one if count == 1 else many


def _status(system: SystemView, stale_s: float | None) -> tuple[str, str]:
    if stale_s is not None:
        return ("stale", f"▲ STALE {duration(stale_s)}")
    worst = {check.verdict for check in system.checks}
    if Verdict.FAILED in worst:
        return ("failed", "✕ NOT READY")
    return ("live", "● READY") if Verdict.WARNING not in worst else ("done", "● READY, see below")


def _elsewhere(system: SystemView) -> str:
    count = len(system.working)
    jobs = (
        "No job has a worker now."
        if not count
        else f"{count} job{'s have' if count > 1 else ' has'} a worker now."
    )
    return (
        "SM3_SLOTS=0: this service starts no jobs itself. `python -m server.execution` on its data folder does, and "
        f"knows how many slots there are. {jobs}"
    )


def _working(job: WorkingJob, now: datetime) -> Job:
    resident = f" · {size(job.memory_bytes)} resident" if job.memory_bytes is not None else ""
    device = f" · {job.device}" if job.device else ""
    since = (now - job.since).total_seconds()
    return Job(
        job.id,
        job.name,
        job.state.value,
        f"step {job.step:,} of {job.steps:,} · {job.state.value} for {duration(since)}{resident}{device}",
        min(1.0, job.step / job.steps) if job.steps else 0.0,
    )


def _waiting(job: WaitingJob, now: datetime) -> Job:
    priority = f" · priority {job.priority:+d}" if job.priority else ""
    waits = duration((now - job.since).total_seconds())
    return Job(job.id, job.name, "queued", f"{job.id[-4:]}{priority} · waits {waits}", position=job.position)


def _queue_note(system: SystemView) -> str:
    if not system.num_waiting:
        return "Nothing waits: a job launched now starts as soon as a slot is free."
    hidden = system.num_waiting - len(system.waiting)
    return f"and {hidden:,} more" if hidden else ""


def _machine(system: SystemView) -> tuple[Gauge, ...]:
    machine, process, window = system.machine, system.process, _window(system)
    cpu = machine.cpu_share
    gauges = [
        Gauge(
            "cpu",
            "CPU of the machine",
            "–" if cpu is None else f"{100 * cpu:.0f} %",
            f"of {machine.num_cpus} cores",
            f"Processor time of all processes {window}.",
            share=cpu,
            trend=cpu,
        ),
        Gauge(
            "memory",
            "Memory of the machine",
            size(machine.memory_used_bytes),
            f"of {size(machine.memory_total_bytes)}",
            "Total less what is available, of all processes.",
            share=machine.memory_used_bytes / machine.memory_total_bytes,
            trend=machine.memory_used_bytes,
        ),
        Gauge(
            "own-cpu",
            "CPU of the service",
            "–" if process.cpu_share is None else f"{100 * process.cpu_share:.0f} %",
            "of one core",
            f"Processor time of the service’s own process {window}; workers are not in it.",
            share=None if process.cpu_share is None else min(1.0, process.cpu_share),
            trend=process.cpu_share,
        ),
        Gauge(
            "own-memory",
            "Memory of the service",
            size(process.memory_bytes),
            f"{process.viewers:,} viewer{'s' if process.viewers != 1 else ''}",
            "Resident set of the service’s own process; viewers are open streams and live views.",
            trend=process.memory_bytes,
        ),
    ]
    gauges += [_gpu(k, gpu) for k, gpu in enumerate(system.gpus or ())]
    if not system.gpus:
        gauges.append(
            Gauge("gpu", "GPU", "none", "nvidia-smi tells of none", "Asked where the service runs.")
        )
    return tuple(gauges)


def _gpu(number: int, gpu: GpuView) -> Gauge:
    busy = "" if gpu.used_share is None else f", {100 * gpu.used_share:.0f} % busy"
    return Gauge(
        f"gpu-{number}",
        gpu.name,
        size(gpu.memory_used_bytes),
        f"of {size(gpu.memory_total_bytes)}{busy}",
        "As nvidia-smi tells where the service runs.",
        share=gpu.memory_used_bytes / gpu.memory_total_bytes if gpu.memory_total_bytes else None,
        trend=gpu.memory_used_bytes,
    )


def _window(system: SystemView) -> str:
    return f"over the last {duration(system.ingest.window_s)}"


def _ingest(system: SystemView) -> tuple[Gauge, ...]:
    ingest, window = system.ingest, _window(system)
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(ingest.refused.items()))
    refused = sum(ingest.refused.values())
    since = "since the service started"
    return (
        Gauge(
            "frames",
            "Frames",
            f"{ingest.frames_per_s:.1f} /s",
            f"{ingest.frames:,} {since}",
            f"New frames acknowledged {window}. Repeats, which change nothing: {ingest.repeats:,}.",
            trend=ingest.frames_per_s,
        ),
        Gauge(
            "bytes",
            "Ingest",
            f"{ingest.bytes_per_s / 2**20:.2f} MiB/s",
            f"{size(ingest.bytes)} {since}",
            f"Bytes of new frames {window}.",
            trend=ingest.bytes_per_s,
        ),
        Gauge(
            "dropped",
            "Dropped by workers",
            f"{ingest.dropped:,}",
            "arrays of frames; should be 0",
            "Frames whose arrays a worker dropped because its spool or disk was full, of the jobs that train now.",
            is_bad=bool(ingest.dropped),
        ),
        Gauge(
            "refused",
            "Refused",
            f"{refused:,}",
            reasons or "frames; should be 0",
            f"Frames that the service did not take {since}, by the reason; workers send some of them again.",
            is_bad=bool(refused),
        ),
        Gauge(
            "gaps",
            "Missed by viewers",
            f"{ingest.gaps:,}",
            "times; they caught up",
            f"How often a viewer too slow for the stream was told so {since}. Nothing is lost: frames are stored.",
        ),
    )


def _store(system: SystemView) -> tuple[Gauge, ...]:
    store, machine = system.store, system.machine
    jobs = sum(store.jobs.values())
    ended = {state: count for state, count in store.jobs.items() if count}
    order = [state for state in JobState if state in ended]
    sealed = f" + {size(store.segments_bytes)} sealed" if store.segments_bytes else ""
    free = machine.disk_free_bytes
    return (
        Gauge(
            "store",
            "Store",
            size(store.database_bytes + store.segments_bytes),
            f"{store.backend}{sealed}",
            f"The database ({size(store.database_bytes)}) and the segments of sealed frames.",
            trend=store.database_bytes + store.segments_bytes,
        ),
        Gauge("stored", "Frames stored", f"{store.frames:,}", "of all jobs", "As the jobs count them."),
        Gauge(
            "jobs",
            "Jobs",
            f"{jobs:,}",
            ", ".join(f"{ended[state]:,} {state.value}" for state in order) or "none yet",
            "All that the store holds, by state.",
        ),
        Gauge(
            "disk",
            "Disk",
            f"{size(free)} free",
            f"of {size(machine.disk_total_bytes)}",
            "Of the disk that the data folder is on; the bar is what is taken.",
            share=1 - free / machine.disk_total_bytes if machine.disk_total_bytes else None,
            trend=free,
        ),
    )


def _check(check: Check) -> tuple[str, str, str, str]:
    remedy = f" {check.remedy}" if check.remedy else ""
    return (
        _SIGNS[check.verdict],
        check.verdict.value,
        check.name,
        f"{check.found}{'.' if remedy else ''}{remedy}",
    )


def duration(seconds: float) -> str:
    """Returns a time in words.

    >>> duration(58.2), duration(102), duration(11_100), duration(200_000)
    ('58 s', '1:42', '3:05:00', '2 d 7 h')
    """
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02}"
    if whole < 86_400:
        return f"{whole // 3600}:{whole % 3600 // 60:02}:{whole % 60:02}"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"

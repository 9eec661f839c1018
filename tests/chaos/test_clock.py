"""The wall clock jumps a day forth and back under service and worker: `make chaos-clock`."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest
import websockets.sync.client

from sm3.remote.client import Client
from sm3.remote.wire import JobState
from tests.conftest import RunningService, tiny_job

LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(500),
    pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed (Debian: faketime)"),
]
DAY_S = 86_400
JUMPS_S = (DAY_S, -DAY_S, 0, -DAY_S, DAY_S, 0)  # each a jump of one or two days from the one before


# libfaketime 0.9.10 lets clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME), Python's time.sleep, fail with EINVAL after
# a jump although it leaves that clock alone; select sleeps for a while rather than until. Goes once it is mended.
SLEEP_OTHERWISE = """
import select, time
time.sleep = lambda seconds: select.select([], [], [], seconds) and None
"""


class Clock:
    """The wall clock of the processes under test; monotonic clocks go on as they do when a real one is set."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.set(0)
        patched = folder / "patched"
        patched.mkdir()
        (patched / "sitecustomize.py").write_text(SLEEP_OTHERWISE)
        self.environment = {
            "PYTHONPATH": os.pathsep.join(filter(None, (str(patched), os.environ.get("PYTHONPATH", "")))),
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def set(self, offset_s: int) -> None:
        """Makes the clock wrong by ``offset_s`` seconds."""
        temporary = self._file.with_suffix(".tmp")
        temporary.write_text(f"{offset_s:+d}\n")
        os.replace(temporary, self._file)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


@pytest.fixture
def service(tmp_path: Path, cache_dir: Path, clock: Clock) -> Iterator[RunningService]:
    running = RunningService(
        tmp_path / "data", cache_dir, environment=clock.environment | {"SM3_STOP_WORKERS_ON_EXIT": "true"}
    ).start()
    yield running
    if running.process is not None and running.process.poll() is None:
        running.stop()


def wait_for_clock(service: RunningService, offset_s: int) -> None:
    """Waits until the service's answers carry the new time; uvicorn reads the clock once a second."""
    deadline = time.monotonic() + 20
    while True:
        date = httpx.get(f"{service.url}/healthz", trust_env=False, timeout=60).headers["date"]
        if abs(parsedate_to_datetime(date).timestamp() - time.time() - offset_s) < 5:
            return
        assert time.monotonic() < deadline, date
        time.sleep(0.2)


def test_jumps_of_a_day_harm_neither_order_nor_leases_nor_tickets(
    service: RunningService, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with service.client as client:
        job = client.launch(tiny_job(steps=100_000, record={"every": 20}))
        service.wait_for(job.id, lambda j: j.progress.frames > 2, timeout_s=200)
    events: list[tuple[int, int]] = []

    def follow() -> None:
        with Client(service.url, service.token) as reader:
            for event in reader.events(job.id):
                if event.name == "frame":
                    events.append((event.data["attempt"], event.data["seq"]))

    reader = threading.Thread(target=follow)
    reader.start()
    etas: list[float] = []
    for jump_s in JUMPS_S:
        with service.client as client:
            ticket = client.ticket(job.id).ticket
            clock.set(jump_s)
            wait_for_clock(service, jump_s)
            before = client.job(job.id).progress.frames
            after = service.wait_for(job.id, lambda j, n=before: j.progress.frames > n + 3, timeout_s=200)
            assert (after.state, after.attempt) == (JobState.RUNNING, 0), "the worker keeps its lease"
            assert after.progress.eta_s is not None
            etas.append(after.progress.eta_s)
        address = f"ws://127.0.0.1:{service.port}/v1/jobs/{job.id}/live?ticket={ticket}"
        with websockets.sync.client.connect(address, proxy=None) as viewer:
            assert '"type":"job"' in str(viewer.recv()), "a ticket lives a minute, whatever the clock says"
        ready = httpx.get(f"{service.url}/readyz", trust_env=False, timeout=60)
        assert ready.status_code == 200, ready.text
    assert max(etas) < 10 * min(etas), "the rest of the run is reckoned from steps, not from the wall clock"
    with service.client as client:
        asked = time.monotonic()
        client.cancel(job.id)
        ended = service.wait_for(job.id, JobState.CANCELLED, timeout_s=150)
        cancelled_s = time.monotonic() - asked
        # What a worker had spooled when it ended is stored after its job has ended.
        spool = service.data_dir / "jobs" / job.id / "spool"
        while list(spool.glob("*.frame")):
            assert time.monotonic() < asked + 150
            time.sleep(0.2)
        ended = client.job(job.id)
        frames = client.frames(job.id, limit=5000).items
        numbers = [change.number for change in client.transitions(job.id)]
    reader.join(30)
    assert not reader.is_alive()
    assert [frame.seq for frame in frames] == list(range(ended.progress.frames)), (
        "each once, ordered by number"
    )
    assert events == [(0, seq) for seq in range(len(events))], "SSE in order, nothing left out"
    assert before < len(events) <= len(frames), "of what is stored after the end no event comes"
    assert numbers == list(range(5)), "queued, starting, running, cancelling, cancelled"
    backwards = sum(later.at < earlier.at for earlier, later in itertools.pairwise(frames))
    assert backwards >= 2, "the frames' own times do go back, so order cannot come from them"
    with capsys.disabled():
        print(
            f"\nclock: {len(JUMPS_S)} jumps of 1 to 2 days; {len(frames)} frames once and in order (their times went "
            f"back {backwards} times), {len(events)} SSE events in order, {len(JUMPS_S)} of {len(JUMPS_S)} tickets "
            f"good, ETA {min(etas):.0f} to {max(etas):.0f} s, cancelled in {cancelled_s:.1f} s"
        )


def test_a_service_restarted_on_another_day_adopts_its_worker_and_starts_what_is_queued(
    service: RunningService, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with service.client as client:
        first = client.launch(tiny_job(steps=100_000, record={"every": 20}))
        service.wait_for(first.id, lambda j: j.progress.frames > 2, timeout_s=200)
    stored = []
    for jump_s in (DAY_S, -DAY_S):
        service.stop(signal.SIGKILL)
        clock.set(jump_s)
        service.start()
        with service.client as client:
            adopted = client.job(first.id)
            assert adopted.state is JobState.RUNNING
            before = adopted.progress.frames
        assert (
            service.wait_for(first.id, lambda j, n=before: j.progress.frames > n, timeout_s=200).attempt == 0
        )
    with service.client as client:
        queued = [client.launch(tiny_job()).id]
        client.cancel(first.id)
    service.wait_for(first.id, JobState.CANCELLED, timeout_s=150)
    service.wait_for(queued[0], JobState.SUCCEEDED, timeout_s=100)
    clock.set(0)
    with service.client as client:
        queued.append(client.launch(tiny_job()).id)
    service.wait_for(queued[1], JobState.SUCCEEDED, timeout_s=100)
    with service.client as client:
        for job_id in (first.id, *queued):
            frames = client.frames(job_id, limit=5000).items
            assert [frame.seq for frame in frames] == list(range(len(frames)))
            stored.append(len(frames))
        listed = [job.id for job in client.jobs().items]
    assert listed == [*reversed(queued), first.id], "newest first, though the clock was set back between them"
    with capsys.disabled():
        print(
            f"\nclock: restarted a day later and a day earlier, worker adopted both times; 2 more "
            f"jobs ran; {stored} frames once and in order; jobs listed newest first"
        )

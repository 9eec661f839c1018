"""The dashboard on a long job of many tensors: how soon is a page useful, what does a refresh cost, does it grow?

    python -m benchmarks.dashboard [--minutes 10]

Fills a store with made-up jobs in the real format (10^5 steps, 200 tensors), starts the service and the dashboard on
it and lets a Chromium that nobody watches open each page several times, the first time with an empty cache: the time
from navigation until all that a page shows is drawn. Then a watched one stays on Live while frames are stored at 5 a
second: CPU of each process a refresh, and the page's memory, minute by minute.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil
from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, sync_playwright

from benchmarks.dashboard_job import MadeUp
from benchmarks.feeding import Served, serving
from benchmarks.visitor import visitor
from sm3.remote.client import Client
from tests.dashboard.conftest import (
    BROWSERS,
    CHROMIUM_ARGUMENTS,
    RunningDashboard,
    find_chromium,
    running_dashboard,
)

PEOPLES = BROWSERS[::-1]  # what people have, first
PER_S = 5
WAIT_MS = 300_000
SIZE = {"width": 1440, "height": 900}
USEFUL = """() => {
  const points = (name) => document.querySelector(name)?.data?.[0]?.x.length ?? 0;
  return document.querySelector(".sm3-map")?.cells && points(".sm3-loss") > 100 && points(".sm3-rate") > 100;
}"""
SPARKS = "() => document.querySelector('.sm3-spark path[d]')"
# What has to be drawn before a page counts as useful, as `Visitor.open` wants it.
PAGES = {
    "live": ("/?job={0}", {"map", "loss", "rate"}),
    # Their training loss: made-up jobs are not validated.
    "compare": (
        "/compare?job={0}&job={1}&series=loss",
        {"maps", "*loss of each cover", "difference*", "bytes*"},
    ),
    "memory": ("/memory?job={0}", {"memory*", "treemap*", "fits*"}),
    "learn": ("/learn", {"board"}),
    "jobs": ("/jobs", {"jobs"}),
    "system": ("/system", {"system"}),
}


@dataclass
class Minute:
    """What a minute of live refreshes took: milliseconds of CPU a drawn refresh, and memory at its end."""

    refreshes: int
    frames: int
    service_ms: float
    dashboard_ms: float
    renderer_ms: float
    chromium_ms: float
    heap_mib: float
    renderer_rss_mib: float
    nodes: int


@dataclass
class Outcome:
    """All that was measured."""

    opened: dict[str, list[list[float]]] = field(default_factory=dict)
    received_kib: float = 0.0
    socket_kib: float = 0.0
    minutes: list[Minute] = field(default_factory=list)


def open_pages(url: str, jobs: list[str], visitors: int, visits: int) -> dict[str, list[list[float]]]:
    """Opens each page ``visits`` times in each of ``visitors`` browsers that are new to it.

    Returns:
        by page, for each browser: seconds until useful, visit by visit.
    """
    found: dict[str, list[list[float]]] = {}
    for page, (address, wanted) in PAGES.items():
        for _ in range(visitors):
            with (
                tempfile.TemporaryDirectory(prefix="sm3-visitor-", ignore_cleanup_errors=True) as profile,
                visitor(find_chromium(*PEOPLES), Path(profile)) as browser,
            ):
                times = [browser.open(url + address.format(*jobs), wanted) for _ in range(visits)]
            found.setdefault(page, []).append(times)
            print(f"  {page}: {', '.join(f'{time_s:.2f}' for time_s in times)}", flush=True)
    return found


def open_page(context: BrowserContext, url: str) -> Page:
    """Opens the Live page and waits until it is useful."""
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(url, wait_until="commit")
    page.wait_for_function(USEFUL)
    return page


def received_bytes(browser: Browser, url: str) -> tuple[int, int]:
    """Returns the bytes that opening the page takes: all of them, and those over the WebSocket."""
    context = browser.new_context(viewport=SIZE, bypass_csp=True)  # type: ignore[arg-type]
    page = context.new_page()
    cdp = context.new_cdp_session(page)
    http, socket = [], []
    cdp.send("Network.enable")
    cdp.on("Network.loadingFinished", lambda event: http.append(event["encodedDataLength"]))

    def came(event: dict[str, dict[str, object]]) -> None:
        data = event["response"]
        size = len(str(data["payloadData"]))
        socket.append(size if data["opcode"] == 1 else size * 3 // 4)

    cdp.on("Network.webSocketFrameReceived", came)
    page.goto(url, wait_until="commit")
    page.set_default_timeout(WAIT_MS)
    page.wait_for_function(USEFUL)
    page.wait_for_function(SPARKS)
    page.wait_for_timeout(500)
    context.close()
    return int(sum(http) + sum(socket)), int(sum(socket))


class Processes:
    """CPU seconds of the service, the dashboard, the page's renderer and all of Chromium."""

    def __init__(self, served: Served, dashboard_pid: int, browser: Browser) -> None:
        self.served, self.dashboard = served, psutil.Process(dashboard_pid)
        self.cdp = browser.new_browser_cdp_session()
        infos = self._infos()
        busiest = max((i for i in infos if i["type"] == "renderer"), key=lambda info: info["cpuTime"])
        self.renderer = psutil.Process(busiest["id"])

    def _infos(self) -> list[dict[str, float]]:
        found: list[dict[str, float]] = self.cdp.send("SystemInfo.getProcessInfo")["processInfo"]
        return found

    def cpu_s(self) -> tuple[float, float, float, float]:
        """Returns service, dashboard, renderer, all of Chromium."""
        of = [sum(p.cpu_times()[:2]) for p in (self.served.process, self.dashboard, self.renderer)]
        return of[0], of[1], of[2], sum(info["cpuTime"] for info in self._infos())


def heap(cdp: CDPSession) -> tuple[float, int]:
    """Returns the page's JavaScript heap in MiB and its DOM nodes, after a garbage collection."""
    for _ in range(2):
        cdp.send("HeapProfiler.collectGarbage")
    found = {m["name"]: m["value"] for m in cdp.send("Performance.getMetrics")["metrics"]}
    return found["JSHeapUsedSize"] / 2**20, int(found["Nodes"])


class Feeder(threading.Thread):
    """Stores frames at a steady pace until told to stop."""

    def __init__(self, served: Served, job: MadeUp) -> None:
        super().__init__(daemon=True)
        self.served, self.job, self.done, self.late = served, job, threading.Event(), 0

    def run(self) -> None:
        """Stores frames; one that is late is sent at once and counted."""
        due = time.monotonic()
        with Client(self.served.url, self.job.token, timeout_s=30) as client:
            while not self.done.is_set():
                seq, blob = self.job.next_frame()
                client.put_frame(self.job.id, 0, seq, blob)
                due += 1 / PER_S
                self.late += time.monotonic() > due
                self.done.wait(max(0.0, due - time.monotonic()))


def live(page: Page, processes: Processes, minutes: float, feeder: Feeder) -> list[Minute]:
    """Lets frames come for ``minutes``; returns what each minute, or shorter piece, took."""
    cdp = page.context.new_cdp_session(page)
    cdp.send("Performance.enable")
    found = []

    def counts() -> tuple[int, int]:
        data = page.evaluate(
            "() => { const d = document.querySelector('.sm3').dataset; return [d.draws, d.frames]; }"
        )
        return int(data[0]), int(data[1])

    feeder.start()
    page.wait_for_timeout(2000)
    for _ in range(max(2, round(minutes))):
        before, (draws, frames) = processes.cpu_s(), counts()
        page.wait_for_timeout(60_000 * min(1.0, minutes / 2))
        after, (draws_after, frames_after) = processes.cpu_s(), counts()
        refreshes = draws_after - draws
        cost = [1e3 * (b - a) / max(1, refreshes) for a, b in zip(before, after, strict=True)]
        heap_mib, nodes = heap(cdp)
        rss = processes.renderer.memory_info().rss / 2**20
        found.append(Minute(refreshes, frames_after - frames, *cost, heap_mib, rss, nodes))
        print(
            f"  {len(found)}: {json.dumps({k: round(v, 1) for k, v in asdict(found[-1]).items()})}",
            flush=True,
        )
    feeder.done.set()
    feeder.join()
    return found


def measure(options: argparse.Namespace) -> Outcome:
    """Fills, serves, opens, waits."""
    outcome = Outcome()
    with tempfile.TemporaryDirectory(prefix="sm3-dashboard-") as temporary:
        folder = Path(temporary)
        begun = time.perf_counter()
        jobs = [MadeUp(folder / "data", options.steps, options.every, options.tensors) for _ in range(2)]
        for job in jobs:
            job.fill()
        os.sync()  # or the disk is still busy with it when the first page is opened
        size_mib = sum(path.stat().st_size for path in (folder / "data").iterdir()) / 2**20
        print(
            f"{options.steps:,} steps, {jobs[0].num_frames:,} frames of {options.tensors} tensors with "
            f"{jobs[0].num_series:,} series; newest frame {jobs[0].frame_kib:,.0f} KiB; store of two such jobs "
            f"{size_mib:,.0f} MiB, filled in {time.perf_counter() - begun:.0f} s",
            flush=True,
        )
        with serving(folder / "data") as served:
            for job in jobs:
                job.introduce(served)
            with running_dashboard(folder / "dashboard", served.url, served.token) as dashboard:
                outcome.opened = open_pages(
                    dashboard.url, [job.id for job in jobs], options.visitors, options.visits
                )
                watch(options, outcome, served, jobs[0], dashboard)
    return outcome


def watch(
    options: argparse.Namespace, outcome: Outcome, served: Served, job: MadeUp, dashboard: RunningDashboard
) -> None:
    """Counts what opening Live takes, then lets frames come."""
    url = f"{dashboard.url}/?job={job.id}"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(*PEOPLES), args=CHROMIUM_ARGUMENTS)
        everything, socket = received_bytes(browser, url)
        outcome.received_kib, outcome.socket_kib = everything / 1024, socket / 1024
        if options.minutes:
            page = open_page(browser.new_context(viewport=SIZE, bypass_csp=True), url)
            feeder = Feeder(served, job)
            processes = Processes(served, dashboard.process.pid, browser)
            outcome.minutes = live(page, processes, options.minutes, feeder)
            print(f"  frames sent late: {feeder.late}")
            if options.picture:
                page.screenshot(path=options.picture)
        browser.close()


def table(outcome: Outcome) -> str:
    """Returns the figures as Markdown."""
    lines = ["| useful after, s | first visit | second | later ones |", "|---|---|---|---|"]
    for page, browsers in outcome.opened.items():
        columns = ([v[0] for v in browsers], [v[1] for v in browsers], [t for v in browsers for t in v[2:]])
        cells = " | ".join(", ".join(f"{time_s:.2f}" for time_s in times) for times in columns)
        lines.append(f"| {page} | {cells} |")
    lines += ["", "| Live | |", "|---|---|"]
    lines.append(
        f"| received at opening, KiB | {outcome.received_kib:,.0f}, of it WebSocket {outcome.socket_kib:,.0f} |"
    )
    if outcome.minutes:
        for name, label in (
            ("service_ms", "service CPU a refresh, ms"),
            ("dashboard_ms", "dashboard (Streamlit) CPU a refresh, ms"),
            ("renderer_ms", "Chromium's renderer CPU a refresh, ms"),
            ("chromium_ms", "all of Chromium CPU a refresh, ms"),
        ):
            values = [getattr(minute, name) for minute in outcome.minutes]
            middle, low, high = statistics.median(values), min(values), max(values)
            lines.append(f"| {label}: median (of the minutes) | {middle:.1f} ({low:.1f}–{high:.1f}) |")
        for name, label in (("heap_mib", "JavaScript heap after GC"), ("renderer_rss_mib", "renderer's RSS")):
            sizes = [getattr(minute, name) for minute in outcome.minutes]
            told = ", ".join(f"{size:.1f}" if size < 100 else f"{size:.0f}" for size in sizes)
            grown = 100 * (sizes[-1] / sizes[0] - 1)
            lines.append(f"| {label}, minute by minute, MiB | {told}: **{grown:+.1f} %** after the first |")
    return "\n".join(lines)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10, help="of live refreshes; 0: none")
    parser.add_argument("--visitors", type=int, default=3, help="browsers with an empty cache, a page")
    parser.add_argument("--visits", type=int, default=4, help="how often each of them opens it; at least 2")
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument(
        "--every", type=int, default=50, help="steps from frame to frame; the loss is of each step"
    )
    parser.add_argument("--tensors", type=int, default=200)
    parser.add_argument("--picture", type=Path, help="write a screenshot of the end here")
    parser.add_argument("--json", type=Path, help="write all figures here")
    options = parser.parse_args()
    outcome = measure(options)
    print(f"\n{table(outcome)}")
    if options.json:
        options.json.write_text(json.dumps(asdict(outcome)))


if __name__ == "__main__":
    main()

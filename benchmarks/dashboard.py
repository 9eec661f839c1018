"""The Live page on a long job of many tensors: how soon is it useful, what does a refresh cost, does it grow?

    python -m benchmarks.dashboard [--minutes 10]

Fills a store with a made-up job in the real format (10^5 steps, 200 tensors), starts the service and the dashboard on
it, opens the page in headless Chromium and prints: the time from navigation until the loss, the map and the list are
drawn, cold (nothing cached) and warm; the bytes that came; then, with frames stored at 5 a second, CPU of each process
a refresh, and the page's memory after a forced garbage collection, minute by minute.
"""

from __future__ import annotations

import argparse
import json
import shutil
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
from sm3.remote.client import Client
from tests.dashboard.conftest import CHROMIUM_ARGUMENTS, running_dashboard

PER_S = 5
WAIT_MS = 300_000
SIZE = {"width": 1440, "height": 900}
USEFUL = """() => {
  const drawn = (name) => document.querySelector(name)?.data?.[0];
  const ready = drawn(".sm3-loss")?.x.length > 100 && drawn(".sm3-map")?.z && drawn(".sm3-rate")?.x.length > 100
    && document.querySelectorAll(".sm3-tensor").length > 1;
  return ready ? performance.now() : false;
}"""
SPARKS = "() => document.querySelector('.sm3-spark path[d]') ? performance.now() : false"


@dataclass
class Opened:
    """One opening of the page."""

    useful_s: float
    sparklines_s: float


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

    cold: list[Opened] = field(default_factory=list)
    warm: list[Opened] = field(default_factory=list)
    received_kib: float = 0.0
    socket_kib: float = 0.0
    minutes: list[Minute] = field(default_factory=list)

    @property
    def heap_growth(self) -> float:
        """Share that the heap grew by from the end of the first minute to the end of the last."""
        first, last = self.minutes[0].heap_mib, self.minutes[-1].heap_mib
        return last / first - 1


def open_page(context: BrowserContext, url: str) -> tuple[Page, Opened]:
    """Opens the page and waits until it is useful."""
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(url, wait_until="commit")
    useful, sparks = (
        page.wait_for_function(what, polling=20).json_value() / 1e3 for what in (USEFUL, SPARKS)
    )
    return page, Opened(useful, sparks)


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
    with tempfile.TemporaryDirectory(prefix="sm3-dashboard-") as temporary, sync_playwright() as playwright:
        folder = Path(temporary)
        begun = time.perf_counter()
        job = MadeUp(folder / "data", options.steps, options.every, options.tensors)
        job.fill()
        size_mib = sum(path.stat().st_size for path in (folder / "data").iterdir()) / 2**20
        print(
            f"{options.steps:,} steps, {job.num_frames:,} frames of {options.tensors} tensors with {job.num_series:,} "
            f"series; newest frame {job.frame_kib:,.0f} KiB; store {size_mib:,.0f} MiB, filled in "
            f"{time.perf_counter() - begun:.0f} s",
            flush=True,
        )
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=CHROMIUM_ARGUMENTS
        )
        with serving(folder / "data") as served:
            job.introduce(served)
            with running_dashboard(folder / "dashboard", served.url, served.token) as dashboard:
                url = f"{dashboard.url}/?job={job.id}"
                for number in range(options.runs):
                    context = browser.new_context(viewport=SIZE, bypass_csp=True)
                    for kind in (outcome.cold, outcome.warm):
                        page, opened = open_page(context, url)
                        page.close()
                        kind.append(opened)
                    context.close()
                    print(
                        f"  opened {number + 1}: cold {outcome.cold[-1]}, warm {outcome.warm[-1]}", flush=True
                    )
                everything, socket = received_bytes(browser, url)
                outcome.received_kib, outcome.socket_kib = everything / 1024, socket / 1024
                if options.minutes:
                    context = browser.new_context(viewport=SIZE, bypass_csp=True)
                    page, _ = open_page(context, url)
                    feeder = Feeder(served, job)
                    processes = Processes(served, dashboard.process.pid, browser)
                    outcome.minutes = live(page, processes, options.minutes, feeder)
                    print(f"  frames sent late: {feeder.late}")
                    if options.picture:
                        page.screenshot(path=options.picture)
        browser.close()
    return outcome


def table(outcome: Outcome) -> str:
    """Returns the figures as Markdown."""
    lines = ["| | |", "|---|---|"]
    for kind in ("cold", "warm"):
        opened: list[Opened] = getattr(outcome, kind)
        times = ", ".join(f"{each.useful_s:.2f}" for each in opened)
        lines.append(
            f"| useful, {kind}, s: median | **{statistics.median(o.useful_s for o in opened):.2f}** ({times}) |"
        )
    sparks = statistics.median(each.sparklines_s for each in outcome.cold)
    lines.append(f"| small curves of all tensors, cold, s | {sparks:.2f} |")
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
        heaps = ", ".join(f"{minute.heap_mib:.1f}" for minute in outcome.minutes)
        lines.append(f"| JavaScript heap after GC, minute by minute, MiB | {heaps} |")
        lines.append(f"| heap grew after the first minute | **{100 * outcome.heap_growth:+.1f} %** |")
        rss = [minute.renderer_rss_mib for minute in outcome.minutes]
        lines.append(
            f"| renderer's resident memory, first and last minute, MiB | {rss[0]:.0f}, {rss[-1]:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10, help="of live refreshes; 0: none")
    parser.add_argument("--runs", type=int, default=5, help="how often the page is opened")
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

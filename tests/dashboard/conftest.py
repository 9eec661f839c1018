"""A real dashboard process, and pages of a real headless Chromium that must end without an error."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.conftest import STOP_TIMEOUT_S, RunningService, free_port

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# The same engine; the first does without a browser around it.
BROWSERS = ("chromium-headless-shell", "chromium")
START_TIMEOUT_S = 60.0
WAIT_MS = 60_000  # two cores train, serve and draw at the same time


@dataclass
class RunningDashboard:
    """A dashboard of our own."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> int:
        """Stops the dashboard; returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_TIMEOUT_S)


@contextmanager
def running_dashboard(
    folder: Path, url: str, token: str = "none", *arguments: str
) -> Iterator[RunningDashboard]:
    """Runs a dashboard for the service at ``url``, with further command line ``arguments``."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "dashboard.log"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SM3_", "STREAMLIT_"))}
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "dashboard", "--port", str(port), *arguments],
            env=environment | {"SM3_URL": url, "SM3_TOKEN": token},
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )
    dashboard = RunningDashboard(port, process, log)
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            with suppress(OSError), urllib.request.urlopen(f"{dashboard.url}/_stcore/health", timeout=2):
                break
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield dashboard
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def dashboard(
    service: RunningService, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningDashboard]:
    """One dashboard for the shared service."""
    with running_dashboard(tmp_path_factory.mktemp("dashboard"), service.url, service.token) as running:
        yield running
        assert "Traceback" not in running.log.read_text()


@pytest.fixture
def own_dashboard(own_service: RunningService, tmp_path: Path) -> Iterator[RunningDashboard]:
    """One dashboard for one test's own service; `open_page` closes its pages before it ends."""
    with running_dashboard(tmp_path / "dashboard", own_service.url, own_service.token) as running:
        yield running


@pytest.fixture(autouse=True)
def own_main_module() -> Iterator[None]:
    """Puts `__main__` back, which AppTest replaces by the page: whoever spawns processes later runs it."""
    kept = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = kept


def find_chromium(*names: str) -> str:
    """Returns the path of the first browser of ``names`` that there is, by default of those that tests drive."""
    path = next(filter(None, map(shutil.which, names or BROWSERS)), None)
    assert path, f"install Debian's package {BROWSERS[0]} (make test does); looked for {', '.join(BROWSERS)}"
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of a file.

    Not for the session: Playwright keeps an event loop running in this thread, in which no other may run.
    """
    path = find_chromium()
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGUMENTS)
        yield running
        running.close()


OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[OpenPage]:
    """Opens pages, and fails the test if one of them reported an error.

    A dashboard must outlive its pages: one that ends while they load leaves failed requests in their consoles.
    """
    if "own_dashboard" in request.fixturenames:
        request.getfixturevalue("own_dashboard")  # set up earlier is torn down later
    contexts, errors = [], []

    def open_(
        url: str, *, scheme: str = "light", width: int = 1440, height: int = 900, bypass_csp: bool = True
    ) -> Page:
        context = browser.new_context(
            bypass_csp=bypass_csp,  # wait_for_function evaluates strings, which the pages' policy forbids
            color_scheme=scheme,
            viewport={"width": width, "height": height},  # type: ignore[arg-type]
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: errors.append(f"page error: {error}"))
        page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
        page.goto(url)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert errors == []


KIT = {"axes", "dom", "export", "menu", "plotly", "sheet", "steps", "theme", "timing", "words"}


@pytest.fixture
def call(dashboard: RunningDashboard, open_page: OpenPage) -> Callable[..., Any]:
    """Runs an expression over the exports ``m`` of one of our modules, with the argument ``a``.

    ``s`` has those of safetensors.js, and ``bytes`` turns base64 into a buffer.
    """
    page = open_page(f"{dashboard.url}/_stcore/health")

    def run(module: str, expression: str, argument: object = None) -> Any:
        folder = "kit" if module in KIT else "live"
        return page.evaluate(
            f"""async (a) => {{
              const m = await import("{dashboard.url}/scope-assets/any/{folder}/{module}.js");
              const s = await import("{dashboard.url}/scope-assets/any/live/safetensors.js");
              const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
              return ({expression});
            }}""",
            argument,
        )

    return run

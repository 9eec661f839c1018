"""Writes the pictures of the pages into docs/images: ``python -m tests.dashboard.screenshots``.

Runs a service, a dashboard and the demo of its own, in a temporary folder; takes some minutes.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from dashboard.figures.demo import DEMO
from sm3.remote.wire import JobState
from tests.conftest import RunningService, free_port, tiny_job
from tests.dashboard.conftest import CHROMIUM_ARGUMENTS, WAIT_MS, running_dashboard

IMAGES = Path(__file__).parents[2] / "docs" / "images"
WIDE, NARROW = (1440, 900), (1024, 768)
DEMO_STEP = 600  # when the pictures of a running job are taken
DRAWN = "document.querySelector('.sm3-loss')?.data?.[0]?.x.length > 1"


def shoot(
    browser: Browser,
    name: str,
    url: str,
    *,
    scheme: str = "light",
    size: tuple[int, int] = WIDE,
    point: bool = False,
    ready: str = DRAWN,
) -> None:
    """Opens a page, waits until it is drawn and writes ``docs/images/NAME.png``."""
    viewport = {"width": size[0], "height": size[1]}
    context = browser.new_context(color_scheme=scheme, viewport=viewport)  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(url)
    page.wait_for_function(ready)
    page.wait_for_timeout(3000)
    if point:
        box = page.locator(".sm3-map").bounding_box()
        assert box
        page.mouse.move(box["x"] + 0.62 * box["width"], box["y"] + 0.41 * box["height"])
        page.wait_for_timeout(300)
    page.screenshot(path=IMAGES / f"{name}.png")
    context.close()


def main() -> int:
    """Takes all pictures; returns the exit status."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    notice = "document.querySelector('.st-key-notice button')"
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        folder = Path(temporary)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=CHROMIUM_ARGUMENTS
        )
        with running_dashboard(folder / "nowhere", f"http://127.0.0.1:{free_port()}") as nowhere:
            shoot(browser, "unreachable", nowhere.url, ready=notice)
        stop = {"SM3_STOP_WORKERS_ON_EXIT": "true"}
        service = RunningService(folder / "data", folder / "cache", environment=stop).start()
        try:
            with (
                service.client as client,
                running_dashboard(folder / "dashboard", service.url, service.token) as dashboard,
            ):
                shoot(browser, "empty", dashboard.url, ready=notice)
                quick = client.launch(tiny_job(steps=200))
                service.wait_for(quick.id, JobState.SUCCEEDED, 120)
                shoot(browser, "live-done", f"{dashboard.url}/?job={quick.id}", size=NARROW)
                demo = client.launch(DEMO)
                service.wait_for(demo.id, lambda job: job.progress.step >= DEMO_STEP, 900)
                live = f"{dashboard.url}/?job={demo.id}"
                shoot(browser, "live-light", live, point=True)
                shoot(browser, "live-dark", live, scheme="dark", point=True)
                shoot(browser, "live-narrow-dark", live, scheme="dark", size=NARROW)
                table = "document.querySelector('.sm3-jobtable tbody tr')"
                shoot(browser, "jobs-light", f"{dashboard.url}/jobs", ready=table)
                shoot(browser, "jobs-dark", f"{dashboard.url}/jobs", scheme="dark", size=NARROW, ready=table)
                lesson = "document.querySelector('.sm3-cell')"
                shoot(browser, "learn-light", f"{dashboard.url}/learn?lesson=1&step=4", ready=lesson)
                shoot(
                    browser,
                    "learn-dark",
                    f"{dashboard.url}/learn?lesson=3&step=3",
                    scheme="dark",
                    ready=lesson,
                )
                client.cancel(demo.id)
        finally:
            service.stop()
            browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

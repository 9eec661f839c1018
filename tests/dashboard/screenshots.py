"""Writes the pictures of the pages into docs/images: ``python -m tests.dashboard.screenshots``.

Runs a service, a dashboard, the demo, a race and a job with shadows of its own, in a temporary folder; takes some
minutes. Every page is taken in both themes, Live also at 1024×768 and 480 pixels wide.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from sm3.remote.client import Client
from sm3.remote.comparison_specs import ComparisonSpec, VariantSpec
from sm3.remote.demo import DEMO
from sm3.remote.wire import JobState
from tests.conftest import RunningService, free_port, tiny_job
from tests.dashboard.conftest import CHROMIUM_ARGUMENTS, WAIT_MS, find_chromium, running_dashboard

IMAGES = Path(__file__).parents[2] / "docs" / "images"
WIDE, NARROW, PHONE = (1440, 900), (1024, 768), (480, 900)
DEMO_STEP = 600  # when the pictures of a running job are taken
DRAWN = "document.querySelector('.sm3-loss')?.data?.[0]?.x.length > 1"
NOTICE = "document.querySelector('.st-key-notice button')"
CHARTS = "document.querySelectorAll('.sm3-chart[data-draws]').length > 0"
SETTLED_MS = 3000


@dataclass(frozen=True)
class Picture:
    """A page to be taken.

    Attributes:
        name: of the file, without what the theme adds.
        path: of the page, with its query.
        ready: JavaScript that is true once the page is drawn.
        schemes: in which themes.
        size: of the window, in pixels.
        point: whether the mouse points at the map.
    """

    name: str
    path: str
    ready: str
    schemes: tuple[str, ...] = ("light", "dark")
    size: tuple[int, int] = WIDE
    point: bool = False


def shoot(browser: Browser, url: str, picture: Picture) -> None:
    """Opens a page, waits until it is drawn and writes ``docs/images/NAME-SCHEME.png``."""
    for scheme in picture.schemes:
        viewport = {"width": picture.size[0], "height": picture.size[1]}
        context = browser.new_context(
            bypass_csp=True,
            color_scheme=scheme,
            viewport=viewport,  # type: ignore[arg-type]
        )
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(f"{url}/{picture.path}")
        page.wait_for_function(picture.ready)
        page.wait_for_timeout(SETTLED_MS)
        if picture.point:
            box = page.locator(".sm3-map").bounding_box()
            assert box
            page.mouse.move(box["x"] + 0.62 * box["width"], box["y"] + 0.41 * box["height"])
            page.wait_for_timeout(300)
        page.screenshot(path=IMAGES / f"{picture.name}-{scheme}.png")
        context.close()


def pictures(*, demo: str, race: str) -> tuple[Picture, ...]:
    """Returns the pictures of a service at work on the job ``demo`` that has run the comparison ``race``."""
    live = f"?job={demo}"
    board, table = "document.querySelector('.sm3-queue')", "document.querySelector('.sm3-jobtable tbody tr')"
    lesson = "document.querySelector('.sm3-cell')"
    maps = "document.querySelector('.sm3-sidebyside')?.data?.length > 0"
    return (
        Picture("live", live, DRAWN, point=True),
        Picture("live-activation", f"{live}&show=activation", DRAWN, ("light",)),
        Picture("live-earlier", f"{live}&step=200&a=50", DRAWN, ("dark",)),
        Picture("live-1024", live, DRAWN, size=NARROW),
        Picture("live-480", live, DRAWN, ("light",), size=PHONE),
        Picture("compare", f"compare?source=race&race={race}", maps),
        Picture("memory", "memory?model=bert-large", CHARTS),
        Picture("memory-job", f"memory?job={demo}", CHARTS, ("light",)),
        Picture("learn", "learn?lesson=1&step=4", lesson),
        Picture("learn-slider", "learn?lesson=3&step=3", lesson),
        Picture("jobs", "jobs", table),
        Picture("jobs-launch", "jobs?launch=1", table, ("light",)),
        Picture("system", "system", board),
    )


def race_of(client: Client) -> str:
    """Launches a small race of three covers at two seeds; returns its id."""
    covers = {
        "slices": {"kind": "slices"},
        "rows": {"kind": "slices", "dims": [0]},
        "whole": {"kind": "whole"},
    }
    base = tiny_job(steps=200, record={"every": 10, "truth": ["*embedding*"]}, validation={"every": 20})
    spec = ComparisonSpec(
        base=base,
        variants=tuple(
            VariantSpec(name=name, change={"optimizer": {"cover": cover}}) for name, cover in covers.items()
        ),
        seeds=(0, 1),
        label="three covers",
    )
    return client.compare(spec).id


def main() -> int:
    """Takes all pictures; returns the exit status."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        folder = Path(temporary)
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_ARGUMENTS)
        with running_dashboard(folder / "nowhere", f"http://127.0.0.1:{free_port()}") as nowhere:
            shoot(browser, nowhere.url, Picture("unreachable", "", NOTICE, ("light",)))
        stop = {"SM3_STOP_WORKERS_ON_EXIT": "true"}
        service = RunningService(folder / "data", folder / "cache", environment=stop).start()
        try:
            with (
                service.client as client,
                running_dashboard(folder / "dashboard", service.url, service.token) as dashboard,
            ):
                shoot(browser, dashboard.url, Picture("empty", "", NOTICE, ("light",)))
                race = race_of(client)
                for variant in client.comparison(race).variants:
                    for job_id in variant.jobs:
                        assert job_id
                        service.wait_for(job_id, JobState.SUCCEEDED, 300)
                demo = client.launch(DEMO)
                service.wait_for(demo.id, lambda job: job.progress.step >= DEMO_STEP, 900)
                for picture in pictures(demo=demo.id, race=race):
                    shoot(browser, dashboard.url, picture)
                client.cancel(demo.id)
        finally:
            service.stop()
            browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What every page owes to those who cannot see it well, or use no mouse: axe, the keyboard, reduced motion.

The pages are those of the navigation: a new one is covered by being there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from dashboard.views import PATHS
from sm3.remote.wire import JobState, JobView
from tests.conftest import RunningService, tiny_job
from tests.dashboard.conftest import OpenPage, RunningDashboard

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

GRAVE = {"serious", "critical"}
EXCUSED: dict[str, str] = {}
"""Rules of axe that are not applied, each with its reason: for Streamlit's own markup alone, which we cannot mend."""

MOVES = """() => [...document.querySelectorAll(".sm3 *, [class*='st-key-'] *")].flatMap((e) => {
  const { transitionDuration, animationDuration, animationName } = getComputedStyle(e);
  const lasts = (text) => text.split(",").some((part) => parseFloat(part) > 0.01);
  const fades = e.closest(".sm3") && lasts(transitionDuration);
  return fades || (animationName !== "none" && lasts(animationDuration)) ? [`${e.tagName}.${e.className}`] : [];
})"""


@pytest.fixture(scope="module")
def job(service: RunningService) -> JobView:
    """A job that has trained, so that pages have something to show."""
    with service.client as client:
        launched = client.launch(tiny_job(labels={"suite": "accessibility"}))
    return service.wait_for(launched.id, JobState.SUCCEEDED, timeout_s=120)


def addresses(job: JobView) -> Iterator[str]:
    """Yields what is looked at: every page of the navigation, and each drawer of the Jobs page."""
    for path in PATHS:
        yield f"/?job={job.id}" if path == "live" else f"/{path}"
    yield f"/jobs?label=suite:accessibility&group=recipe&picked={job.id}"
    yield "/jobs?launch=1"
    for tab in ("notes", "settings"):
        yield f"/jobs?job={job.id}&tab={tab}"


def settle(page: Page) -> None:
    """Waits until the page has its headline and Streamlit has run its script."""
    page.locator("h1").first.wait_for()
    page.wait_for_function("document.querySelector('.stApp')?.dataset.testScriptState !== 'running'")
    page.wait_for_timeout(400)


def faults(page: Page, *only: str) -> list[str]:
    """Returns what axe finds grave, by all rules or ``only`` some, each with the element and what to mend."""
    options: dict[str, Any] = {
        "resultTypes": ["violations"],
        "rules": {r: {"enabled": False} for r in EXCUSED},
    }
    if only:
        options["runOnly"] = {"type": "rule", "values": only}
    found: list[dict[str, Any]] = Axe().run(page, options=options).response["violations"]
    return [
        f"{page.url}: {violation['id']}: {node['html'][:200]}: {node['failureSummary']}"
        for violation in found
        if violation["impact"] in GRAVE
        for node in violation["nodes"]
    ]


def unfold(page: Page) -> None:
    """Opens all that is folded away, for axe looks over what is not shown."""
    folded = page.locator("[data-testid='stExpander'] details:not([open]) > summary:visible")
    while folded.count():
        folded.first.click()
        settle(page)


def test_axe_finds_nothing_grave_on_any_page_and_nothing_moves_for_whom_it_is_too_much(
    dashboard: RunningDashboard, job: JobView, open_page: OpenPage
) -> None:
    """`open_page` also fails on any line in the console: deep links leave none."""
    page = open_page(dashboard.url)
    found = []
    for address in addresses(job):
        page.emulate_media(color_scheme="light", reduced_motion="no-preference")
        page.goto(dashboard.url + address)
        settle(page)
        unfold(page)
        found += faults(page)
        page.emulate_media(color_scheme="dark", reduced_motion="reduce")
        settle(page)
        found += faults(page, "color-contrast")  # the elements are the same
        found += [f"{page.url}: moves: {element}" for element in page.evaluate(MOVES)]
        assert page.title().endswith(" · SM3 Scope"), address
    assert found == []


def test_every_page_is_reached_by_keyboard_and_shows_where_the_focus_is(
    dashboard: RunningDashboard, job: JobView, open_page: OpenPage
) -> None:
    page = open_page(f"{dashboard.url}/jobs")
    settle(page)
    names = [path.capitalize() for path in PATHS]
    seen = []
    for _ in range(len(names) + 4):
        page.keyboard.press("Tab")
        focused = page.evaluate(
            """() => {
              const e = document.activeElement;
              const { outlineStyle, boxShadow } = getComputedStyle(e);
              return [e.textContent.trim(), e.tagName, outlineStyle !== "none" || boxShadow !== "none"];
            }"""
        )
        if focused[0] in names and focused[1] == "A":
            seen.append(focused[0])
            assert focused[2], focused
    assert seen == names
    page.get_by_role("link", name="System").focus()
    page.keyboard.press("Enter")
    expect(page.locator("h1").first).to_be_visible()
    page.wait_for_url("**/system")

"""The Live page's map in a browser: what it shows, at which step, against which other step, and the address of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from sm3.remote.wire import JobState, JobView
from tests.conftest import RunningService, tiny_job
from tests.dashboard.conftest import OpenPage, RunningDashboard

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

QKV = "blocks.0.attention.qkv.weight"
RECORD = {
    "every": 5,
    "probes": ["accumulators", "rates", "activation", "tightness", "squares"],
    "truth": [QKV],
}
TITLE = ".sm3-mapcard h2"
Z = "JSON.stringify(document.querySelector('.sm3-map').cells.z.slice(0, 4))"


@pytest.fixture(scope="module")
def ended(service: RunningService) -> JobView:
    """A job of 40 steps that has ended, with all that the map can show of one tensor."""
    with service.client as client:
        job = client.launch(tiny_job(steps=40, record=RECORD))
    return service.wait_for(job.id, JobState.SUCCEEDED, timeout_s=120)


@pytest.fixture(scope="module")
def running(service: RunningService, ended: JobView) -> Iterator[JobView]:
    """A job that trains on until the tests of this file are done."""
    with service.client as client:
        job = client.launch(tiny_job(steps=1_000_000, record={"every": 10}))
        yield job
        client.cancel(job.id)
    service.wait_for(job.id, lambda job: job.state.is_final)


def shows(page: Page, step: int) -> None:
    """Waits until the map shows ``step``."""
    page.wait_for_selector(f".sm3-mapcard[data-map-step='{step}'][aria-busy='false']")


def map_step(page: Page) -> int:
    return int(page.locator(".sm3-mapcard").get_attribute("data-map-step") or 0)


def test_the_map_shows_what_is_asked_for_and_the_address_says_so(
    dashboard: RunningDashboard, ended: JobView, open_page: OpenPage
) -> None:
    page = open_page(f"{dashboard.url}/?job={ended.id}&tensor={QKV}")
    shows(page, 40)
    expect(page.locator(TITLE)).to_have_text("ν = min(row, column)")
    page.get_by_role("radio", name=re.compile("^ν,")).focus()
    for title in (
        "lr/√ν = max(row, column)",
        "g² of this step",
        "log₂ ν/γ, bits above AdaGrad",
        "Active rows × active columns",
    ):
        page.keyboard.press("ArrowRight")
        expect(page.locator(TITLE)).to_have_text(title)
        expect(page.locator(".sm3-map")).to_have_attribute(
            "aria-label", re.compile(re.escape(f"{title} of {QKV} at step 40"))
        )
    page.wait_for_url("**show=activation**")

    page.goto(f"{dashboard.url}/?job={ended.id}&tensor={QKV}&show=rate&step=20&a=10")
    shows(page, 20)
    expect(page.locator(TITLE)).to_have_text("log₂ B/A of lr/√ν, step 10 → 20")
    expect(page.locator(".sm3-where")).to_have_text("pinned at step 20 of 40")
    expect(page.locator(".sm3-status")).to_have_text("■ DONE")
    box = page.locator(".sm3-map").bounding_box()
    assert box
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.6 * box["height"])
    expect(page.locator(".sm3-readout")).to_contain_text("at A (step 10)")
    overflow = page.evaluate("document.documentElement.scrollHeight - innerHeight")
    assert overflow <= 0


PAINTED = """() => {
  const plot = document.querySelector(".sm3-map");
  const raster = document.querySelector(".sm3-raster");
  const { xaxis, yaxis } = plot._fullLayout;
  const { x, y, z, zmin, zmax, colorscale } = plot.cells;
  const context = raster.getContext("2d");
  const inside = (pixel, length) => pixel > 1 && pixel < length - 1;
  const found = [];
  for (let i = 0; i < z.length; i++) {
    for (let j = 0; j < z[0].length; j++) {
      const [across, down] = [xaxis.l2p((x[j] + x[j + 1]) / 2), yaxis.l2p((y[i] + y[i + 1]) / 2)];
      if (!inside(across, raster.clientWidth) || !inside(down, raster.clientHeight)) continue;
      const at = [across * raster.width / raster.clientWidth, down * raster.height / raster.clientHeight];
      const pixel = context.getImageData(Math.floor(at[0]), Math.floor(at[1]), 1, 1).data;
      found.push([z[i][j] ?? null, [...pixel]]);
    }
  }
  return { found, zmin, zmax, colorscale };
}"""


def colour(value: float | None, low: float, high: float, scale: list[tuple[float, str]]) -> list[float]:
    """What the colour bar has there, straight between its stops; clear where there is no value."""
    if value is None:
        return [0, 0, 0, 0]
    stops = [at for at, _ in scale]
    channels = [[int(name[k : k + 2], 16) for _, name in scale] for k in (1, 3, 5)]
    return [*(float(np.interp((value - low) / (high - low), stops, c)) for c in channels), 255]


def test_cells_have_the_colour_bars_colours_also_when_zoomed(
    dashboard: RunningDashboard, ended: JobView, open_page: OpenPage
) -> None:
    page = open_page(f"{dashboard.url}/?job={ended.id}&tensor={QKV}")
    shows(page, 40)
    whole = page.evaluate(PAINTED)
    box = page.locator(".sm3-map").bounding_box()
    assert box
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.65 * box["height"], steps=5)
    page.mouse.up()
    page.wait_for_function("document.querySelector('.sm3-map')._fullLayout.xaxis.range[0] > 0")
    zoomed = page.evaluate(PAINTED)
    assert 4 < len(zoomed["found"]) < len(whole["found"]) / 4
    for seen in (whole, zoomed):
        for value, pixel in seen["found"]:
            expected = colour(value, seen["zmin"], seen["zmax"], seen["colorscale"])
            assert pixel == pytest.approx(expected, abs=3), value


def test_two_steps_are_compared_swapped_and_let_go(
    dashboard: RunningDashboard, ended: JobView, open_page: OpenPage
) -> None:
    page = open_page(f"{dashboard.url}/?job={ended.id}&tensor={QKV}&step=10")
    shows(page, 10)
    page.get_by_role("button", name=re.compile("^Hold this step as A")).click()
    expect(page.locator(TITLE)).to_have_text("ν = min(row, column)")  # A is B as yet
    page.get_by_role("slider").focus()
    page.keyboard.press("End")
    expect(page.locator(TITLE)).to_have_text("log₂ B/A of ν, step 10 → 40")
    low = page.evaluate("document.querySelector('.sm3-map').cells.zmin")
    assert low == -page.evaluate("document.querySelector('.sm3-map').cells.zmax")
    forward = page.evaluate("document.querySelector('.sm3-map').cells.z[5][5]")
    page.get_by_role("button", name="Swap A and B").click()
    expect(page.locator(TITLE)).to_have_text("log₂ B/A of ν, step 40 → 10")
    assert page.evaluate("document.querySelector('.sm3-map').cells.z[5][5]") == -forward
    page.wait_for_url(re.compile("step=10.*a=40|a=40.*step=10"))
    page.get_by_role("button", name="End the comparison").click()
    expect(page.locator(TITLE)).to_have_text("ν = min(row, column)")


def test_an_ended_job_is_scrubbed_by_keys_and_played(
    dashboard: RunningDashboard, ended: JobView, open_page: OpenPage
) -> None:
    page = open_page(f"{dashboard.url}/?job={ended.id}&tensor={QKV}")
    shows(page, 40)
    newest = page.evaluate(Z)
    page.get_by_role("slider").focus()
    for key, step in (("ArrowLeft", 35), ("Home", 1), ("ArrowRight", 5), ("ArrowUp", 10)):
        page.keyboard.press(key)
        shows(page, step)
    assert page.evaluate(Z) != newest
    page.wait_for_url("**step=10**")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Stop playing (space)")).to_be_visible()
    expect(page.locator(".sm3-where")).to_have_text("step 40 of 40")  # at the end it follows again
    expect(page.get_by_role("button", name="Play from the first frame (space)")).to_be_visible()
    shows(page, 40)
    assert page.evaluate(Z) == newest


def test_an_earlier_step_stays_while_new_frames_arrive(
    dashboard: RunningDashboard, running: JobView, open_page: OpenPage
) -> None:
    page = open_page(f"{dashboard.url}/?job={running.id}")
    page.wait_for_function("Number(document.querySelector('.sm3')?.dataset.step) >= 20")
    page.get_by_role("slider").focus()
    page.keyboard.press("Home")
    shows(page, 1)
    expect(page.locator(".sm3-status")).to_have_text("◆ PINNED step 1")
    pinned = page.evaluate(Z)
    alt = page.locator(".sm3-map")
    for tensor in ("head.weight", "token_embedding.weight"):
        page.get_by_role("option", name=tensor).click()
        expect(alt).to_have_attribute("aria-label", re.compile(f"{tensor} at step 1,"))
    at = int(page.evaluate("document.querySelector('.sm3').dataset.step"))
    page.wait_for_function("(at) => Number(document.querySelector('.sm3').dataset.step) > at + 20", arg=at)
    assert map_step(page) == 1
    assert page.evaluate(Z) == pinned
    page.get_by_role("button", name="Follow").click()
    page.wait_for_function(
        "(at) => Number(document.querySelector('.sm3-mapcard').dataset.mapStep) > at", arg=at
    )
    expect(page.locator(".sm3-status")).to_have_text("● LIVE")


def test_what_is_not_recorded_and_what_an_address_gets_wrong_is_said(
    dashboard: RunningDashboard, running: JobView, open_page: OpenPage
) -> None:
    page = open_page(f"{dashboard.url}/?job={running.id}&tensor={QKV}&show=g2")
    expect(page.locator(".sm3-mapcard .sm3-hint")).to_contain_text("g² is not recorded by this job.")
    expect(page.locator(".sm3-mapcard code")).to_contain_text('"squares"')
    page.get_by_role("radio", name=re.compile("AdaGrad's exact sum")).click()
    expect(page.locator(".sm3-mapcard .sm3-hint")).to_contain_text("From sampled entries:")
    page.goto(f"{dashboard.url}/?job={running.id}&show=nonsense&step=x")
    expect(page.locator(".sm3-readout")).to_contain_text("show=nonsense is none of nu, rate, g2")


def test_the_map_is_also_a_table_and_a_file(
    dashboard: RunningDashboard, ended: JobView, open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page(f"{dashboard.url}/?job={ended.id}&tensor={QKV}&show=tightness&step=20")
    shows(page, 20)
    menu = page.locator(".sm3-mapcard .sm3-menu")
    with page.expect_download() as csv:
        menu.get_by_role("button", name=re.compile("CSV")).click()
    csv.value.save_as(tmp_path / "map.csv")
    lines = (tmp_path / "map.csv").read_text().splitlines()
    assert csv.value.suggested_filename == f"tightness-{QKV}-step-20.csv"
    assert lines[0] == "first row,last row,first column,last column,log₂ ν/γ (bits)"
    assert len(lines) == 1 + 64 * 64
    with page.expect_download() as png:
        menu.get_by_role("button", name=re.compile("PNG")).click()
    assert png.value.suggested_filename.endswith(".png")
    menu.get_by_role("button", name=re.compile("table")).click()
    expect(page.locator(".sm3-mapcard tbody tr")).to_have_count(500)
    page.get_by_role("slider").focus()
    page.keyboard.press("ArrowRight")
    shows(page, 25)
    menu.get_by_role("button", name=re.compile("table")).click()
    expect(page.locator(".sm3-map")).to_have_attribute("aria-label", re.compile("at step 25,"))
    expect(page.locator(".sm3-map .plot-container")).to_be_visible()

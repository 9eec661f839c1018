"""The dashboard as people see it: real Chromium, real dashboard, real service, real training."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import psutil
import pytest
from playwright.sync_api import Page, expect

from sm3.remote.wire import JobState, JobView
from tests.conftest import RunningService, tiny_job
from tests.dashboard.conftest import OpenPage, RunningDashboard

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

STATE = """() => {
  const root = document.querySelector(".sm3");
  const plot = document.querySelector(".sm3-map");
  const layout = plot._fullLayout;
  return {
    step: Number(root.dataset.step),
    draws: Number(root.dataset.draws),
    z: plot.cells.z,
    x: layout.xaxis.range,
    y: layout.yaxis.range,
    mark: plot.dataset.mark ?? null,
    selected: document.querySelector(".sm3-tensor[aria-selected=true]").dataset.name,
    readout: document.querySelector(".sm3-readout").textContent,
    scroll: document.querySelector(".sm3-tensors").scrollTop,
    errors: [],
  };
}"""


def launch_long(service: RunningService, **changes: object) -> JobView:
    """Launches a job that trains until it is stopped, with a frame a few times a second."""
    with service.client as client:
        return client.launch(tiny_job(steps=1_000_000, record={"every": 10}, **changes))


class LongJob:
    """A job that trains on, launched again only after a test has ended it: the service has one slot."""

    def __init__(self, service: RunningService) -> None:
        self.service = service
        self.job: JobView | None = None

    def running(self) -> JobView:
        with self.service.client as client:
            if self.job is None or client.job(self.job.id).state.is_final:
                self.job = launch_long(self.service)
        return self.job

    def stop(self) -> None:
        if self.job is None:
            return
        with self.service.client as client:
            if not client.job(self.job.id).state.is_final:
                client.cancel(self.job.id)
        self.service.wait_for(self.job.id, lambda job: job.state.is_final)


@pytest.fixture(scope="module")
def long_job(service: RunningService) -> Iterator[LongJob]:
    job = LongJob(service)
    yield job
    job.stop()


@pytest.fixture
def running_job(long_job: LongJob) -> JobView:
    return long_job.running()


def wait_for_frames(page: Page, frames: int) -> None:
    page.wait_for_function(f"Number(document.querySelector('.sm3')?.dataset.frames) >= {frames}")
    page.wait_for_function("document.querySelector('.sm3-map')?.cells?.z")


def wait_for_draws(page: Page, more: int) -> None:
    page.wait_for_function(
        "(until) => Number(document.querySelector('.sm3').dataset.draws) >= until",
        arg=state(page)["draws"] + more,
    )


def state(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = page.evaluate(STATE)
    return found


def zoom(page: Page) -> None:
    """Drags a rectangle over the middle of the heatmap."""
    box = page.locator(".sm3-map").bounding_box()
    assert box
    x, y, width, height = box["x"], box["y"], box["width"], box["height"]
    page.mouse.move(x + 0.45 * width, y + 0.45 * height)
    page.mouse.down()
    page.mouse.move(x + 0.65 * width, y + 0.7 * height, steps=4)
    page.mouse.up()
    page.wait_for_function("document.querySelector('.sm3-map')._fullLayout.xaxis.range[0] > 0")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_refreshes_change_the_data_and_nothing_else(
    dashboard: RunningDashboard, running_job: JobView, open_page: OpenPage, scheme: str
) -> None:
    page = open_page(f"{dashboard.url}/?job={running_job.id}", scheme=scheme)
    wait_for_frames(page, 2)
    expect(page.locator(".sm3-status")).to_have_text("● LIVE")
    expect(page.locator(".sm3-headline h1")).to_contain_text("47.6 KiB of accumulators")

    page.get_by_role("option", name="blocks.0.mlp.up.weight").click()
    page.evaluate("document.querySelector('.sm3-map').dataset.mark = 'the same node'")
    page.evaluate("document.querySelector('.sm3-tensors').scrollTop = 40")
    wait_for_draws(page, 1)
    zoom(page)
    box = page.locator(".sm3-map").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    before = state(page)
    assert re.search(r"(row|column) decides|agree", before["readout"])

    wait_for_draws(page, 3)
    page.wait_for_function(
        "(step) => Number(document.querySelector('.sm3').dataset.step) > step", arg=before["step"]
    )
    after = state(page)
    assert after["z"] != before["z"]
    for kept in ("mark", "x", "y", "selected", "scroll"):
        assert after[kept] == before[kept], kept
    assert after["mark"] == "the same node"
    assert after["readout"].partition(":")[0] == before["readout"].partition(":")[0]
    page.wait_for_url(lambda url: "tensor=blocks.0.mlp.up.weight" in url)


def test_profiles_and_cells_sit_on_the_same_axes(
    dashboard: RunningDashboard, running_job: JobView, open_page: OpenPage
) -> None:
    page = open_page(f"{dashboard.url}/?job={running_job.id}")
    wait_for_frames(page, 1)
    _, columns, rows = page.evaluate(
        "document.querySelector('.sm3-map')._fullData.map((t) => ({x: t.xaxis, y: t.yaxis}))"
    )
    assert (columns["x"], rows["y"]) == ("x", "y")
    axes = page.evaluate("""() => {
      const { xaxis, yaxis } = document.querySelector(".sm3-map")._fullLayout;
      return [xaxis._offset, yaxis._offset, xaxis._length, yaxis._length];
    }""")
    painted = page.evaluate("""() => {
      const box = document.querySelector(".sm3-raster").getBoundingClientRect();
      const plot = document.querySelector(".sm3-map").getBoundingClientRect();
      return [box.x - plot.x, box.y - plot.y, box.width, box.height];
    }""")
    assert painted == pytest.approx(axes, abs=0.1)


def test_a_rerun_of_the_script_neither_reconnects_nor_redraws_anew(
    dashboard: RunningDashboard, running_job: JobView, open_page: OpenPage
) -> None:
    page = open_page(f"{dashboard.url}/?job={running_job.id}")
    wait_for_frames(page, 1)
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    page.evaluate("document.querySelector('.sm3-map').dataset.mark = 'the same node'")
    page.get_by_role("button", name="Stop job").click()
    page.get_by_role("button", name="Stop it").click()
    expect(page.locator(".sm3-status")).to_have_text("■ STOPPED")
    page.wait_for_timeout(1500)
    assert state(page)["mark"] == "the same node"
    assert sockets == []


def test_a_finished_job_shows_its_last_frame_and_all_of_its_history(
    service: RunningService, long_job: LongJob, dashboard: RunningDashboard, open_page: OpenPage
) -> None:
    long_job.stop()
    with service.client as client:
        job = client.launch(tiny_job(steps=40))
    service.wait_for(job.id, JobState.SUCCEEDED)
    page = open_page(f"{dashboard.url}/?job={job.id}")
    wait_for_frames(page, 1)
    expect(page.locator(".sm3-status")).to_have_text("■ DONE")
    assert state(page)["step"] == 40
    page.wait_for_function("document.querySelector('.sm3-loss').data[0].x.length === 40")
    page.wait_for_function("document.querySelector('.sm3-rate').data[2].x.length === 9")


def test_pause_holds_the_view_and_resume_goes_on(
    dashboard: RunningDashboard, running_job: JobView, open_page: OpenPage
) -> None:
    page = open_page(f"{dashboard.url}/?job={running_job.id}")
    wait_for_frames(page, 2)
    page.get_by_role("button", name="Hold view").click()
    expect(page.locator(".sm3-status")).to_have_text("‖ VIEW HELD")
    held = state(page)["step"]
    frames = int(page.locator(".sm3").get_attribute("data-frames") or 0)
    wait_for_frames(page, frames + 2)
    assert state(page)["step"] == held
    page.get_by_role("button", name="Release view").click()
    page.wait_for_function("(step) => Number(document.querySelector('.sm3').dataset.step) > step", arg=held)


def test_jobs_are_listed_opened_and_stopped(
    dashboard: RunningDashboard, running_job: JobView, open_page: OpenPage
) -> None:
    page = open_page(f"{dashboard.url}/?job={running_job.id}")
    wait_for_frames(page, 1)
    page.get_by_role("link", name="Jobs").click()
    row = page.locator(".sm3-jobtable tbody tr").filter(has_text=running_job.id[-4:])
    expect(row.locator(".sm3-status")).to_have_text("● RUNNING")
    row.locator(".sm3-open").click()
    wait_for_frames(page, 1)
    page.wait_for_url(lambda url: f"job={running_job.id}" in url)

    page.get_by_role("link", name="Jobs").click()
    row.get_by_role("button", name="More about").click()
    page.get_by_role("menuitem", name="Stop").click()
    page.get_by_role("alertdialog").get_by_role("button", name="Stop", exact=True).click()
    expect(row.locator(".sm3-status")).to_have_text("■ STOPPED")


def test_a_killed_worker_is_told_with_its_cause_and_log(
    own_service: RunningService, own_dashboard: RunningDashboard, open_page: OpenPage
) -> None:
    job = launch_long(own_service, retry={"attempts": 0})
    page = open_page(f"{own_dashboard.url}/?job={job.id}")
    wait_for_frames(page, 1)
    assert own_service.process
    workers = [
        process
        for process in psutil.Process(own_service.process.pid).children(recursive=True)
        if "server.worker" in process.cmdline()
    ]
    for worker in workers:
        os.kill(worker.pid, signal.SIGKILL)
    expect(page.locator(".sm3-status")).to_have_text("✕ CRASHED")
    expect(page.locator(".sm3-cause")).not_to_be_empty()
    expect(page.get_by_text("The worker's log")).to_be_visible()
    assert state(page)["z"]


def test_a_lost_service_leaves_the_last_frame_and_comes_back_by_itself(
    own_service: RunningService, own_dashboard: RunningDashboard, open_page: OpenPage
) -> None:
    job = launch_long(own_service)
    page = open_page(f"{own_dashboard.url}/?job={job.id}")
    wait_for_frames(page, 1)
    page.evaluate("document.querySelector('.sm3-map').dataset.mark = 'the same node'")
    own_service.stop()
    expect(page.locator(".sm3-status")).to_contain_text("▲ STALE")
    expect(page.locator(".sm3-cause")).to_contain_text("does not answer")
    assert state(page)["z"]
    own_service.start()
    expect(page.locator(".sm3-status")).not_to_contain_text("STALE", timeout=60_000)
    expect(page.locator(".sm3-cause")).not_to_contain_text("does not answer")
    assert state(page)["mark"] == "the same node"


def test_curves_have_no_hole_where_the_service_was_away(
    own_service: RunningService, own_dashboard: RunningDashboard, open_page: OpenPage
) -> None:
    job = launch_long(own_service)
    page = open_page(f"{own_dashboard.url}/?job={job.id}")
    wait_for_frames(page, 2)
    own_service.stop(signal.SIGKILL)  # its worker trains on
    before = page.evaluate("document.querySelector('.sm3').dataset.frames")
    expect(page.locator(".sm3-status")).to_contain_text("▲ STALE")
    own_service.start()
    wait_for_frames(page, int(before) + 2)
    wait_for_draws(page, 8)
    loss = "document.querySelector('.sm3-loss').data.map(({x, name}) => [name, [...x]])"
    curves = {name: steps for name, steps in page.evaluate(loss) if steps}
    steps = max(curves.values(), key=len)
    # A long curve is thinned evenly before it is drawn; the seconds without a service would be hundreds of steps.
    widest = max(after - before for before, after in pairwise(steps))
    assert steps[0] == 1
    assert widest <= max(1, 4 * steps[-1] // len(steps)), (widest, steps[-1], len(steps))
    with own_service.client as client:
        client.cancel(job.id)
    own_service.wait_for(job.id, JobState.CANCELLED)


def test_narrow_windows_clip_nothing(
    dashboard: RunningDashboard, running_job: JobView, open_page: OpenPage
) -> None:
    page = open_page(f"{dashboard.url}/?job={running_job.id}", width=1024, height=768)
    wait_for_frames(page, 1)
    for width, num_columns in ((1024, 2), (860, 1)):
        page.set_viewport_size({"width": width, "height": 768})
        page.wait_for_timeout(1500)
        found = page.evaluate(
            """() => ({
              overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
              columns: getComputedStyle(document.querySelector(".sm3-body")).gridTemplateColumns.split(" ").length,
              clipped: [...document.querySelectorAll(".sm3 h1, .sm3 h2, .sm3-status, .sm3-step")]
                .filter((e) => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== "inline")
                .map((e) => e.textContent),
            })"""
        )
        assert found == {"overflow": 0, "columns": num_columns, "clipped": []}, width

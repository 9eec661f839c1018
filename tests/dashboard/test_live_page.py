"""The Live page on jobs that are fed by hand: long, troubled, held, paused, stopped, and seen without rights."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from benchmarks.feeding import NO_MEMORY
from sm3.remote.client import Client
from sm3.remote.frames import Frame, Point, Scalars, encode
from sm3.remote.wire import JobState, Manifest, TensorInfo
from tests.conftest import RunningService
from tests.dashboard.conftest import OpenPage, RunningDashboard, running_dashboard
from tests.server.fed import FedJob

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
TENSORS = [f"blocks.{k}.weight" for k in range(12)]
STEPS = 6000
DRAWN = "document.querySelector('.sm3-loss')?.data?.[0]?.x.length > 100"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Iterator[RunningService]:
    """A service that runs no workers."""
    running = RunningService(
        tmp_path_factory.mktemp("fed"), cache_dir, environment={"SM3_SLOTS": "0"}
    ).start()
    yield running
    running.stop()
    assert "Traceback" not in running.log


@pytest.fixture(scope="module")
def board(api: RunningService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDashboard]:
    with running_dashboard(tmp_path_factory.mktemp("board"), api.url, api.token) as running:
        yield running
        assert "Traceback" not in running.log.read_text()


class LongJob(FedJob):
    """A job with 6,000 points of loss in its first frame, and one tensor that is in trouble."""

    def begin(self) -> LongJob:
        tensors = tuple(
            TensorInfo(
                name=name,
                shape=(8, 8 * (k + 1)),
                dtype="float32",
                cover="slices",
                parts=("dim0", "dim1"),
                num_accumulators=16,
                accumulator_bytes=4 * (8 + 8 * (k + 1)),
                momentum_bytes=0,
            )
            for k, name in enumerate(TENSORS)
        )
        loss = 2 + 8 * np.exp(-np.arange(STEPS) / 1500) + np.random.default_rng(0).normal(0, 0.1, STEPS)
        loss[3999] = 55.0
        points = [Point("loss", step + 1, float(value)) for step, value in enumerate(loss)]
        for k, name in enumerate(TENSORS):
            for step in (1, 1000, STEPS):
                points.append(Point(f"rate_p50/{name}", step, 0.1 / math.sqrt(step)))
                points.append(Point(f"zero_rows/{name}", step, k / 20))
        points += [Point(f"nonfinite/{TENSORS[7]}", 2500, 3.0), Point(f"nonfinite/{TENSORS[7]}", 2600, 0.0)]
        with Client(self.service.url, self.token, timeout_s=30.0) as client:
            client.put_manifest(self.id, Manifest(attempt=0, tensors=tensors, memory=NO_MEMORY))
            client.put_frame(self.id, 0, 0, self._frame(0, points))
        self.seq = 1
        return self

    def more(self) -> None:
        """Stores one more frame."""
        step = STEPS + 10 * self.seq
        points = [Point("loss", step - k, 2.0) for k in reversed(range(10))]
        with Client(self.service.url, self.token) as client:
            client.put_frame(self.id, 0, self.seq, self._frame(self.seq, points))
        self.seq += 1

    def _frame(self, seq: int, points: list[Point]) -> bytes:
        arrays = {
            f"accumulators/dim{dim}/{name}": np.linspace(1, 9, (8, 8 * (k + 1))[dim], dtype=np.float32)
            for k, name in enumerate(TENSORS)
            for dim in (0, 1)
        }
        scalars = Scalars.from_points(points)
        made = time.time() + 3600  # never stale, however slow the machine that runs the test
        return encode(Frame(self.id, 0, seq, points[-1].step if seq else STEPS, made, arrays, scalars))


@pytest.fixture(scope="module")
def job(api: RunningService) -> LongJob:
    return LongJob(api).begin()


def expect_selected(page: Page, tensor: str) -> None:
    expect(page.locator(".sm3-tensor[aria-selected=true]")).to_have_attribute("data-name", tensor)


def test_a_long_history_is_drawn_thinned_smoothed_and_says_so(
    board: RunningDashboard, job: LongJob, open_page: OpenPage
) -> None:
    page = open_page(f"{board.url}/?job={job.id}")
    page.wait_for_function(DRAWN)
    raw, smoothed = page.evaluate(
        "document.querySelector('.sm3-loss').data.slice(0, 2).map(({x, y, name}) => [name, x.length, Math.max(...y)])"
    )
    assert raw[1] <= 1300
    assert raw[2] == 55.0
    assert smoothed[0] == "smoothed over 100 points"
    assert smoothed[2] < 12
    where = page.locator(".sm3-timecard").first.locator(".sm3-keyrow .sm3-about")
    expect(where).to_contain_text("of 6.0k pts")
    assert "Downsampled" in str(where.get_attribute("title"))
    overflow = "document.documentElement.scrollHeight - document.documentElement.clientHeight"
    assert page.evaluate(overflow) <= 0

    page.get_by_label("Smoothing").select_option("1000")
    page.get_by_role("button", name="Scale of Loss").click()
    page.wait_for_function("document.querySelector('.sm3-loss').layout.yaxis.type === 'linear'")
    page.wait_for_url(lambda url: "smooth=1000" in url)
    page.wait_for_url(lambda url: "flip=loss" in url)
    again = open_page(page.url)
    again.wait_for_function(DRAWN)
    found = again.evaluate(
        "(({data, layout}) => [data[1].name, layout.yaxis.type])(document.querySelector('.sm3-loss'))"
    )
    assert found == ["smoothed over 1000 points", "linear"]


def test_alerts_are_marked_listed_and_lead_to_tensor_and_step(
    board: RunningDashboard, job: LongJob, open_page: OpenPage
) -> None:
    page = open_page(f"{board.url}/?job={job.id}")
    page.wait_for_function(DRAWN)
    # On a slow machine the job's last frame is old by now, and the page says so besides.
    events = page.locator(".sm3-events li").filter(has_not_text="STALLED")
    expect(events).to_have_count(3)
    words = events.locator(".sm3-event-word").all_inner_texts()
    steps = events.locator(".sm3-event-step").all_inner_texts()
    assert list(zip(words, steps, strict=True)) == [
        ("SPIKE", "4,000"),
        ("NON-FINITE", "2,500"),
        ("STARTED", "0"),
    ]
    expect(page.locator(".sm3-eventcard h2")).to_have_text(re.compile(r"Events · [23] alerts"))
    assert page.evaluate("document.querySelector('.sm3-loss').layout.shapes.at(-1).x0") == 4000
    events.nth(1).locator(".sm3-event").click()
    expect(page.locator(".sm3-tensor[aria-selected=true]")).to_have_attribute("data-name", TENSORS[7])
    page.wait_for_url(lambda url: f"tensor={TENSORS[7]}" in url)
    page.wait_for_function("document.querySelector('.sm3-rate').layout.shapes.length >= 2")
    expect(page.locator(".sm3-timecard .sm3-cross").first).to_be_visible()


def test_tensors_have_curves_and_are_sorted_found_and_walked_by_keys(
    board: RunningDashboard, job: LongJob, open_page: OpenPage
) -> None:
    page = open_page(f"{board.url}/?job={job.id}")
    page.wait_for_function("document.querySelectorAll('.sm3-spark path[d]').length === 12")
    names = "[...document.querySelectorAll('.sm3-tensor')].map((row) => row.dataset.name)"
    assert page.evaluate(names) == TENSORS
    page.get_by_label("Sort tensors by").select_option("bytes")
    assert page.evaluate(names) == TENSORS[::-1]
    page.get_by_label("Sort tensors by").select_option("activity")
    page.wait_for_function(f"({names})[0] === '{TENSORS[0]}'")
    assert page.evaluate(names) == TENSORS
    expect(page.locator(".sm3-tensor").first).to_have_attribute("title", re.compile("100 % of rows active"))
    page.locator(".sm3-tensor").first.focus()
    page.keyboard.press("End")
    expect_selected(page, TENSORS[-1])
    page.keyboard.press("ArrowUp")
    expect_selected(page, TENSORS[-2])
    page.get_by_label("Find a tensor").fill("11")
    assert page.evaluate(names) == [TENSORS[11]]
    expect(page.locator(".sm3-rail h2")).to_have_text("Tensors 1 / 12")


def test_numbers_can_be_read_as_a_table_that_refreshes_leave_open(
    board: RunningDashboard, job: LongJob, open_page: OpenPage
) -> None:
    page = open_page(f"{board.url}/?job={job.id}")
    page.wait_for_function(DRAWN)
    card = page.locator(".sm3-timecard").first
    card.get_by_role("button", name="Show the numbers").click()
    expect(card.locator("thead th").first).to_contain_text("step")
    expect(card.locator("tbody tr").first).to_contain_text("6,000")
    job.more()
    expect(card.locator("tbody tr").first).to_contain_text("6,010")
    expect(card.get_by_role("button", name="Show the numbers")).to_have_attribute("aria-pressed", "true")
    with page.expect_download() as download:
        card.get_by_role("button", name="Save the numbers").click()
    assert download.value.suggested_filename.startswith("loss-")
    assert Path(download.value.path()).read_text().startswith("step,loss,smoothed over")


def test_the_picked_tensor_is_not_forgotten_on_another_page(
    board: RunningDashboard, job: LongJob, open_page: OpenPage
) -> None:
    page = open_page(f"{board.url}/?job={job.id}")
    page.locator(f".sm3-tensor[data-name='{TENSORS[4]}']").click()
    page.get_by_role("link", name="Jobs").click()
    expect(page.locator(".sm3-jobtable tbody tr").first).to_be_visible()
    page.get_by_role("link", name="Live").click()
    expect(page.locator(".sm3-tensor[aria-selected=true]")).to_have_attribute("data-name", TENSORS[4])
    page.wait_for_url(lambda url: f"tensor={TENSORS[4]}" in url)


def test_before_anything_came_the_page_has_its_shape(
    board: RunningDashboard, job: LongJob, open_page: OpenPage
) -> None:
    page = open_page("about:blank")
    page.add_init_script("""
      const Real = WebSocket;
      window.WebSocket = function (url, ...more) {
        return url.includes("/live?") ? { send() {}, close() {} } : new Real(url, ...more);
      };
    """)
    page.goto(f"{board.url}/?job={job.id}")
    expect(page.locator(".sm3-live")).to_have_attribute("data-loading", "true")
    expect(page.locator(".sm3-status")).to_contain_text("STALE")  # the job says when its last frame came
    skeleton = "getComputedStyle(document.querySelector('.sm3-timecard .sm3-stage'), '::before').content"
    assert page.evaluate(skeleton) == '""'


def test_pausing_the_job_is_told_from_holding_the_view(
    api: RunningService, board: RunningDashboard, open_page: OpenPage
) -> None:
    job = LongJob(api).begin()
    page = open_page(f"{board.url}/?job={job.id}")
    page.wait_for_function(DRAWN)
    page.get_by_role("button", name="Hold view").click()
    expect(page.locator(".sm3-status")).to_have_text("‖ VIEW HELD")
    with api.client as client:
        assert client.job(job.id).state is JobState.RUNNING
    page.get_by_role("button", name="Release view").click()
    page.get_by_role("button", name="Pause job").click()
    expect(page.get_by_role("button", name="Pausing…")).to_be_disabled()
    expect(page.locator(".sm3-status")).to_have_text("◌ PAUSING")
    job.move(JobState.PAUSED)
    expect(page.locator(".sm3-status")).to_have_text("‖ PAUSED")
    expect(page.locator(".sm3-event-word").first).to_have_text("PAUSED")
    expect(page.locator(".sm3-event-step").first).to_have_text("6,000")
    page.get_by_role("button", name="Resume job").click()
    expect(page.locator(".sm3-status")).to_have_text("◌ QUEUED")
    page.get_by_role("button", name="Stop job").click()
    page.get_by_role("button", name="Stop it").click()
    expect(page.locator(".sm3-status")).to_have_text("■ STOPPED")
    expect(page.get_by_role("button", name="Reset zoom")).to_be_visible()

"""Ids in the store: each sorts behind all before it, whatever the clock does."""

from __future__ import annotations

import time

import pytest
from uuid_utils import uuid7

from server.store import JobStore, ids, job_rows
from tests.conftest import tiny_job

DAY_NS = 86_400 * 10**9


def test_a_job_made_after_the_clock_was_set_back_is_still_the_newest(
    jobs: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ns, made = time.time_ns(), []
    for days in (0, 1, 0, -1, -1, 0.5, 2):
        clock_ns = now_ns + round(days * DAY_NS)
        monkeypatch.setattr(ids, "uuid7", lambda nanoseconds=clock_ns: uuid7(nanoseconds=nanoseconds))
        made.append(jobs.create(tiny_job()).id)
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert [job.id for job in jobs.page(limit=100).items] == made[::-1]


def test_an_id_that_no_clock_made_does_not_draw_others_after_it(
    jobs: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = "ffffffff-ffff-ffff-ffff-ffffffffffff"
    with monkeypatch.context() as patched:
        patched.setattr(job_rows, "next_id", lambda *_: odd)
        assert jobs.create(tiny_job()).id == odd
    assert jobs.create(tiny_job()).id < jobs.create(tiny_job()).id < odd

"""What the System page says of what the service answered."""

from __future__ import annotations

from typing import Any

import pytest

from dashboard.figures.system import MAX_BOXES, Board, board
from sm3.remote.system_views import SystemView

AT = "2026-01-01T00:01:00Z"
WORKING = {
    "id": "01-a",
    "name": "images cnn · sm3",
    "state": "running",
    "attempt": 0,
    "step": 30,
    "steps": 120,
    "since": "2026-01-01T00:00:18Z",
    "memory_bytes": 2**28,
}
WAITING = {
    "position": 1,
    "id": "01-b",
    "name": "images cnn · adamw",
    "priority": 5,
    "since": "2026-01-01T00:00:00Z",
}


def system(**changes: Any) -> SystemView:
    return SystemView.model_validate({
        "version": "0.1.0",
        "at": AT,
        "started_at": AT,
        "uptime_s": 11_100,
        "supervision": "here",
        "slots": 2,
        "working": [WORKING],
        "waiting": [],
        "num_waiting": 0,
        "machine": {
            "num_cpus": 8,
            "cpu_share": 0.25,
            "memory_used_bytes": 4 * 2**30,
            "memory_total_bytes": 16 * 2**30,
            "disk_free_bytes": 100 * 2**30,
            "disk_total_bytes": 400 * 2**30,
        },
        "gpus": None,
        "process": {"cpu_share": 0.03, "memory_bytes": 2**27, "viewers": 1},
        "ingest": {
            "window_s": 10,
            "frames_per_s": 4.96,
            "bytes_per_s": 3 * 2**20,
            "frames": 1200,
            "repeats": 0,
            "bytes": 2**30,
            "refused": {},
            "gaps": 0,
            "dropped": 0,
        },
        "store": {
            "backend": "sqlite",
            "database_bytes": 2**20,
            "segments_bytes": 0,
            "jobs": {"running": 1, "succeeded": 7},
            "frames": 1200,
        },
        "checks": [{"name": "store", "verdict": "ok", "found": "it can be read and written"}],
        **changes,
    })


def gauge(of: Board, key: str) -> Any:
    return next(each for each in (*of.machine, *of.ingest, *of.store) if each.key == key)


def test_the_headline_says_who_trains_who_waits_and_what_was_lost() -> None:
    assert board(system()).headline == "1 of 2 slots trains, nothing waits, no frame was dropped."
    lost = system().ingest.model_copy(update={"dropped": 2, "refused": {"invalid-frame": 1}})
    told = board(system(num_waiting=3, waiting=[WAITING], ingest=lost.model_dump()))
    assert told.headline == "1 of 2 slots trains, 3 wait, 2 frames were dropped, 1 refused."
    refused = system().ingest.model_copy(update={"refused": {"invalid-frame": 1}})
    assert board(system(ingest=refused.model_dump())).headline.endswith(", 1 frame was refused.")
    assert (gauge(told, "dropped").is_bad, gauge(told, "refused").is_bad) == (True, True)
    assert gauge(told, "refused").note == "invalid-frame 1"
    assert told.queue_note == "and 2 more"


def test_boxes_tell_the_job_in_them_and_how_far_it_is() -> None:
    told = board(system(waiting=[WAITING], num_waiting=1))
    (job,) = told.working
    assert (job.name, job.share) == ("images cnn · sm3", 0.25)
    assert job.detail == "step 30 of 120 · running for 42 s · 256 MiB resident"
    (waiting,) = told.waiting
    assert (waiting.position, waiting.detail) == (1, "01-b · priority +5 · waits 1:00")


def test_many_slots_are_some_boxes_and_a_number() -> None:
    told = board(system(slots=1024))
    assert (told.slots, told.hidden_slots) == (MAX_BOXES, 1024 - MAX_BOXES)


def test_without_slots_it_says_who_starts_jobs() -> None:
    told = board(system(supervision="elsewhere", slots=0))
    assert "SM3_SLOTS=0" in told.elsewhere
    assert "1 job has a worker now" in told.elsewhere
    assert told.headline.startswith("1 job trains, ")
    assert "started by another process" in told.detail


@pytest.mark.parametrize(
    ("verdict", "status"),
    [
        ("ok", ("live", "● READY")),
        ("warning", ("done", "● READY, see below")),
        ("failed", ("failed", "✕ NOT READY")),
    ],
)
def test_the_worst_check_is_the_status(verdict: str, status: tuple[str, str]) -> None:
    told = board(
        system(checks=[{"name": "store", "verdict": verdict, "found": "this", "remedy": "Do that."}])
    )
    assert told.status == status
    assert told.checks[0][3] == "this. Do that."


def test_what_no_longer_answers_is_stale() -> None:
    told = board(system(), stale_s=12, why="It does not answer.")
    assert (told.status, told.detail) == (("stale", "▲ STALE 12 s"), "It does not answer.")


def test_gpus_are_there_or_it_says_that_none_are() -> None:
    assert gauge(board(system()), "gpu").value == "none"
    gpus = [
        {"name": "NVIDIA H100", "used_share": 0.5, "memory_used_bytes": 2**34, "memory_total_bytes": 2**36}
    ]
    told = gauge(board(system(gpus=gpus)), "gpu-0")
    assert (told.label, told.value, told.note, told.share) == (
        "NVIDIA H100",
        "16.0 GiB",
        "of 64.0 GiB, 50 % busy",
        0.25,
    )

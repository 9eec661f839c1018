"""Hypothesis plays with the jobs API; `job_machine` has the rules."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.fuzz.job_machine import JobMachine

BASE = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate,),  # a failure is printed whole: shrinking it takes minutes
)


def play(examples: int, steps: int) -> tuple[int, int]:
    """Returns how many steps were taken and how many requests they made."""
    JobMachine.steps = JobMachine.requests = 0
    run_state_machine_as_test(
        JobMachine, settings=settings(BASE, max_examples=examples, stateful_step_count=steps)
    )
    return JobMachine.steps, JobMachine.requests


def test_the_jobs_api_keeps_to_its_model() -> None:
    steps, requests = play(examples=4, steps=25)
    assert min(steps, requests) >= 50


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_jobs_api_keeps_to_its_model_at_length() -> None:
    steps, requests = play(examples=100, steps=50)
    print(f"state machine: {steps} steps, {requests} requests")
    assert steps >= 3000

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
    phases=(Phase.generate, Phase.shrink),
)


def play(examples: int, steps: int) -> int:
    """Returns how many requests were made."""
    JobMachine.steps = 0
    run_state_machine_as_test(
        JobMachine, settings=settings(BASE, max_examples=examples, stateful_step_count=steps)
    )
    return JobMachine.steps


def test_the_jobs_api_keeps_to_its_model() -> None:
    assert play(examples=4, steps=25) >= 100


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_jobs_api_keeps_to_its_model_at_length() -> None:
    requests = play(examples=80, steps=50)
    print(f"state machine: 80 runs of 50 steps, {requests} requests")
    assert requests >= 3000

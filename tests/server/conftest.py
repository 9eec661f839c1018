"""Fixtures of the service's tests."""

from __future__ import annotations

import pytest

from sm3.remote.wire import JobState, JobView
from tests.conftest import RunningService, tiny_job


@pytest.fixture(scope="session")
def done(service: RunningService) -> JobView:
    """One job that has run to its end."""
    with service.client as client:
        job = client.launch(tiny_job())
    return service.wait_for(job.id, JobState.SUCCEEDED, timeout_s=120)

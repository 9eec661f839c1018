"""Fixtures of the service's tests."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from sm3.remote.wire import JobState, JobView
from tests.conftest import RunningService, tiny_job
from tests.postgres import MISSING, Postgres, find_binaries, running_postgres


@pytest.fixture(scope="session")
def done(service: RunningService) -> JobView:
    """One job that has run to its end."""
    with service.client as client:
        job = client.launch(tiny_job())
    return service.wait_for(job.id, JobState.SUCCEEDED, timeout_s=120)


@pytest.fixture
def http(service: RunningService) -> Iterator[httpx.Client]:
    """A plain HTTP client with the admin token."""
    headers = {"Authorization": f"Bearer {service.token}"}
    with httpx.Client(base_url=service.url, headers=headers, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server for the whole run; skips where the binary is not to be had."""
    if find_binaries() is None:
        pytest.skip(MISSING)
    with running_postgres() as server:
        yield server

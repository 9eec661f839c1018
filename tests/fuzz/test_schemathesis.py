"""Schemathesis, against a real service: what the OpenAPI says is what it does.

All checks are on but where `schemathesis.toml` says why one cannot hold.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RunningService

HERE = Path(__file__).parent
# No workers; no limit on wrong tokens, many of which are tried.
ENVIRONMENT = {"SM3_SLOTS": "0", "SM3_AUTH_FAILURES_PER_MINUTE": "0", "SM3_MAX_QUEUED": "1000000"}


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[RunningService]:
    """A service that starts no workers."""
    running = RunningService(tmp_path / "data", tmp_path / "cache", environment=ENVIRONMENT).start()
    yield running
    running.stop()


def fuzz(service: RunningService, *options: str, timeout_s: float) -> int:
    """Runs schemathesis; returns how many cases it tried. The token travels by environment, never by argument."""
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
            *("--config-file", str(HERE / "schemathesis.toml")),
            *("run", f"{service.url}/openapi.json"),
            *("--continue-on-failure", *options),
        ],
        env=os.environ
        | {
            "SM3_FUZZ_TOKEN": service.token,
            "SCHEMATHESIS_HOOKS": "tests.fuzz.schemathesis_hooks",
            "PYTHONPATH": str(HERE.parents[1]),
            "COLUMNS": "160",
        },
        cwd=service.data_dir,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    summary = done.stdout[done.stdout.rfind("= SUMMARY =") :]
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    print(summary)
    (cases,) = re.findall(r"(\d+) generated", summary)
    return int(cases)


def is_well(service: RunningService) -> None:
    """The service answers, and met no error of its own."""
    with service.client as client:
        assert client.is_ready()
    assert "Traceback" not in service.log
    assert service.token not in service.log


def test_the_service_does_what_its_openapi_says(idle: RunningService) -> None:
    assert fuzz(idle, "--seed", "7", "--phases", "fuzzing", "--max-examples", "2", timeout_s=110) >= 30
    is_well(idle)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_service_does_what_its_openapi_says_at_length(idle: RunningService, seed: str) -> None:
    cases = fuzz(idle, "--seed", seed, "--max-examples", "10", timeout_s=850)
    print(f"schemathesis, seed {seed}: {cases} cases")
    assert cases >= 500
    is_well(idle)

"""What loads torch and what must not."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "sm3",
        "sm3.cli",
        "sm3.ledger",
        "sm3.ledger.diagnose",
        "sm3.ledger.report",
        "sm3.remote.client",
        "sm3.remote.tracker",
        "sm3.remote.wire",
        "server.app",
        "server.job_ledger",
        "server.torch_process",
        "server.worker.simulating",
        "server.execution.__main__",
        "dashboard",
        "dashboard.session",
        "dashboard.views.learn",
        "dashboard.views.live",
    ],
)
def test_everything_but_training_loads_without_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr or f"{module} loads torch"

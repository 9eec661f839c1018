"""Documents that fail the build when they lie."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from server.settings import Settings
from sm3.remote.settings import ClientSettings
from tests.conftest import RunningService

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def block(language: str, containing: str) -> str:
    (found,) = [b for b in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if containing in b]
    return found


def test_the_readmes_loop_runs_and_keeps_a_number_a_row_and_column() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block("python", "from sm3 import SM3")],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    numbers = (256 + 64) + 256 + (1 + 256) + 1
    assert f"accumulators_bytes={4 * numbers}" in done.stdout


def test_the_readmes_curl_session_runs_as_printed(service: RunningService, tmp_path: Path) -> None:
    script = block("bash", "curl -sSN")
    for printed, here in (
        (".venv/bin/sm3 token", f"{sys.executable} -m sm3.cli token"),
        ("http://127.0.0.1:8000", service.url),
        ('"steps": 300', '"steps": 12'),
        ("python3 -c", f"{sys.executable} -c"),
    ):
        assert printed in script
        script = script.replace(printed, here)
    environment = os.environ | {"SM3_DATA_DIR": str(service.data_dir)}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "event: end" in done.stdout
    assert "'accumulator_bytes': 48896" in done.stdout
    assert '"val_loss"' in done.stdout
    assert (tmp_path / "frame.safetensors").stat().st_size > 1000


def test_every_setting_is_in_the_table_and_no_other() -> None:
    table = (ROOT / "docs" / "settings.md").read_text()
    documented = {name.lower() for name in re.findall(r"`SM3_(\w+)`", table)}
    assert documented >= set(Settings.model_fields) | set(ClientSettings.model_fields)
    assert documented <= set(Settings.model_fields) | set(ClientSettings.model_fields)


@pytest.mark.parametrize(
    "document",
    sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")], key=str),
    ids=lambda path: path.name,
)
def test_links_and_pictures_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), f"{document.name}: {target}"

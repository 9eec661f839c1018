"""Documents that fail the build when they lie."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from enum import StrEnum
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from server.service import Service
from server.settings import Settings
from sm3.remote.settings import SERVICE_SETTINGS, ClientSettings
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


def settings_table() -> dict[str, tuple[str, str]]:
    """Returns name to (default, meaning), as documented."""
    rows = re.findall(
        r"^\| `SM3_(\w+)` \| (.+?) \| (.+?) \|$", (ROOT / "docs" / "settings.md").read_text(), re.M
    )
    return {name.lower(): (default, meaning) for name, default, meaning in rows}


def test_every_setting_is_in_the_table_once_and_no_other_is() -> None:
    names = re.findall(r"^\|[^|]*`SM3_(\w+)`", (ROOT / "docs" / "settings.md").read_text(), re.M)
    assert sorted(map(str.lower, names)) == sorted({*Settings.model_fields, *ClientSettings.model_fields})
    assert set(settings_table()) == {*Settings.model_fields, *ClientSettings.model_fields}


def test_the_tables_defaults_are_the_codes() -> None:
    table = settings_table()
    for model in (Settings, ClientSettings):
        for name, field in model.model_fields.items():
            printed = re.fullmatch(r"`(.+)`", table[name][0])
            if field.default_factory is not None or field.default in {"", ()}:
                assert printed is None, f"{name}: its default is computed, so it is told in words"
            else:
                assert printed, name
                value = TypeAdapter(field.annotation).validate_python(printed[1], strict=False)
                assert value == field.default, name


def test_a_closed_set_is_listed_whole() -> None:
    table = settings_table()
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, StrEnum):
            assert all(f"`{member}`" in table[name][1] for member in field.annotation), name


def test_the_page_on_operation_lists_every_metric_and_no_other(tmp_path: Path) -> None:
    rows = re.findall(r"^\| (`sm3_.+?`) \| \w+ \|", (ROOT / "docs" / "operation.md").read_text(), re.M)
    documented = {
        name for row in rows for name in re.findall(r"`(sm3_\w+?)(?:_total|_info)?(?:\{.*?\})?`", row)
    }
    service = Service.open(Settings(data_dir=tmp_path))
    exported = {
        family.name for family in service.measures.registry.collect() if family.name.startswith("sm3_")
    }
    service.database.close()
    assert documented == exported


def test_clients_know_the_names_of_the_services_settings() -> None:
    assert set(Settings.model_fields) == SERVICE_SETTINGS


@pytest.mark.parametrize(
    "document",
    sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")], key=str),
    ids=lambda path: path.name,
)
def test_links_and_pictures_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), f"{document.name}: {target}"

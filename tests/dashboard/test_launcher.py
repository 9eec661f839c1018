"""The dashboard as a process."""

from __future__ import annotations

import gzip
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from dashboard import index_page
from dashboard.__main__ import main
from dashboard.views import PATHS
from tests.conftest import free_port
from tests.dashboard.conftest import RunningDashboard, running_dashboard


def get(url: str) -> tuple[int, str, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read()


def test_other_machines_are_let_in_only_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--host", "0.0.0.0"]) == 2
    assert "--open" in capsys.readouterr().err


def test_it_ends_when_told_to(tmp_path: Path) -> None:
    with running_dashboard(tmp_path, f"http://127.0.0.1:{free_port()}") as dashboard:
        assert dashboard.stop() == -signal.SIGTERM  # uvicorn ends what it serves, and dies of the signal then


def test_browser_code_is_served_as_javascript(dashboard: RunningDashboard) -> None:
    for name in ("live/index.js", "jobs_table/table.js", "plotly.min.js"):
        status, media_type, body = get(f"{dashboard.url}/scope-assets/any/{name}")
        assert (status, media_type.partition(";")[0]) == (200, "text/javascript"), name
        assert body


@pytest.mark.parametrize(
    "name", ["live/__init__.py", "../app.py", "live/../../app.py", "live/", "nothing.js"]
)
def test_nothing_else_is_served(dashboard: RunningDashboard, name: str) -> None:
    status, media_type, body = get(f"{dashboard.url}/scope-assets/any/{name}")
    assert status in {400, 404} or media_type.startswith("text/html"), (status, body[:100])
    assert b"set_page_config" not in body


def test_the_pages_load_no_torch() -> None:
    code = "import sys, dashboard.views.live, dashboard.views.jobs; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_first_page_is_at_the_root_and_its_name_leads_there(dashboard: RunningDashboard) -> None:
    with urllib.request.urlopen(f"{dashboard.url}/live?job=a%20b", timeout=20) as answer:
        assert answer.url == f"{dashboard.url}/?job=a%20b"


@pytest.mark.parametrize("base_path", ["", "scope", "/a/b/"])
def test_a_deep_link_is_told_where_its_server_is(base_path: str) -> None:
    """Otherwise Streamlit asks below the page's own path first; `test_accessibility` sees that consoles stay clean."""
    text = index_page.text("jobs")
    assert "BACKEND_BASE_URL" in text
    assert text.index("BACKEND_BASE_URL") < text.index('type="module"')
    paths = [route.path for route in index_page.routes(PATHS, base_path)]
    below = f"/{base_path.strip('/')}/" if base_path else "/"
    assert paths == [below, *(below + page for page in PATHS)]


@pytest.mark.parametrize("page", PATHS)
def test_a_page_names_ahead_what_it_needs(dashboard: RunningDashboard, page: str) -> None:
    _, _, body = get(f"{dashboard.url}/{page}")
    named = re.findall(r'(?:href|src)="(/scope-assets/[^"]+)"', body.decode())
    assert len(named) > 5
    for address in named:
        assert get(f"{dashboard.url}{address}")[:2] == (200, "text/javascript; charset=utf-8"), address
    assert any(address.endswith("plotly.min.js") for address in named) == (page not in {"jobs", "system"})


def test_plotly_comes_compressed_to_who_reads_that(dashboard: RunningDashboard) -> None:
    address = f"{dashboard.url}/scope-assets/any/plotly.min.js"
    _, _, plain = get(address)
    asked = urllib.request.Request(address, headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(asked, timeout=20) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(answer.read()) == plain
    assert plain.startswith(b"//# allFunctionsCalledOnLoad\n")

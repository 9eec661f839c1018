"""`sm3 doctor`: each fault is found, named, and comes with what to do."""

from __future__ import annotations

import fcntl
import json
import socket
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from server.diagnosis import store
from server.service import Service
from server.settings import Settings
from sm3.cli import app
from sm3.doctor import data_folder, machine, service
from sm3.doctor.command import line
from sm3.remote.health_views import Check, Verdict
from sm3.remote.settings import ClientSettings
from sm3.remote.wire import JobState
from tests.conftest import RunningService, free_port, tiny_job
from tests.test_cli import at, sm3

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def by_name(checks: Iterator[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_a_healthy_service_passes_every_check_for_people_and_for_programs(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = sm3("doctor", **at(service))
    assert told.returncode == 0, told.stdout
    assert "✕" not in told.stdout
    for name, value in at(service).items():
        monkeypatch.setenv(name, value)
    listed = CliRunner().invoke(app, ["doctor", "--json"])
    assert listed.exit_code == 0, listed.output
    document = json.loads(listed.stdout)
    assert document["ok"] is True
    names = {check["name"] for check in document["checks"]}
    assert names >= {
        "python",
        "clock",
        "data folder",
        "disk space",
        "token file",
        "settings",
        "store",
        "service",
        "versions",
        "clocks",
        "service: store",
        "token",
        "workers",
        "torch",
        "cuda",
        "kernel on cpu",
    }
    assert all(f" {name}" in told.stdout for name in names), "lines and document tell the same"


def test_a_failed_check_is_exit_status_1_and_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("sm3_x")
    (tmp_path / "token").chmod(0o644)
    tmp_path.chmod(0o700)
    told = sm3("doctor", SM3_DATA_DIR=str(tmp_path), SM3_URL=f"http://127.0.0.1:{free_port()}", SM3_PROT="1")
    assert told.returncode == 1
    assert "✕ token file" in told.stdout
    assert f"→ chmod 600 {tmp_path / 'token'}" in told.stdout
    assert "▲ settings" in told.stdout
    assert "Is SM3_PORT meant?" in told.stdout
    assert "▲ service" in told.stdout
    assert "sm3_x" not in told.stdout


def test_settings_that_are_not_allowed_fail_with_the_services_own_words(tmp_path: Path) -> None:
    told = sm3("doctor", "--json", SM3_DATA_DIR=str(tmp_path), SM3_PORT="70000", SM3_URL="http://127.0.0.1:9")
    found = {check["name"]: check for check in json.loads(told.stdout)["checks"]}
    assert told.returncode == 1
    assert found["settings"]["verdict"] == "failed"
    assert "SM3_PORT: given '70000'" in found["settings"]["found"]


def test_a_data_folder_is_judged_by_its_rights(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert by_name(data_folder.check(tmp_path / "file"))["data folder"].verdict is Verdict.FAILED
    (tmp_path / "open").mkdir(mode=0o755)
    assert by_name(data_folder.check(tmp_path / "open"))["data folder"].remedy.startswith("chmod 700")
    (tmp_path / "own").mkdir(mode=0o700)
    assert by_name(data_folder.check(tmp_path / "own"))["data folder"].verdict is Verdict.OK
    assert "first start" in by_name(data_folder.check(tmp_path / "not" / "there"))["data folder"].found


def test_little_room_is_told_before_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for free_bytes, verdict in ((2**40, Verdict.OK), (2**29, Verdict.WARNING), (2**20, Verdict.FAILED)):
        usage = type("Usage", (), {"free": free_bytes})
        monkeypatch.setattr(data_folder.shutil, "disk_usage", lambda _, found=usage: found)
        assert by_name(data_folder.check(tmp_path))["disk space"].verdict is verdict


def test_a_store_is_judged_by_soundness_and_schema(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    assert store(settings).found.startswith("none yet")
    Service.open(settings).database.close()
    path = tmp_path / "data" / "store.sqlite3"
    assert store(settings).verdict is Verdict.OK

    def set_revision(revision: str) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
            connection.commit()

    set_revision("0001")
    older = store(settings)
    assert (older.verdict, "sm3 backup" in older.remedy) == (Verdict.WARNING, True)
    set_revision("9999")
    newer = store(settings)
    assert (newer.verdict, "newer than this version knows" in newer.found) == (Verdict.FAILED, True)
    path.write_bytes(b"not a database at all " * 500)
    broken = store(settings)
    assert (broken.verdict, "sm3 restore" in broken.remedy) == (Verdict.FAILED, True)


@contextmanager
def answering(body: bytes, *, date: datetime, status: int = 200) -> Iterator[str]:
    """A server of somebody's that answers every request alike; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(status)
            self.send_header("Date", date.strftime("%a, %d %b %Y %H:%M:%S GMT"))
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def here(tmp_path: Path, url: str) -> ClientSettings:
    return ClientSettings(url=url, data_dir=tmp_path, token="x")


def test_another_version_and_another_time_are_told(tmp_path: Path) -> None:
    body = b'{"status": "ok", "version": "9.9.9"}'
    with answering(body, date=NOW + timedelta(days=1)) as url:
        found = by_name(service.check(here(tmp_path, url), NOW))
    assert found["versions"].verdict is Verdict.WARNING
    assert "the service is 9.9.9, this client " + version("sm3-scope") in found["versions"].found
    assert found["clocks"].found == "the service's is +86,400 s from the one here"
    assert found["readiness"].verdict is Verdict.FAILED


def test_what_the_service_finds_itself_is_passed_on(tmp_path: Path) -> None:
    check = {"name": "store", "verdict": "failed", "found": "it is gone", "remedy": "bring it back"}
    body = {"type": "t", "title": "t", "status": 503, "detail": "d", "version": "", "checks": [check]}
    with answering(json.dumps(body | {"status": "ok"}).encode(), date=NOW) as url:
        found = by_name(service.check(here(tmp_path, url), NOW))
    assert found["service: store"] == Check(**check | {"name": "service: store"})


@pytest.mark.parametrize("status", [200, 404])
def test_a_stranger_on_the_port_is_not_taken_for_the_service(tmp_path: Path, status: int) -> None:
    with answering(b"<html>", date=NOW, status=status) as url:
        (found,) = service.check(here(tmp_path, url), NOW)
    assert (found.verdict, found.name) == (Verdict.FAILED, "service")
    assert f"something else answers at {url} (HTTP {status})" == found.found


def test_a_port_that_is_held_without_http_is_told_apart_from_one_that_is_free(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:

        def hang_up() -> None:
            connection, _ = holder.accept()
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        port = holder.getsockname()[1]
        (held,) = service.check(here(tmp_path, f"http://127.0.0.1:{port}"), NOW)
        thread.join()
    assert (held.name, held.verdict) == ("port", Verdict.FAILED)
    assert f"sport = :{port}" in held.remedy
    (free,) = service.check(here(tmp_path, f"http://127.0.0.1:{free_port()}"), NOW)
    assert (free.verdict, free.remedy) == (Verdict.WARNING, "Start it: sm3 up")


def test_a_token_that_the_service_refuses_is_told(service_: RunningService, tmp_path: Path) -> None:
    found = by_name(service.check(here(tmp_path, service_.url), datetime.now(UTC)))
    assert found["token"].verdict is Verdict.FAILED
    assert found["service: store"].verdict is Verdict.OK


@pytest.fixture
def service_(request: pytest.FixtureRequest) -> RunningService:
    """The shared service, under a name that the module `sm3.doctor.service` does not have."""
    found: RunningService = request.getfixturevalue("service")
    return found


def test_live_workers_are_known_by_their_locks(service_: RunningService) -> None:
    settings = ClientSettings(url=service_.url, data_dir=service_.data_dir)
    with service_.client as client:
        job = client.launch(tiny_job(steps=100_000))
        service_.wait_for(job.id, lambda j: j.progress.frames > 1)
        alive = by_name(service.check(settings, datetime.now(UTC)))["workers"]
        client.cancel(job.id)
        service_.wait_for(job.id, JobState.CANCELLED)
    assert alive.verdict is Verdict.OK
    assert alive.found.startswith("all ")


def test_a_lock_is_held_only_while_its_process_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "attempt-0.lock"
    assert not service.holds_lock(path)
    with path.open("w") as lock:
        assert not service.holds_lock(path)
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert service.holds_lock(path)
    assert not service.holds_lock(path)


def test_a_missing_torch_is_told_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: str) -> str:
        raise PackageNotFoundError("torch")

    monkeypatch.setattr(machine, "version", gone)
    (found,) = machine.torch()
    assert (found.verdict, "pip install" in found.remedy) == (Verdict.FAILED, True)


def test_an_old_torch_and_a_missing_kernel_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from sm3.kernels import cpu

    monkeypatch.setattr(machine, "version", lambda _: "2.9.1+cpu")
    monkeypatch.setattr(cpu, "_cpu", None)
    found = by_name(machine.torch())
    assert found["torch"].verdict is Verdict.FAILED
    assert found["kernel on cpu"].verdict is Verdict.WARNING
    assert "C compiler" in found["kernel on cpu"].remedy


def test_a_clock_that_was_never_set_is_told() -> None:
    assert machine.clock(datetime(1970, 1, 1, tzinfo=UTC)).verdict is Verdict.WARNING
    assert machine.clock(NOW).verdict is Verdict.OK


def test_a_line_has_a_mark_that_needs_no_colour() -> None:
    marks = [line(Check(name="n", verdict=v, found="f", remedy="r")).plain for v in Verdict]
    assert [text[0] for text in marks] == ["✓", "▲", "✕"]
    assert ["→ r" in text for text in marks] == [False, True, True]

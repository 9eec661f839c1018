"""What every request passes: host, origin, size, pace, headers; over a real socket where that is what matters."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from server import problems
from server.answer_headers import SECURITY_HEADERS
from server.app import create_app
from server.docs_page import policy
from server.doors import hostname, is_loopback
from server.limits import BodyLimit
from server.problems import Refusal
from server.service import Service
from server.settings import Settings
from server.wire_protocol import GuardedHttp
from tests.conftest import free_port


@contextmanager
def client_of(folder: Path, **settings: object) -> Iterator[TestClient]:
    service = Service.open(Settings(data_dir=folder, slots=0, **settings))  # type: ignore[arg-type]
    with TestClient(
        create_app(service), base_url="http://127.0.0.1:8000", raise_server_exceptions=False
    ) as client:
        client.headers["Authorization"] = f"Bearer {service.settings.admin_token()}"
        yield client


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with client_of(tmp_path) as made:
        yield made


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "LOCALHOST:1", "[::1]:8000", "localhost."])
def test_our_own_names_are_let_in(client: TestClient, host: str) -> None:
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "evil@localhost", "localhost/x", "[::1", "", "127.0.0.1:x"],
)
def test_other_names_are_refused_as_a_problem(client: TestClient, host: str) -> None:
    answer = client.get("/healthz", headers={"Host": host})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == problems.MEDIA_TYPE
    assert answer.json()["type"] == "urn:sm3-scope:problem:foreign-host"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_names_that_are_set_are_let_in_and_no_others(tmp_path: Path) -> None:
    with client_of(tmp_path, allowed_hosts=("scope.example.org", "*.lab.example")) as client:
        for host, status in (
            ("scope.example.org", 200),
            ("a.lab.example", 200),
            ("lab.example", 400),
            ("localhost", 400),
        ):
            assert client.get("/healthz", headers={"Host": host}).status_code == status, host


FOREIGN = [
    "http://evil.example",
    "https://evil.example:8000",
    "null",
    "http://[",
    "http://127.0.0.1.evil.example",
]


@pytest.mark.parametrize("origin", FOREIGN)
def test_what_a_foreign_page_sends_changes_nothing(client: TestClient, origin: str) -> None:
    body = {"name": "x"}
    answer = client.post("/v1/tokens", json=body, headers={"Origin": origin})
    assert answer.status_code == 403
    assert answer.json()["type"] == "urn:sm3-scope:problem:foreign-origin"
    assert client.get("/v1/tokens").json()["items"] == []
    assert client.get("/healthz", headers={"Origin": origin}).status_code == 200, "reading is no change"


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8501", "http://localhost:8501", "http://[::1]:1"])
def test_pages_of_this_machine_may_ask_a_service_on_loopback(client: TestClient, origin: str) -> None:
    assert client.post("/v1/tokens", json={"name": "x"}, headers={"Origin": origin}).status_code == 201


def test_a_page_on_loopback_may_not_ask_a_service_elsewhere(tmp_path: Path) -> None:
    with client_of(tmp_path, allowed_hosts=("scope.example.org",)) as client:
        for origin, status in (("http://localhost:8501", 403), ("https://scope.example.org", 201)):
            headers = {"Origin": origin, "Host": "scope.example.org"}
            assert client.post("/v1/tokens", json={"name": "x"}, headers=headers).status_code == status


def test_cors_lets_listed_origins_alone_read_answers(tmp_path: Path) -> None:
    ours = "https://pages.example.org"
    with client_of(tmp_path, cors_origins=(ours,)) as client:
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        allowed = client.options("/v1/jobs", headers={"Origin": ours, **asked})
        assert allowed.headers["access-control-allow-origin"] == ours
        assert "access-control-allow-credentials" not in allowed.headers
        refused = client.options("/v1/jobs", headers={"Origin": "http://evil.example", **asked})
        assert "access-control-allow-origin" not in refused.headers
        assert client.post("/v1/tokens", json={"name": "x"}, headers={"Origin": ours}).status_code == 201


def test_without_a_setting_no_page_may_read_answers(client: TestClient) -> None:
    answer = client.get("/v1/jobs", headers={"Origin": "http://127.0.0.1:8501"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/healthz", "/v1/jobs", "/v1/jobs/nobody", "/nothing", "/v1/tokens", "/"])
def test_every_answer_carries_the_headers(client: TestClient, path: str) -> None:
    for headers in ({}, {"Authorization": ""}, {"Host": "evil.example"}):
        answer = client.get(path, headers=headers, follow_redirects=False)
        for name, value in SECURITY_HEADERS.items():
            assert answer.headers[name] == value, (path, name)


def test_an_internal_error_carries_them_too_and_tells_nothing(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("s3cret detail")

    monkeypatch.setattr("server.store.jobs.JobStore.page", fail)
    with structlog.testing.capture_logs():  # rich's traceback with all variables takes twenty seconds
        answer = client.get("/v1/jobs")
    assert answer.status_code == 500
    assert "s3cret" not in answer.text
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name] == value


def test_the_documentation_runs_its_own_script_alone(client: TestClient) -> None:
    answer = client.get("/docs")
    found = answer.headers["content-security-policy"]
    assert found == policy(answer.text)
    assert "'sha256-" in found
    scripts = found.partition("script-src")[2].partition(";")[0]
    assert "unsafe" not in scripts
    assert "frame-ancestors 'none'" in found


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("http://Example.org:80", "example.org"),
        ("//[::1]:8000", "::1"),
        ("http://u:p@example.org", ""),
        ("http://example.org:x", ""),
        ("http://example.org/path", ""),
        ("null", ""),
        ("", ""),
    ],
)
def test_a_host_name_is_read_from_an_address(address: str, name: str) -> None:
    assert hostname(address) == name


def test_loopback_is_known_by_its_names() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.9.9.9", "::1")))
    assert not any(map(is_loopback, ("", "192.0.2.1", "localhost.example", "0.0.0.0")))


# ── pace, over a real socket


class Hasty(GuardedHttp):
    head_s = 0.3


async def _length(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


async def _refusing(_: Request) -> PlainTextResponse:
    return PlainTextResponse("no", 401)


async def _refusal(request: Request, error: Exception) -> object:
    assert isinstance(error, Refusal)
    return problems.respond(error.problem, error.headers)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    app = Starlette(
        routes=[Route("/", _length, methods=["GET", "POST"]), Route("/refused", _refusing, methods=["POST"])],
        exception_handlers={Refusal: _refusal},  # type: ignore[dict-item]
    )
    app.add_middleware(BodyLimit, body_s=0.6)
    found = free_port()
    server = uvicorn.Server(
        uvicorn.Config(app, port=found, http=Hasty, log_level="error", h11_max_incomplete_event_size=2**14)
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield found
    server.should_exit = True
    thread.join(10)


def talk(port: int, *parts: bytes, pause_s: float = 0.0) -> bytes:
    """Sends ``parts``, ``pause_s`` apart, and returns all that comes until the service closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        for part in parts:
            try:
                sock.sendall(part)
            except (BrokenPipeError, ConnectionResetError):
                break
            time.sleep(pause_s)
        received = b""
        try:
            while chunk := sock.recv(65536):
                received += chunk
        except ConnectionResetError:
            pass
        return received


HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\n"


def test_a_connection_that_says_nothing_is_closed(port: int) -> None:
    assert talk(port) == b""


def test_a_head_that_dribbles_is_cut_off(port: int) -> None:
    dribble = [b"X-%d: y\r\n" % n for n in range(20)]
    assert talk(port, HEAD, *dribble, pause_s=0.1) == b""


def test_a_second_head_on_the_same_connection_has_no_more_time(port: int) -> None:
    whole = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answered = talk(port, whole, b"GET / HT", *[b"x"] * 20, pause_s=0.1)
    assert answered.count(b"200 OK") == 1


def test_a_head_that_is_too_large_is_refused(port: int) -> None:
    assert b"400 Bad Request" in talk(port, HEAD + b"X: " + b"y" * 200_000 + b"\r\n\r\n")


@pytest.mark.parametrize("framing", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"])
def test_a_body_that_dribbles_is_answered_408_and_cut_off(port: int, framing: bytes) -> None:
    part = b"1\r\nx\r\n" if b"chunked" in framing else b"x"
    answered = talk(port, HEAD + framing + b"\r\n\r\n", *[part] * 30, pause_s=0.05)
    assert answered.startswith(b"HTTP/1.1 408")
    assert b"too-slow" in answered
    assert b"connection: close" in answered.lower()


def test_a_declared_body_that_is_too_large_is_refused_unread(port: int) -> None:
    answered = talk(port, HEAD + b"Content-Length: 99999999\r\n\r\n")
    assert answered.startswith(b"HTTP/1.1 413")


def test_a_chunked_body_is_counted_as_it_comes(port: int) -> None:
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    answered = talk(port, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 20)
    assert answered == b"" or answered.startswith(b"HTTP/1.1 413")
    fits = talk(port, HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n", chunk, b"0\r\n\r\n")
    assert fits.endswith(b"65536")


def test_a_body_that_nobody_reads_does_not_hold_the_connection(port: int) -> None:
    head = HEAD.replace(b"POST /", b"POST /refused")
    answered = talk(port, head + b"Content-Length: 1000\r\n\r\n", *[b"x"] * 20, pause_s=0.1)
    assert answered.startswith(b"HTTP/1.1 401")

"""Who has to sign in, and what a session may do then."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlencode

import httpx
import pytest
from playwright.sync_api import Page, expect

from dashboard.headers import policy
from dashboard.sign_in import Policy, may_view, needed
from dashboard.sign_in_routes import _is_ours
from dashboard.signed_in import COOKIE, LIFE_S, SignedIn
from sm3.remote.tokens import NewToken, Scope, TokenSpec
from sm3.remote.wire import JobState
from tests.conftest import RunningService, tiny_job
from tests.dashboard.conftest import OpenPage, RunningDashboard, running_dashboard


@pytest.mark.parametrize(
    ("chosen", "on_loopback", "headers", "is_needed"),
    [
        (Policy.AUTO, True, {}, False),
        (Policy.AUTO, True, {"Host": "localhost:8501"}, False),
        (Policy.AUTO, True, {"Host": "127.0.0.1:8501"}, False),
        (Policy.AUTO, True, {"host": "[::1]:8501"}, False),
        (Policy.AUTO, True, {"Host": "scope.example.org"}, True),
        (Policy.AUTO, True, {"Host": "localhost", "X-Forwarded-For": "192.0.2.1"}, True),
        (Policy.AUTO, False, {"Host": "localhost:8501"}, True),
        (Policy.AUTO, False, {}, True),
        (Policy.ALWAYS, True, {}, True),
        (Policy.NEVER, False, {"Host": "scope.example.org"}, False),
    ],
)
def test_only_a_browser_of_this_machine_need_not_sign_in(
    chosen: Policy, on_loopback: bool, headers: dict[str, str], is_needed: bool
) -> None:
    assert needed(chosen, on_loopback=on_loopback, headers=headers) is is_needed


@pytest.mark.parametrize(
    ("email", "viewers", "may"),
    [
        ("ada@example.org", (), True),
        ("Ada@Example.org", ("ada@example.org",), True),
        ("bob@example.org", ("ada@example.org",), False),
        ("bob@example.org", ("@example.org",), True),
        ("bob@evil-example.org", ("@example.org",), False),
        ("", ("@",), False),
    ],
)
def test_who_may_look_is_a_list_of_addresses_and_domains(
    email: str, viewers: tuple[str, ...], may: bool
) -> None:
    assert may_view(email, viewers) is may


@pytest.fixture(scope="module")
def guarded(service: RunningService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDashboard]:
    """A dashboard at which everyone signs in though it holds the admin token."""
    folder = tmp_path_factory.mktemp("guarded")
    with running_dashboard(folder, service.url, service.token, "--sign-in", "always") as running:
        yield running
        assert "Traceback" not in running.log.read_text()


@pytest.fixture
def viewer(service: RunningService) -> NewToken:
    """A token that may look."""
    with service.client as client:
        return client.create_token(TokenSpec(name="viewer", scope=Scope.VIEW))


def give(page: Page, token: str) -> None:
    """Types a token and sends it."""
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()


@pytest.mark.browser
def test_a_viewer_signs_in_once_stays_so_over_reloads_and_signs_out(
    guarded: RunningDashboard, service: RunningService, viewer: NewToken, open_page: OpenPage
) -> None:
    page = open_page(f"{guarded.url}/learn?lesson=2")
    give(page, "wrong")
    expect(page.get_by_text("The service does not know this token.")).to_be_visible()
    give(page, viewer.secret)
    expect(page.locator(".sm3-board")).to_be_visible()
    page.wait_for_url(lambda url: "lesson=2" in url)
    assert "sign-in" not in page.url
    page.reload()
    expect(page.locator(".sm3-board")).to_be_visible()
    (cookie,) = [c for c in page.context.cookies() if c["name"] == COOKIE]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert viewer.secret not in cookie["value"]
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    page.context.add_cookies([{"name": COOKIE, "value": cookie["value"], "url": guarded.url}])
    page.reload()  # the old cookie is good for nothing
    expect(page.get_by_label("Token")).to_be_visible()


@pytest.mark.browser
def test_a_revoked_token_opens_nothing_and_another_one_can_be_given(
    guarded: RunningDashboard, service: RunningService, viewer: NewToken, open_page: OpenPage
) -> None:
    page = open_page(f"{guarded.url}/system")
    give(page, viewer.secret)
    expect(page.get_by_role("heading", level=1)).to_contain_text("slot")
    with service.client as client:
        client.revoke_token(viewer.id)
    page.reload()
    expect(page.get_by_text("refuses")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()


def post(dashboard: RunningDashboard, path: str, body: str, **headers: str) -> httpx.Response:
    own = {"Origin": dashboard.url, "Content-Type": "application/x-www-form-urlencoded"}
    return httpx.post(f"{dashboard.url}{path}", content=body, headers=own | headers, timeout=20)


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out"])
def test_another_sites_form_changes_nothing(guarded: RunningDashboard, viewer: NewToken, path: str) -> None:
    for origin in (
        "https://evil.example",
        "null",
        "",
        "http://[::1",
        guarded.url.replace("127.0.0.1", "127.0.0.2"),
    ):
        answer = post(guarded, path, f"token={viewer.secret}", Origin=origin)
        assert (answer.status_code, answer.headers.get("set-cookie")) == (403, None)
    assert post(guarded, path, "x" * 10_000).status_code == 403
    assert httpx.get(f"{guarded.url}{path}").headers.get("set-cookie") is None


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "evil.example",
        "/a%0d%0aX:1",
        "",
        "/%00",
    ],
)
def test_signing_in_leads_nowhere_else(guarded: RunningDashboard, viewer: NewToken, wanted: str) -> None:
    answer = post(guarded, "/sign-in", urlencode({"token": viewer.secret}) + f"&to={wanted}")
    assert answer.status_code == 303
    assert answer.headers["location"] == "./"


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        ("https://scope.example.org:8443", "scope.example.org", True),  # nginx's $host
        ("https://scope.example.org:8443", "scope.example.org:8443", True),
        ("https://scope.example.org:8443", "scope.example.org:8444", False),
        ("https://evil.example", "scope.example.org", False),
        ("", "", False),
    ],
)
def test_a_proxy_may_leave_out_the_port_and_nothing_else(origin: str, host: str, expected: bool) -> None:
    assert _is_ours(origin, host) is expected


def test_behind_tls_the_cookie_is_for_tls_alone(guarded: RunningDashboard, viewer: NewToken) -> None:
    body = urlencode({"token": viewer.secret, "to": "/jobs?state=failed"})
    plain = post(guarded, "/sign-in", body)
    assert plain.headers["location"] == "/jobs?state=failed"
    assert "secure" not in plain.headers["set-cookie"].lower()
    proxied = post(guarded, "/sign-in", body, **{"X-Forwarded-Proto": "https"})
    assert "secure" in proxied.headers["set-cookie"].lower()


@pytest.mark.parametrize("token", ["wrong", "", "schlüssel", "a b", "x" * 4000])
def test_what_is_no_token_is_told_so(guarded: RunningDashboard, token: str) -> None:
    answer = post(guarded, "/sign-in", urlencode({"token": token, "to": "/jobs"}))
    assert (answer.status_code, answer.headers["location"]) == (303, "/jobs?sign-in=unknown")
    assert "set-cookie" not in answer.headers


def test_an_entry_ends_by_time_by_hand_and_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    signed_in = SignedIn(lambda: now[0])
    first, second = signed_in.add("a"), signed_in.add("b")
    assert (signed_in.token(first), signed_in.token(second), signed_in.token("")) == ("a", "b", "")
    signed_in.drop(first)
    assert signed_in.token(first) == ""
    now[0] = LIFE_S
    assert signed_in.token(second) == ""
    monkeypatch.setattr("dashboard.signed_in.MAX_ENTRIES", 2)
    ids = [signed_in.add(token) for token in "cde"]
    assert [signed_in.token(session_id) for session_id in ids] == ["", "d", "e"]


def test_the_dashboards_answers_carry_a_policy(dashboard: RunningDashboard, service: RunningService) -> None:
    with urllib.request.urlopen(dashboard.url, timeout=20) as answer:
        headers = answer.headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "SAMEORIGIN"
    assert headers["Content-Security-Policy"] == policy(f"127.0.0.1:{service.port}")
    assert "unsafe-eval" not in headers["Content-Security-Policy"].replace("wasm-unsafe-eval", "")


@pytest.mark.parametrize(("host", "status"), [("evil.example", b"403"), ("localhost", b"101")])
def test_another_host_name_does_not_reach_the_page(
    dashboard: RunningDashboard, host: str, status: bytes
) -> None:
    """Streamlit checks the name where the page's WebSocket opens."""
    head = (
        f"GET /_stcore/stream HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", dashboard.port), timeout=20) as raw:
        raw.sendall(head.encode())
        assert raw.recv(12) == b"HTTP/1.1 " + status


@pytest.mark.browser
def test_the_live_view_draws_under_the_policy(
    dashboard: RunningDashboard, service: RunningService, open_page: OpenPage
) -> None:
    """A page error or a line on the console's error channel fails `open_page`."""
    with service.client as client:
        job = client.launch(tiny_job())
    service.wait_for(job.id, JobState.SUCCEEDED, timeout_s=120)
    page = open_page(f"{dashboard.url}/?job={job.id}", bypass_csp=False)
    page.locator(".js-plotly-plot").first.wait_for()

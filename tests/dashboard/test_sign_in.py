"""Who has to sign in, and what a session may do then."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import dashboard
from dashboard import sign_in
from dashboard.headers import policy
from dashboard.sign_in import Policy, may_view, needed
from sm3.remote.tokens import Scope, TokenSpec
from sm3.remote.wire import JobState
from tests.conftest import RunningService, tiny_job
from tests.dashboard.conftest import OpenPage, RunningDashboard

APP = Path(dashboard.__file__).with_name("app.py")


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


@pytest.fixture
def guarded(service: RunningService, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningService]:
    """The shared service, and a dashboard at which everyone signs in though it holds the admin token."""
    monkeypatch.setenv("SM3_URL", service.url)
    monkeypatch.setenv("SM3_TOKEN", service.token)
    monkeypatch.setattr(sign_in._Launched, "policy", Policy.ALWAYS)
    yield service
    st.cache_resource.clear()


def words(app: AppTest) -> str:
    return "\n".join(element.value for element in app.markdown)


def test_a_viewer_signs_in_with_a_token_and_never_has_the_dashboards_own(guarded: RunningService) -> None:
    with guarded.client as client:
        viewer = client.create_token(TokenSpec(name="viewer", scope=Scope.VIEW))
    app = AppTest.from_file(str(APP), default_timeout=30).run()
    assert not app.exception
    assert "Sign in" in words(app)
    app.text_input[0].set_value("wrong")
    app.button[0].click().run()
    assert "does not know this token" in words(app)
    app.text_input[0].set_value(viewer.secret)
    app.button[0].click().run()
    assert not app.exception
    assert "Give a token" not in words(app)
    assert app.session_state["sign_in/token"] == viewer.secret
    with guarded.client as client:
        client.revoke_token(viewer.id)
    app.run()
    assert "refuses" in words(app)


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

"""The authorisation matrix: every route × every kind of token, and that a refused request changes nothing.

`TABLE` (`who_may.py`) is written by hand: a route that is not in it fails the suite, so that nobody adds one without
deciding who may call it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import RouteContext
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from server.app import create_app
from server.auth import Needs, digest
from server.openapi import needs_of, routes
from server.service import Service
from server.settings import Settings
from server.store.tables import JobRow
from sm3.remote.tokens import Scope, TokenSpec
from sm3.remote.wire import JobState
from tests.conftest import tiny_job
from tests.server.who_may import TABLE
from tests.store_rows import rows

SOCKETS = {"WS /v1/jobs/{job_id}/live"}
"""WebSockets: opened by a ticket, which `POST /v1/jobs/{job_id}/tickets` gives to those who may view."""

BODIES: dict[str, Any] = {
    "POST /v1/jobs": {"recipe": {"name": "language-model"}},
    "POST /v1/comparisons": {
        "base": {"recipe": {"name": "language-model"}, "steps": 3},
        "variants": [{"name": "a"}, {"name": "b", "change": {"optimizer": {"momentum": 0.0}}}],
    },
    "POST /v1/jobs/{job_id}/report": {"attempt": 0, "phase": "reading"},
    "POST /v1/tokens": {"name": "x"},
    "POST /v1/ledger": {"model": "gpt2-small"},
    "POST /v1/simulations": {"shape": [1], "gradients": [[1.0]], "covers": [{"kind": "whole"}]},
    "POST /v1/schedules": {"total_steps": 2},
    "PATCH /v1/jobs/{job_id}": {"notes": "written by somebody"},
    "POST /v1/jobs/{job_id}/clone": {},
}


def walk(app: FastAPI) -> dict[str, RouteContext]:
    """Returns ``METHOD path`` to route for everything the app answers; HEAD comes with GET."""
    found: dict[str, RouteContext] = {}
    for route in routes(app):
        if isinstance(route.original_route, WebSocketRoute):
            found[f"WS {route.path}"] = route
            continue
        assert isinstance(route.original_route, Route), f"{route.path}: this test does not know such routes"
        for method in sorted((route.methods or set()) - {"HEAD", "OPTIONS"}):
            found[f"{method} {route.path}"] = route
    return found


@dataclass
class Place:
    """A service in this process, with two jobs, a comparison and a token of every kind."""

    app: FastAPI
    service: Service
    client: TestClient
    ids: dict[str, str]
    secrets: dict[str, str] = field(default_factory=dict)

    def ask(self, name: str, secret: str | None) -> tuple[int, dict[str, Any]]:
        method, _, path = name.partition(" ")
        path = path.format(attempt=0, seq=0, step=1, **self.ids)
        query = {"follow": "false"} if path.endswith("/events") else None
        headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
        answer = self.client.request(
            method, path, headers=headers, json=BODIES.get(name), params=query, follow_redirects=False
        )
        is_problem = answer.headers.get("content-type") == "application/problem+json"
        return answer.status_code, answer.json() if is_problem else {}

    def state(self) -> dict[str, list[Any]]:
        return rows(self.service.settings.data_dir)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    settings = Settings(data_dir=tmp_path, slots=0, auth_failures_per_minute=0)
    service = Service.open(settings)
    now = [1_000_000.0]
    tokens = service.access.tokens
    object.__setattr__(tokens, "now", lambda: now[0])
    app = create_app(service)
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        client.headers["Host"] = "127.0.0.1:8000"
        mine, other = service.jobs.create(tiny_job()), service.jobs.create(tiny_job())
        secrets = {
            "ingest of an older attempt": "sm3i_older",
            "ingest of another job": "sm3i_other",
            "ingest": "sm3i_mine",
            "ingest made up": "sm3i_nobody",
        }
        for job, secret in ((mine, "ingest"), (other, "ingest of another job")):
            claimed = service.jobs.claim(digest(secrets[secret]))
            assert claimed is not None
            assert claimed.id == job.id
        comparison = client.post(
            "/v1/comparisons",
            json=BODIES["POST /v1/comparisons"],
            headers={"Authorization": f"Bearer {settings.admin_token()}"},
        ).json()
        secrets["admin token"] = settings.admin_token()
        for scope in Scope:
            secrets[scope.value] = tokens.create(TokenSpec(name=scope.value, scope=scope)).secret
            expired = tokens.create(TokenSpec(name="expired", scope=scope, expires_in_s=1))
            revoked = tokens.create(TokenSpec(name="revoked", scope=scope))
            rotated = tokens.create(TokenSpec(name="rotated", scope=scope))
            tokens.revoke(revoked.id)
            tokens.rotate(rotated.id, grace_s=0)
            for how, made in (("expired", expired), ("revoked", revoked), ("rotated", rotated)):
                secrets[f"{how} {scope.value}"] = made.secret
        now[0] += 2
        victim = tokens.create(TokenSpec(name="victim"))
        secrets["wrong"] = victim.secret[:-1] + ("A" if victim.secret[-1] != "A" else "B")
        secrets["digest"] = digest(victim.secret)
        ids = {"job_id": mine.id, "comparison_id": comparison["id"], "token_id": victim.id}
        yield Place(app, service, client, ids, secrets)


def test_every_route_is_in_the_table_and_needs_what_the_table_says(place: Place) -> None:
    found = walk(place.app)
    assert set(found) == set(TABLE) | SOCKETS, "decide who may call it, and say so in TABLE"
    for name, needed in TABLE.items():
        assert needs_of(found[name]) == needed, name


def expected(needed: Needs | None, who: str | None) -> int | None:
    """Returns the status of a refusal, None where the request is let in."""
    if needed is None:
        return None
    if who is None or who.partition(" ")[0] in {"wrong", "digest", "expired", "revoked", "rotated"}:
        return 401
    if who.startswith("ingest"):
        return None if needed.or_worker and who == "ingest" else 403
    scope = Scope.ADMIN if who == "admin token" else Scope(who)
    return None if scope.covers(needed.scope) else 403


def test_every_route_refuses_every_token_that_may_not_and_nothing_changes(place: Place) -> None:
    before, refused = place.state(), 0
    for name, needed in TABLE.items():
        for who, secret in ((None, None), *place.secrets.items()):
            status = expected(needed, who)
            if status is None:
                continue
            answered, problem = place.ask(name, secret)
            assert (answered, problem.get("status")) == (status, status), f"{name} with {who} token"
            assert problem["type"].endswith("unauthorized" if status == 401 else "forbidden")
            refused += 1
    assert place.state() == before
    assert refused > 450


@pytest.mark.parametrize("name", TABLE)
def test_every_route_lets_in_whom_it_should(place: Place, name: str) -> None:
    before = place.state()
    changed_by = []
    for who, secret in ((None, None), *place.secrets.items()):
        if expected(TABLE[name], who) is not None:
            continue
        status, problem = place.ask(name, secret)
        assert status not in {401, 403}, f"{name} with {who} token: {problem}"
        assert status < 500
        if place.state() != before:
            changed_by.append(who)
            before = place.state()
    is_safe = name.startswith("GET") or name.endswith("/tickets")
    assert not (is_safe and changed_by), f"{name} changed the store"
    if name == "POST /v1/jobs":
        assert changed_by == ["admin token", "launch", "admin"]


def test_an_ingest_token_ends_with_its_attempt_and_its_job(place: Place) -> None:
    job_id, old = place.ids["job_id"], place.secrets["ingest"]
    assert place.ask("GET /v1/jobs/{job_id}", old)[0] == 200
    with place.service.database.write() as session:  # as the next attempt does
        row = session.get(JobRow, job_id)
        assert row is not None
        row.attempt, row.ingest_digest = row.attempt + 1, digest("sm3i_next")
    assert place.ask("GET /v1/jobs/{job_id}", old)[0] == 403
    assert place.ask("POST /v1/jobs/{job_id}/report", old)[0] == 403
    assert place.ask("GET /v1/jobs/{job_id}", "sm3i_next")[0] == 200
    place.service.jobs.move(job_id, JobState.FAILED, "test")
    assert place.ask("GET /v1/jobs/{job_id}", "sm3i_next")[0] == 403


def test_a_worker_cannot_speak_for_another_attempt(place: Place) -> None:
    with place.service.database.write() as session:
        row = session.get(JobRow, place.ids["job_id"])
        assert row is not None
        row.attempt = 1
    status, problem = place.ask("POST /v1/jobs/{job_id}/report", place.secrets["ingest"])
    assert status == 409
    assert "attempt 0 given" in problem["detail"]


def test_schemes_other_than_bearer_are_refused(place: Place) -> None:
    secret = place.secrets["admin"]
    for header in (f"Basic {secret}", f"Token {secret}", secret, "Bearer", "Bearer ", f"Bearer {secret} x"):
        answer = place.client.get("/v1/jobs", headers={"Authorization": header})
        assert answer.status_code == 401, header
        assert answer.headers["www-authenticate"] == "Bearer"
    assert place.client.get("/v1/jobs", params={"token": secret}).status_code == 401
    assert place.client.get("/v1/jobs", headers={"Cookie": f"token={secret}"}).status_code == 401


def test_a_refused_request_is_told_before_its_body_is_judged(place: Place) -> None:
    answer = place.client.post("/v1/jobs", json={"nonsense": True})
    assert answer.status_code == 401
    long = "x" * 200
    assert place.client.get(f"/v1/jobs/{long}").status_code == 401


# ── tickets


def ticket(place: Place, who: str = "view", job: str = "") -> str:
    answer = place.client.post(
        f"/v1/jobs/{job or place.ids['job_id']}/tickets",
        headers={"Authorization": f"Bearer {place.secrets[who]}"},
    )
    assert answer.status_code == 201
    return str(answer.json()["ticket"])


def opens(place: Place, pass_: str, origin: str | None = None) -> bool:
    headers = {} if origin is None else {"Origin": origin}
    address = f"/v1/jobs/{place.ids['job_id']}/live?ticket={pass_}"
    opened = False
    # Starlette's test client cancels the application as it leaves; that may arrive here.
    with (
        suppress(WebSocketDisconnect, CancelledError),
        place.client.websocket_connect(address, headers=headers) as socket,
    ):
        assert json.loads(socket.receive_text())["type"] == "job"
        opened = True
    return opened


def test_a_ticket_opens_the_socket_once(place: Place) -> None:
    pass_ = ticket(place)
    assert opens(place, pass_)
    assert not opens(place, pass_)
    assert not opens(place, "")
    assert not opens(place, place.secrets["admin"])


def test_a_ticket_is_good_for_its_own_job_alone(place: Place) -> None:
    other = place.service.jobs.create(tiny_job())
    assert not opens(place, ticket(place, job=other.id))


def test_a_ticket_does_not_survive_its_token(place: Place) -> None:
    tokens = place.service.access.tokens
    (found,) = [t for t in tokens.page(after=None, limit=500).items if t.name == "view"]
    pass_ = ticket(place)
    tokens.revoke(found.id)
    assert not opens(place, pass_)


def test_an_open_socket_does_not_survive_its_token(place: Place) -> None:
    place.service.settings.__dict__["heartbeat_s"] = 0.05
    tokens = place.service.access.tokens
    (found,) = [t for t in tokens.page(after=None, limit=500).items if t.name == "view"]
    address = f"/v1/jobs/{place.ids['job_id']}/live?ticket={ticket(place)}"
    with place.client.websocket_connect(address) as socket:
        assert json.loads(socket.receive_text())["type"] == "job"
        tokens.revoke(found.id)
        while (message := socket.receive())["type"] != "websocket.close":
            assert "text" in message or "bytes" in message
    assert message["code"] == 1008


def test_an_event_stream_does_not_survive_its_token(place: Place) -> None:
    place.service.settings.__dict__["heartbeat_s"] = 1.0
    tokens = place.service.access.tokens
    (found,) = [t for t in tokens.page(after=None, limit=500).items if t.name == "view"]
    address = f"/v1/jobs/{place.ids['job_id']}/events"
    headers = {"Authorization": f"Bearer {place.secrets['view']}"}
    tokens_find = tokens.find
    calls: list[bool] = []

    def find(secret_digest: str) -> Any:
        calls.append(True)
        if len(calls) == 2:  # let in, then revoked
            tokens.revoke(found.id)
        return tokens_find(secret_digest)

    object.__setattr__(tokens, "find", find)
    with place.client.stream("GET", address, headers=headers) as stream:
        assert stream.status_code == 200
        text = stream.read().decode()  # which ends
    assert "event: state" in text


# ── what the OpenAPI says


def test_the_openapi_says_what_every_operation_needs(place: Place) -> None:
    document = place.client.get("/openapi.json").json()
    assert set(document["components"]["securitySchemes"]) == {"token", "worker"}
    shown = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            name = f"{method.upper()} {path}"
            needed = TABLE[name]
            shown.add(name)
            if needed is None:
                assert operation["security"] == []
                continue
            assert {"token": [needed.scope.value]} in operation["security"]
            assert ({"worker": []} in operation["security"]) == needed.or_worker
            assert f"scope `{needed.scope.value}`" in operation["description"]
    assert shown == set(TABLE) - {"GET /", "GET /docs", "GET /openapi.json"}


def test_the_documents_table_of_scopes_is_the_routes(place: Place) -> None:
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    rows = re.findall(r"^\| `((?:GET|POST|PUT|PATCH|DELETE) \S+)` \| ([^|]+) \|", page, re.MULTILINE)
    said = {name: text.strip() for name, text in rows}
    assert len(rows) == len(said)
    words = {
        name: "everyone"
        if needed is None
        else f"`{needed.scope.value}`" + (" or the job's worker" if needed.or_worker else "")
        for name, needed in TABLE.items()
    }
    assert said == words

"""Tokens: made, found, rotated, revoked; the throttle on those that are wrong; the file of the admin token."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from server.access import Access, AdminToken, Principal
from server.problems import Refusal
from server.store import Database, EndedToken, TokenStore, UnknownToken
from server.store.tokens import digest
from server.throttle import MAX_ADDRESSES, Throttle, network
from server.tickets import MAX_TICKETS, Tickets
from sm3.remote import token_file
from sm3.remote.bearer import Bearer
from sm3.remote.tokens import Scope, TokenSpec


@pytest.fixture
def clock() -> list[float]:
    return [1_000_000.0]


@pytest.fixture
def tokens(tmp_path: Path, clock: list[float]) -> Iterator[TokenStore]:
    database = Database(f"sqlite:///{tmp_path / 'store.sqlite3'}")
    yield TokenStore(database, now=lambda: clock[0])
    database.close()


def test_scopes_are_nested() -> None:
    allowed = {(held, needed) for held in Scope for needed in Scope if held.covers(needed)}
    assert allowed == {
        ("view", "view"),
        ("launch", "view"),
        ("launch", "launch"),
        ("admin", "view"),
        ("admin", "launch"),
        ("admin", "admin"),
    }


def test_a_token_is_found_by_its_secret_alone(tokens: TokenStore) -> None:
    made = tokens.create(TokenSpec(name="n", scope=Scope.LAUNCH))
    found = tokens.find(digest(made.secret))
    assert found is not None
    assert (found.id, found.scope) == (made.id, Scope.LAUNCH)
    assert tokens.find(digest(made.secret + "x")) is None
    assert tokens.find(made.secret) is None
    assert tokens.find("") is None


def test_secrets_have_256_bits_and_none_is_stored(tokens: TokenStore, tmp_path: Path) -> None:
    secrets = {tokens.create(TokenSpec(name="n")).secret for _ in range(20)}
    assert len(secrets) == 20
    assert all(len(secret.removeprefix("sm3t_")) == 43 for secret in secrets)
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("store.sqlite3*"))
    for secret in secrets:
        assert secret.encode() not in stored
        assert digest(secret).encode() in stored


def test_a_token_ends_when_it_expires(tokens: TokenStore, clock: list[float]) -> None:
    made = tokens.create(TokenSpec(name="n", expires_in_s=60))
    clock[0] += 59
    assert tokens.find(digest(made.secret))
    clock[0] += 1
    assert tokens.find(digest(made.secret)) is None
    with pytest.raises(EndedToken):
        tokens.rotate(made.id, grace_s=0)
    assert tokens.get(made.id).rotated_at is None


def test_a_revoked_token_ends_at_once_and_stays_listed(tokens: TokenStore, clock: list[float]) -> None:
    made = tokens.create(TokenSpec(name="n"))
    old = made.secret
    made = tokens.rotate(made.id, grace_s=3600)
    revoked = tokens.revoke(made.id)
    assert tokens.find(digest(made.secret)) is None
    assert tokens.find(digest(old)) is None, "its grace ends too"
    clock[0] += 10
    assert tokens.revoke(made.id) == revoked, "revoking twice changes nothing"
    assert [item.id for item in tokens.page(after=None, limit=10).items] == [made.id]
    with pytest.raises(EndedToken):
        tokens.rotate(made.id, grace_s=0)


@pytest.mark.parametrize("grace_s", [0, 60])
def test_rotation_ends_the_old_secret_at_once_or_after_its_grace(
    tokens: TokenStore, clock: list[float], grace_s: int
) -> None:
    made = tokens.create(TokenSpec(name="n"))
    new = tokens.rotate(made.id, grace_s=grace_s)
    assert new.secret != made.secret
    assert tokens.find(digest(new.secret))
    assert (tokens.find(digest(made.secret)) is not None) == bool(grace_s)
    clock[0] += grace_s
    assert tokens.find(digest(made.secret)) is None
    assert tokens.get(made.id).old_secret_until is None


def test_a_second_rotation_ends_the_grace_of_the_first(tokens: TokenStore) -> None:
    first = tokens.create(TokenSpec(name="n"))
    second = tokens.rotate(first.id, grace_s=3600)
    third = tokens.rotate(first.id, grace_s=3600)
    good = [tokens.find(digest(made.secret)) is not None for made in (first, second, third)]
    assert good == [False, True, True]


def test_use_is_noted_to_the_minute(tokens: TokenStore, clock: list[float]) -> None:
    made = tokens.create(TokenSpec(name="n"))
    tokens.used(tokens.get(made.id))
    first = tokens.get(made.id).last_used_at
    clock[0] += 59
    tokens.used(tokens.get(made.id))
    assert tokens.get(made.id).last_used_at == first
    clock[0] += 1
    tokens.used(tokens.get(made.id))
    assert tokens.get(made.id).last_used_at != first


def test_unknown_tokens_are_told(tokens: TokenStore) -> None:
    for call in (tokens.get, tokens.revoke, lambda id_: tokens.rotate(id_, grace_s=0)):
        with pytest.raises(UnknownToken):
            call("nobody")


def test_tokens_are_paged(tokens: TokenStore) -> None:
    ids = [tokens.create(TokenSpec(name=str(n))).id for n in range(5)]
    first = tokens.page(after=None, limit=3)
    second = tokens.page(after=first.next, limit=3)
    assert [item.id for item in (*first.items, *second.items)] == ids[::-1]
    assert second.next is None


# ── the admin token's file


def test_a_rotated_file_holds_at_once_and_a_missing_one_lets_nobody_in(tmp_path: Path) -> None:
    old = token_file.ensure(tmp_path)
    admin = AdminToken("", tmp_path)
    assert admin.matches(digest(old))
    new = token_file.rotate(tmp_path)
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    assert new != old
    assert admin.matches(digest(new))
    assert not admin.matches(digest(old))
    (tmp_path / "token").unlink()
    assert not admin.matches(digest(new))
    assert not admin.matches(digest(""))
    with pytest.raises(FileNotFoundError):
        token_file.rotate(tmp_path)


def test_a_client_notices_a_rotated_token() -> None:
    token, seen = ["old"], []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization"))
        return httpx.Response(200 if seen[-1] == "Bearer new" else 401)

    with httpx.Client(
        base_url="http://s", auth=Bearer(lambda: token[0]), transport=httpx.MockTransport(answer)
    ) as client:
        assert client.get("/").status_code == 401
        assert seen == ["Bearer old"], "nothing newer: asked once"
        token[0] = "new"
        assert client.get("/").status_code == 200
        assert client.get("/").status_code == 200
    assert seen == ["Bearer old", "Bearer old", "Bearer new", "Bearer new"]


# ── the throttle


def access(tokens: TokenStore, folder: Path, chosen: str = "", limit: int = 3) -> Access:
    token_file.ensure(folder)
    return Access(AdminToken(chosen, folder), tokens, Throttle(limit, now=tokens.now))


def test_too_many_failures_of_one_address_are_told_to_wait(
    tokens: TokenStore, tmp_path: Path, clock: list[float]
) -> None:
    here = access(tokens, tmp_path)
    for _ in range(3):
        assert here.identify("wrong", "192.0.2.1") is None
    with pytest.raises(Refusal) as refused:
        here.identify("wrong", "192.0.2.1")
    assert refused.value.problem.status == 429
    assert refused.value.headers == {"Retry-After": "60"}
    assert here.identify("wrong", "192.0.2.2") is None, "another address"
    assert here.identify("", "192.0.2.1") is None, "no token is no guess"
    clock[0] += 60
    assert here.identify("wrong", "192.0.2.1") is None


def test_machine_made_tokens_are_let_in_whatever_others_do_at_their_address(
    tokens: TokenStore, tmp_path: Path
) -> None:
    here = access(tokens, tmp_path)
    made = tokens.create(TokenSpec(name="n"))
    for _ in range(3):
        here.identify("wrong", "192.0.2.1")
    assert here.identify(token_file.read(tmp_path), "192.0.2.1") is not None
    assert here.identify(made.secret, "192.0.2.1") is not None


def test_a_token_that_a_person_chose_cannot_be_guessed_from_an_address_that_fails(
    tokens: TokenStore, tmp_path: Path, clock: list[float]
) -> None:
    here = access(tokens, tmp_path, chosen="correct horse")
    assert here.identify("correct horse", "192.0.2.9")
    for address in ("192.0.2.1", "192.0.2.9"):
        for _ in range(3):
            here.identify("wrong", address)
    with pytest.raises(Refusal):
        here.identify("correct horse", "192.0.2.1")
    assert here.identify("correct horse", "192.0.2.9"), "who worked there goes on"
    clock[0] += 60
    assert here.identify("correct horse", "192.0.2.1")


def test_the_throttle_remembers_a_bounded_number_of_addresses() -> None:
    throttle = Throttle(1, now=lambda: 0.0)
    for number in range(MAX_ADDRESSES + 500):
        throttle.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(throttle._failures) == MAX_ADDRESSES


def test_an_ipv6_host_is_one_address_however_many_it_uses() -> None:
    assert network("2001:db8::1") == network("2001:db8::ffff:1") != network("2001:db8:0:1::1")
    assert network("::ffff:192.0.2.1") == network("192.0.2.1")
    assert network("fe80::1%eth0") == network("fe80::2")
    assert network("") == ""


def test_zero_means_no_limit() -> None:
    throttle = Throttle(0)
    for _ in range(100):
        throttle.failed("a")
    assert throttle.wait_s("a") == 0


# ── tickets


WHO = Principal("n", Scope.VIEW, "d")


def test_a_ticket_opens_one_door_once_within_a_minute() -> None:
    now = [0.0]
    tickets = Tickets(now=lambda: now[0])
    ticket = tickets.issue("a", WHO)
    assert tickets.redeem(ticket, "b") is None
    assert tickets.redeem(ticket, "a") is None, "a ticket tried at the wrong door is spent"
    ticket = tickets.issue("a", WHO)
    assert tickets.redeem(ticket, "a") == WHO
    assert tickets.redeem(ticket, "a") is None
    ticket = tickets.issue("a", WHO)
    now[0] = 61.0
    assert tickets.redeem(ticket, "a") is None


def test_tickets_are_bounded_in_number() -> None:
    tickets = Tickets(now=lambda: 0.0)
    for _ in range(MAX_TICKETS):
        tickets.issue("a", WHO)
    with pytest.raises(Refusal) as refused:
        tickets.issue("a", WHO)
    assert refused.value.problem.status == 429


@pytest.mark.parametrize("how", ["revoked", "rotated", "expired"])
def test_who_holds_a_ticket_is_checked_again(
    tokens: TokenStore, tmp_path: Path, clock: list[float], how: str
) -> None:
    here = access(tokens, tmp_path)
    made = tokens.create(TokenSpec(name="n", expires_in_s=100))
    who = here.identify(made.secret, "192.0.2.1")
    assert who is not None
    assert here.holds(who)
    match how:
        case "revoked":
            tokens.revoke(made.id)
        case "rotated":
            tokens.rotate(made.id, grace_s=0)
        case "expired":
            clock[0] += 100
    assert not here.holds(who)

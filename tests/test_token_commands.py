"""`sm3 token` as a user meets it."""

from __future__ import annotations

import pytest
import typer

from sm3.remote.client import Client, ServiceError
from sm3.token_commands import seconds
from tests.conftest import RunningService
from tests.test_cli import at, sm3


@pytest.mark.parametrize(
    ("text", "expected"), [("90s", 90), ("15m", 900), ("12h", 43_200), ("30d", 2_592_000)]
)
def test_durations_are_read(text: str, expected: int) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "d", "5", "-1d", "1.5h", "5w", "²d", "٣d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="such as 30d"):
        seconds(text)


def test_a_token_lives_from_create_to_revoke(service: RunningService) -> None:
    here = at(service)
    made = sm3("token", "create", "cli", "--scope", "view", "--expires", "1d", **here)
    assert made.returncode == 0, made.stderr
    secret = made.stdout.strip()
    assert secret.startswith("sm3t_"), "the secret alone on stdout"
    assert "shown this once" in made.stderr
    assert secret not in made.stderr
    token_id = made.stderr.split()[1].rstrip(",")
    with Client(service.url, secret) as viewer:
        viewer.jobs()
        listed = sm3("token", "list", **here)
        assert f"{token_id[-8:]}  cli" in listed.stdout
        assert secret not in listed.stdout
        rotated = sm3("token", "rotate", token_id[-8:], **here)
        assert rotated.stdout.strip() != secret
        with pytest.raises(ServiceError):
            viewer.jobs()
    assert sm3("token", "revoke", token_id, **here).returncode == 0
    with Client(service.url, rotated.stdout.strip()) as viewer, pytest.raises(ServiceError):
        viewer.jobs()


def test_the_admin_token_is_rotated_under_a_running_service(own_service: RunningService) -> None:
    here, old = at(own_service), own_service.token
    done = sm3("token", "rotate", "--admin", **here)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == own_service.token != old
    assert sm3("list", **here).returncode == 0, "the command line goes on"
    assert sm3("token", **here).stdout.strip() == own_service.token
    with Client(own_service.url, old) as stale, pytest.raises(ServiceError):
        stale.jobs()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("rotate",), "give a token's ID"),
        (("rotate", "x", "--admin"), "neither an ID nor --grace"),
        (("create", "x", "--scope", "god"), "'god'"),
        (("create", "x", "--expires", "soon"), "such as 30d"),
    ],
)
def test_wrong_usage_is_one_sentence(
    service: RunningService, arguments: tuple[str, ...], reason: str
) -> None:
    done = sm3("token", *arguments, **at(service))
    assert done.returncode == 2
    assert reason in " ".join(done.stderr.replace("│", " ").split())

"""``sm3 token``: prints this machine's admin token; makes, lists, revokes and rotates tokens."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from sm3.remote import token_file
from sm3.remote.client import Client
from sm3.remote.settings import ClientSettings
from sm3.remote.tokens import NewToken, Scope, TokenSpec, TokenView

app = typer.Typer(invoke_without_command=True, help="Print this machine's admin token, or manage tokens.")
_OUT = Console()
_ERR = Console(stderr=True)
_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
TokenArgument = Annotated[str, typer.Argument(metavar="ID", help="a token's id or its last characters")]
_MIN_SUFFIX = 4


def seconds(text: str) -> int:
    """Returns a duration such as ``90s``, ``15m``, ``12h`` or ``30d`` in seconds.

    Raises:
        typer.BadParameter: it is none.
    """
    number, unit = text[:-1], text[-1:]
    if not number.isascii() or not number.isdigit() or unit not in _UNITS_S:
        raise typer.BadParameter(f"{text!r}: expected a number with s, m, h or d behind it, such as 30d")
    return int(number) * _UNITS_S[unit]


@app.callback()
def token(context: typer.Context) -> None:
    """Print the service's admin token, for use in curl; with a command: manage tokens."""
    if context.invoked_subcommand is not None:
        return
    found = ClientSettings().bearer()
    if not found:
        raise typer.BadParameter(
            "there is no token yet: start the service once with `sm3 up`, or set SM3_TOKEN"
        )
    print(found)  # noqa: T201 - for $(sm3 token)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="who or what will hold it")],
    scope: Annotated[Scope, typer.Option(help="what its holder may do")] = Scope.VIEW,
    expires: Annotated[str, typer.Option(help="such as 12h or 30d; none: until it is revoked")] = "",
) -> None:
    """Make a token and print its secret, this once."""
    try:
        spec = TokenSpec(name=name, scope=scope, expires_in_s=seconds(expires) if expires else None)
    except ValidationError as error:
        raise typer.BadParameter("; ".join(fault["msg"] for fault in error.errors())) from error
    with Client.from_settings() as client:
        _show_secret(client.create_token(spec), "made")


@app.command("list")
def list_tokens(limit: Annotated[int, typer.Option(min=1, max=500)] = 50) -> None:
    """List tokens, newest first, without their secrets."""
    with Client.from_settings() as client:
        page = client.tokens(limit=limit)
    table = Table("id", "name", "scope", "state", "last used", box=None)
    for column in table.columns:
        column.no_wrap = True
    for item in page.items:
        used = item.last_used_at.strftime("%Y-%m-%d %H:%M") if item.last_used_at else "never"
        table.add_row(item.id[-8:], item.name, item.scope, _state(item), used)
    _OUT.print(table if page.items else "No tokens yet. Make one: sm3 token create NAME --scope view")


@app.command()
def revoke(token: TokenArgument) -> None:
    """End a token at once."""
    with Client.from_settings() as client:
        ended = client.revoke_token(_find(client, token))
    _OUT.print(f"{ended.id} revoked", highlight=False, soft_wrap=True)


@app.command()
def rotate(
    token: Annotated[str, typer.Argument(metavar="[ID]", help="a token's id or its last characters")] = "",
    *,
    grace: Annotated[str, typer.Option(help="how long the old secret is still good, such as 10m")] = "0s",
    admin: Annotated[bool, typer.Option("--admin", help="replace the data folder's own admin token")] = False,
) -> None:
    """Replace a token's secret and print the new one, this once."""
    if admin:
        if token or seconds(grace):
            raise typer.BadParameter("--admin takes neither an ID nor --grace: the old token ends at once")
        _rotate_admin(ClientSettings())
        return
    if not token:
        raise typer.BadParameter("give a token's ID, or --admin for the data folder's own")
    with Client.from_settings() as client:
        _show_secret(client.rotate_token(_find(client, token), grace_s=seconds(grace)), "rotated")


def _rotate_admin(settings: ClientSettings) -> None:
    if settings.token:
        raise typer.BadParameter(
            "SM3_TOKEN is set: the service takes the token from there. Set another one and start the service again."
        )
    try:
        new = token_file.rotate(settings.data_dir)
    except FileNotFoundError as error:
        raise typer.BadParameter(
            f"there is no token in {settings.data_dir}: start the service once with `sm3 up`, or set SM3_DATA_DIR"
        ) from error
    except OSError as error:
        raise typer.BadParameter(
            f"{settings.data_dir} cannot be written ({error.strerror}); the old token still holds"
        ) from error
    _ERR.print("rotated; the old token ended. Running services and clients here notice by themselves.")
    print(new)  # noqa: T201 - the secret alone on stdout


def _show_secret(made: NewToken, how: str) -> None:
    until = f", expires {made.expires_at:%Y-%m-%d %H:%M} UTC" if made.expires_at else ""
    _ERR.print(
        f"{how} {made.id}, scope {made.scope}{until}. The secret below is shown this once:",
        highlight=False,
        soft_wrap=True,
    )
    print(made.secret, file=sys.stdout)  # noqa: T201 - the secret alone on stdout


def _state(token: TokenView) -> str:
    now = datetime.now(UTC)
    if token.revoked_at:
        return "revoked"
    if token.expires_at and token.expires_at <= now:
        return "expired"
    return f"until {token.expires_at:%Y-%m-%d %H:%M}" if token.expires_at else "good"


def _find(client: Client, token: str) -> str:
    """Returns the id that ``token``, an id or its end, stands for."""
    ids: list[str] = []
    after: str | None = None
    while True:
        page = client.tokens(after=after, limit=500)
        ids += [item.id for item in page.items if item.id.endswith(token)]
        after = page.next
        if after is None:
            break
    if len(token) < _MIN_SUFFIX or len(ids) > 1:
        raise typer.BadParameter(
            f"{token!r} stands for {len(ids)} tokens; give at least {_MIN_SUFFIX} characters that only one id ends with"
        )
    return ids[0] if ids else token

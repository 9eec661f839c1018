"""Who is behind a token, and for how long.

* The **admin token** of the data folder (or ``SM3_TOKEN``): everything. The file is looked at with every request,
  so one that is replaced (``sm3 token rotate --admin``) holds at once, in every process that serves this folder.
* **Tokens** made over REST, with a scope: found by their SHA-256, never kept in memory, so that a revoked one is
  refused by the next request.
* A worker's **ingest token** is the job's affair: `server.auth` asks the job for it.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from sqlalchemy.exc import OperationalError

from server.problems import Refusal
from server.settings import Settings
from server.store.tokens import PREFIX, TokenStore, digest
from server.throttle import Throttle
from sm3.remote import token_file
from sm3.remote.tokens import Scope

_LOG = structlog.get_logger()


@dataclass(frozen=True)
class Principal:
    """Someone who has proved who they are.

    Attributes:
        name: the token's, for logs.
        scope: what they may do.
        digest: SHA-256 of the token, by which it can be checked again; '' where none is needed.
    """

    name: str
    scope: Scope
    digest: str = field(default="", repr=False)


ANYONE = Principal("anyone", Scope.ADMIN)
"""Who everyone is where ``SM3_AUTH=false``."""


class AdminToken:
    """The admin token, known by its SHA-256; follows the file of the data folder.

    Args:
        chosen: the token that a person set, '' for the one in the file.
        data_dir: the folder with the file.
    """

    def __init__(self, chosen: str, data_dir: Path) -> None:
        self.is_chosen = bool(chosen)
        self._data_dir = data_dir
        self._digest = digest(chosen) if chosen else ""
        self._seen: tuple[int, int] | None = None

    def matches(self, given_digest: str) -> bool:
        """Whether this is the digest of the token in force; False while the file is gone. In constant time."""
        if not self.is_chosen:
            self._follow()
        return hmac.compare_digest(self._digest, given_digest) if self._digest else False

    def _follow(self) -> None:
        try:
            found = (self._data_dir / token_file.TOKEN_FILE).stat()
        except OSError:
            self._digest, self._seen = "", None
            return
        if (now := (found.st_mtime_ns, found.st_ino)) != self._seen:
            token = token_file.read(self._data_dir)
            self._digest, self._seen = (digest(token) if token else ""), now


@dataclass(frozen=True)
class Access:
    """Tells who is behind a token.

    Args:
        admin: the admin token; None where no token is needed.
        tokens: the others.
        throttle: failures of each address.
    """

    admin: AdminToken | None
    tokens: TokenStore
    throttle: Throttle

    @classmethod
    def from_settings(cls, settings: Settings, tokens: TokenStore) -> Access:
        """Returns the access that ``settings`` describe; makes the admin token where there is none."""
        admin = None
        if settings.auth:
            settings.admin_token()
            admin = AdminToken(settings.token, settings.data_dir)
        return cls(admin, tokens, Throttle(settings.auth_failures_per_minute))

    def identify(self, token: str, address: str) -> Principal | None:
        """Returns who is behind ``token``, None where nobody is; reads the store, so not for the event loop.

        A machine-made token that is good is let in whatever others did at the same address: nobody guesses 256
        bits. One that a person chose can be guessed, so an address with too many failures may go on using it, but
        not begin to.

        Raises:
            Refusal: 429, the address has failed too often.
        """
        if self.admin is None:
            return ANYONE
        given = digest(token)
        wait_s = self.throttle.wait_s(address)
        may_begin = not wait_s or not self.admin.is_chosen or self.throttle.is_familiar(address)
        if may_begin and self.admin.matches(given):
            if self.admin.is_chosen:
                self.throttle.succeeded(address)
            return Principal("admin", Scope.ADMIN, given)
        if token.startswith(PREFIX) and (found := self.tokens.find(given)) is not None:
            try:
                self.tokens.used(found)
            except OperationalError as error:  # a full disk must not lock its owner out
                _LOG.warning("use of a token could not be noted", token=found.id, error=str(error.orig))
            return Principal(found.name, found.scope, given)
        if token:
            if wait_s:
                raise too_many_failures(wait_s)
            self.throttle.failed(address)
        return None

    def holds(self, principal: Principal) -> bool:
        """Whether the token of ``principal`` is still good; reads the store, so not for the event loop."""
        if self.admin is None:
            return True
        return self.admin.matches(principal.digest) or self.tokens.find(principal.digest) is not None


def too_many_failures(wait_s: int) -> Refusal:
    """Returns the 429 for an address that has failed too often."""
    return Refusal(
        429,
        "too-many-failures",
        "Too many failed attempts",
        f"Too many tokens that are not valid came from this address. Wait {wait_s} s, then send a valid one; "
        "`sm3 token` prints it on the service's machine.",
        {"Retry-After": str(wait_s)},
    )

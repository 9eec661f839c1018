"""The ``Authorization`` header, which notices a token that was replaced meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Generator

import httpx

_UNAUTHORIZED = 401


class Bearer(httpx.Auth):
    """Sends a token; after a 401 looks once whether there is a newer one, and tries again with it.

    So a client that lives for days goes on after ``sm3 token rotate --admin``: the data folder has the new token.

    Args:
        current: returns the token in force, '' for none.
    """

    def __init__(self, current: Callable[[], str]) -> None:
        self._current = current
        self._token = current()

    def __repr__(self) -> str:
        """Returns no secret."""
        return "Bearer(…)"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Yields the request with the token, once more after a 401 if the token has changed."""
        self._sign(request)
        response = yield request
        if response.status_code == _UNAUTHORIZED and (token := self._current()) != self._token:
            self._token = token
            self._sign(request)
            yield request

    def _sign(self, request: httpx.Request) -> None:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"

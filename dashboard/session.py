"""The service as this dashboard's pages reach it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import streamlit as st

from dashboard import sign_in
from sm3.remote.client import Client, ServiceError, Unreachable
from sm3.remote.settings import ClientSettings
from sm3.remote.tokens import Scope

Failure = (Unreachable, ServiceError)
"""What any call of the client can raise."""


_SCOPE = "session/scope"
_SCOPE_S = 60.0


@dataclass(frozen=True)
class BrowserAddress:
    """Where a browser finds the service: at `public_url`, or on the page's own host at `port` under `path`."""

    public_url: str
    port: str
    path: str


def client() -> Client:
    """Returns the client for the service that the settings name, with the token of whoever looks.

    Both are read at each run, so that a token made, or rotated, after the dashboard started is found.
    """
    return _client(ClientSettings().url, sign_in.token())


def scope() -> Scope:
    """Returns what whoever looks may do, asked at most once a minute, so that pages leave out what would be refused.

    Where the service does not say it is `Scope.ADMIN`: then nothing is left out, and the service decides.
    """
    token, now = sign_in.token(), time.monotonic()
    kept: tuple[str, float, Scope] | None = st.session_state.get(_SCOPE)
    if kept is None or kept[0] != token or now - kept[1] > _SCOPE_S:
        try:
            kept = (token, now, client().whoami().scope)
        except Failure:
            return kept[2] if kept is not None and kept[0] == token else Scope.ADMIN
        st.session_state[_SCOPE] = kept
    return kept[2]


def may_launch() -> bool:
    """Whether whoever looks may launch, change, pause, resume and stop jobs."""
    return scope().covers(Scope.LAUNCH)


def browser_address() -> BrowserAddress:
    """Returns where browsers find the service."""
    settings = ClientSettings()
    url = urlsplit(settings.url)
    return BrowserAddress(settings.public_url, str(url.port or ""), url.path.rstrip("/"))


def sentence(error: Exception) -> str:
    """Returns what went wrong and what to do, for people."""
    if isinstance(error, ServiceError) and error.problem.status == 403 and sign_in.token():
        return str(error)
    if isinstance(error, ServiceError) and error.problem.status in {401, 403}:
        return (
            f"{ClientSettings().url} refuses this dashboard's token. Set SM3_TOKEN, or SM3_DATA_DIR to the "
            "service's data folder, and start the dashboard again."
        )
    return str(error)


@st.cache_resource(max_entries=256, show_spinner=False, on_release=Client.close)
def _client(url: str, token: str) -> Client:
    return Client(url, token)

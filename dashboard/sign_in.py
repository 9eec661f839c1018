"""Who looks at this dashboard: the owner of this machine, or a viewer who has to sign in.

On loopback a session acts with the token of the data folder, as the command line does. A viewer from elsewhere
never does: they sign in with a token of their own (kept in the server's memory for the session), or by OIDC where
Streamlit's ``[auth]`` is configured, and then act with ``SM3_VIEWER_TOKEN``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from enum import StrEnum
from urllib.parse import urlsplit

import streamlit as st
from streamlit.errors import StreamlitSecretNotFoundError

from dashboard.figures.plain import plain
from sm3.remote.client import Client, ServiceError, Unreachable
from sm3.remote.settings import ClientSettings

_TOKEN = "sign_in/token"  # noqa: S105 - a key
_PROBLEM = "sign_in/problem"
_INPUT = "sign_in/input"
_FORWARDED = ("x-forwarded-for", "x-forwarded-host", "forwarded", "x-real-ip")


class Policy(StrEnum):
    """Who has to sign in."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class _Launched:
    """How this process was started; `dashboard.__main__` sets it once."""

    policy = Policy.AUTO
    on_loopback = True


def configure(policy: Policy, *, on_loopback: bool) -> None:
    """Sets who has to sign in, for all sessions of this process."""
    _Launched.policy, _Launched.on_loopback = policy, on_loopback


def needed(policy: Policy, *, on_loopback: bool, headers: Mapping[str, str]) -> bool:
    """Whether a session with these request headers has to sign in.

    With `Policy.AUTO` only a browser of this machine need not: the dashboard listens on loopback, was asked for by
    loopback's name, and no proxy passed the request on.
    """
    if policy is not Policy.AUTO:
        return policy is Policy.ALWAYS
    names = {name.lower(): value for name, value in headers.items()}
    if not on_loopback or any(name in names for name in _FORWARDED):
        return True
    host = names.get("host")
    return host is not None and not is_loopback(urlsplit(f"//{host}").hostname or "")


def is_loopback(host: str) -> bool:
    """Whether a host name or address is that of this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def may_view(email: str, viewers: Collection[str]) -> bool:
    """Whether someone whom the identity provider knows may look: all may where no ``viewers`` are listed.

    Args:
        email: as the provider says it.
        viewers: addresses, or domains such as ``@example.org``.
    """
    if not viewers:
        return True
    address = email.strip().lower()
    domain = "@" + address.rpartition("@")[2]
    return bool(address) and any(viewer.lower() in {address, domain} for viewer in viewers)


def is_due() -> bool:
    """Whether this session has to sign in and has not."""
    return _is_needed() and not token()


def token() -> str:
    """Returns the token that this session acts with, '' where it has none."""
    settings = ClientSettings()
    if not _is_needed():
        return settings.bearer()
    if given := st.session_state.get(_TOKEN, ""):
        return str(given)
    return settings.viewer_token if _oidc_viewer(settings) else ""


def _is_needed() -> bool:
    return needed(_Launched.policy, on_loopback=_Launched.on_loopback, headers=st.context.headers.to_dict())


def page() -> None:
    """Draws the sign-in page."""
    settings = ClientSettings()
    with st.container(key="notice"):
        st.markdown("# Sign in")
        if problem := st.session_state.pop(_PROBLEM, ""):
            st.markdown(f":red[{plain(problem)}]")
        if _has_oidc() and settings.viewer_token:
            if st.user.is_logged_in:
                st.markdown(plain(f"{st.user.get('email', 'This account')} may not look at this dashboard."))
                st.button("Sign out", on_click=st.logout)
            else:
                st.button("Sign in with your organisation", type="primary", on_click=st.login)
        st.markdown(
            "Give a token. Whoever runs this service makes one: `sm3 token create NAME --scope view`."
        )
        with st.form("sign_in/form", border=False, clear_on_submit=True):
            st.text_input("Token", type="password", autocomplete="current-password", key=_INPUT)
            st.form_submit_button("Sign in", on_click=_try)


def _try() -> None:
    """Takes the token that was typed, if the service does."""
    given = str(st.session_state.get(_INPUT, "")).strip()
    settings = ClientSettings()
    try:
        with Client(settings.url, given) as client:
            client.jobs(limit=1)
    except (ServiceError, UnicodeEncodeError) as error:
        waits = isinstance(error, ServiceError) and error.problem.status not in {401, 403}
        st.session_state[_PROBLEM] = str(error) if waits else "The service does not know this token."
    except Unreachable as error:
        st.session_state[_PROBLEM] = str(error)
    else:
        st.session_state[_TOKEN] = given


def _has_oidc() -> bool:
    try:
        return "auth" in st.secrets
    except StreamlitSecretNotFoundError:
        return False


def _oidc_viewer(settings: ClientSettings) -> bool:
    return (
        _has_oidc()
        and bool(st.user.is_logged_in)
        and may_view(str(st.user.get("email", "")), settings.viewers)
    )

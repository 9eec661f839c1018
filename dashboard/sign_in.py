"""Who looks at this dashboard: the owner of this machine, or a viewer who has to sign in.

On loopback a session acts with the token of the data folder, as the command line does. A viewer from elsewhere
never does: they sign in with a token of their own (`dashboard.signed_in` keeps it, their browser a cookie), or by OIDC
where Streamlit's ``[auth]`` is configured, and then act with ``SM3_VIEWER_TOKEN``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from enum import StrEnum
from html import escape
from urllib.parse import quote, urlsplit

import streamlit as st
from streamlit.errors import StreamlitSecretNotFoundError

from dashboard.figures.plain import plain
from dashboard.sign_in_routes import PROBLEM, Refused
from dashboard.signed_in import COOKIE, SIGNED_IN
from sm3.remote.settings import ClientSettings

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
    if given := _given():
        return given
    return settings.viewer_token if _oidc_viewer(settings) else ""


def _is_needed() -> bool:
    return needed(_Launched.policy, on_loopback=_Launched.on_loopback, headers=st.context.headers.to_dict())


_WHY = {
    Refused.UNKNOWN: "The service does not know this token.",
    Refused.LATER: "The service takes no token just now: too many were wrong, or it is busy. Try again in a minute.",
    Refused.UNREACHABLE: "The service does not answer: whoever runs it has to start it.",
}


def page() -> None:
    """Draws the sign-in page."""
    settings = ClientSettings()
    with st.container(key="notice"):
        st.markdown("# Sign in")
        if (refused := st.query_params.get(PROBLEM, "")) in set(Refused):
            st.markdown(f":red[{plain(_WHY[Refused(refused)])}]")
        if _has_oidc() and settings.viewer_token:
            if st.user.is_logged_in:
                st.markdown(plain(f"{st.user.get('email', 'This account')} may not look at this dashboard."))
                st.button("Sign out", on_click=st.logout)
            else:
                st.button("Sign in with your organisation", type="primary", on_click=st.login)
        st.markdown(
            "Give a token. Whoever runs this service makes one: `sm3 token create NAME --scope view`."
        )
        st.html(f'''<form class="sm3-signin" method="post" action="{_action("sign-in")}">
            <label>Token <input type="password" name="token" autocomplete="current-password" required></label>
            <input type="hidden" name="to" value="{escape(_here())}"><button type="submit">Sign in</button>
        </form>''')


def way_out() -> None:
    """Draws, in the page's head, the button that ends what a token began; nothing for who needed none."""
    if _is_needed() and _given():
        st.html(f'''<form class="sm3-signout" method="post" action="{_action("sign-out")}">
            <input type="hidden" name="to" value="{escape(_here())}"><button type="submit">Sign out</button>
        </form>''')


def _given() -> str:
    """Returns the token that this browser signed in with, or ''."""
    return SIGNED_IN.token(st.context.cookies.get(COOKIE, ""))


def _action(name: str) -> str:
    base = (st.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{base}/{name}" if base else f"/{name}"


def _here() -> str:
    """Returns the address of the page that is shown, from the host on."""
    url = urlsplit(st.context.url or "/")
    query = "&".join(
        f"{quote(name)}={quote(v)}" for name in st.query_params for v in st.query_params.get_all(name)
    )
    return f"{url.path or '/'}?{query}" if query else url.path or "/"


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

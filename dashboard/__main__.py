"""Starts the dashboard: ``python -m dashboard --port 8501``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware

from dashboard import assets, index_page, prompt_http, sign_in, sign_in_routes, theme, warm_up
from dashboard.headers import AnswerHeaders
from dashboard.views import PATHS
from sm3.remote.settings import ClientSettings

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_BEHAVIOUR: dict[str, str | bool] = {
    "server.headless": True,
    "server.fileWatcherType": "none",
    "server.runOnSave": False,
    "server.enableAgentApi": False,
    "server.enableCORS": True,
    "server.enableXsrfProtection": True,
    "browser.gatherUsageStats": False,
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "global.developmentMode": False,
}


def main(argv: list[str] | None = None) -> int:
    """Runs the dashboard until it is told to stop; returns the exit status."""
    arguments = _parser().parse_args(argv)
    on_loopback = sign_in.is_loopback(arguments.host)
    if not on_loopback and not arguments.open:
        print(  # noqa: T201 - the launcher speaks on the terminal
            f"{arguments.host} can be reached from other machines. Give --open if that is meant; viewers sign in then.",
            file=sys.stderr,
        )
        return 2
    policy = sign_in.Policy(arguments.sign_in)
    sign_in.configure(policy, on_loopback=on_loopback)
    # Whoever need not sign in is known by having asked for this machine by its own name: no other name may do.
    is_local = on_loopback or policy is sign_in.Policy.NEVER
    hosts = [*(_LOOPBACK if is_local else ()), *arguments.allowed_host]
    settings = ClientSettings()
    headers = Middleware(AnswerHeaders, api_url=settings.url, public_url=settings.public_url)
    base_path = arguments.base_path
    routes = [
        *assets.routes(base_path),
        *sign_in_routes.routes(base_path),
        *index_page.routes(PATHS, base_path),
    ]
    prompt_http.use()
    script = Path(__file__).with_name("app.py")
    app = st.App(script, routes=routes, middleware=[headers], lifespan=warm_up.beside)
    app.run(
        config={
            **_BEHAVIOUR,
            **theme.options(),
            "server.address": arguments.host,
            "server.port": arguments.port,
            "server.baseUrlPath": base_path,
            "server.allowedHosts": hosts,
        }
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dashboard", description="The dashboard of SM3 Scope.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=8501, help="port to listen on (default %(default)s)")
    parser.add_argument("--base-path", default="", help="path under which a proxy serves the dashboard")
    parser.add_argument(
        "--open", action="store_true", help="allow an address beyond this machine; viewers sign in"
    )
    parser.add_argument(
        "--sign-in",
        choices=list(sign_in.Policy),
        default=sign_in.Policy.AUTO,
        help="who signs in: all but this machine's own browsers (auto), everyone, or nobody, who then act with "
        "this process's token",
    )
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a host name that browsers may ask for besides loopback's; needed behind a proxy",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())

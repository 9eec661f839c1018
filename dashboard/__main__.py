"""Starts the dashboard: ``python -m dashboard --port 8501``."""

from __future__ import annotations

import argparse
import ipaddress
import sys
from pathlib import Path

import streamlit as st

from dashboard import assets, theme

_BEHAVIOUR: dict[str, str | bool] = {
    "server.headless": True,
    "server.fileWatcherType": "none",
    "server.runOnSave": False,
    "browser.gatherUsageStats": False,
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "global.developmentMode": False,
}


def main(argv: list[str] | None = None) -> int:
    """Runs the dashboard until it is told to stop; returns the exit status."""
    arguments = _parser().parse_args(argv)
    if not _is_loopback(arguments.host) and not arguments.open:
        print(  # noqa: T201 - the launcher speaks on the terminal
            f"{arguments.host} can be reached from other machines, and whoever opens this dashboard can launch "
            "and stop jobs with its token. Give --open if that is meant, for instance behind a proxy that signs in.",
            file=sys.stderr,
        )
        return 2
    app = st.App(Path(__file__).with_name("app.py"), routes=assets.routes(arguments.base_path))
    app.run(
        config={
            **_BEHAVIOUR,
            **theme.options(),
            "server.address": arguments.host,
            "server.port": arguments.port,
            "server.baseUrlPath": arguments.base_path,
        }
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dashboard", description="The dashboard of SM3 Scope.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=8501, help="port to listen on (default %(default)s)")
    parser.add_argument("--base-path", default="", help="path under which a proxy serves the dashboard")
    parser.add_argument("--open", action="store_true", help="allow an address beyond this machine")
    return parser


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    sys.exit(main())

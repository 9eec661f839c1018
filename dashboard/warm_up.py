"""What the first visitor would otherwise wait for: the pages' imports, and Plotly's compressed script."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from threading import Thread

import streamlit as st

from dashboard import assets
from dashboard.views import PATHS


@asynccontextmanager
async def beside(_: st.App) -> AsyncIterator[None]:
    """Prepares beside the server, which answers meanwhile; nothing waits for the end of it."""
    Thread(target=_prepare, name="warm-up", daemon=True).start()
    yield


def _prepare() -> None:
    for page in PATHS:
        import_module(f"dashboard.views.{page}")
    assets.compressed_plotly()

"""Connections that send at once, also where the port was bound by hand as Streamlit does."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
import uvicorn
import uvicorn.config
from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.server import ServerState

from dashboard import prompt_http


async def _app(scope: Any, receive: Any, send: Any) -> None:
    """Answers nothing."""


async def _sends_at_once(config: uvicorn.Config, protocol: type[Any]) -> bool:
    """Returns whether Nagle's algorithm is off on a connection that ``protocol`` serves on a port bound by hand."""
    found: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    class Watched(protocol):  # type: ignore[misc] # chosen by the test
        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            option = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            found.set_result(bool(option))

    bound = socket.socket(socket.AF_INET)
    bound.bind(("127.0.0.1", 0))
    server = await asyncio.get_running_loop().create_server(
        lambda: Watched(config=config, server_state=ServerState(), app_state={}), sock=bound
    )
    async with server:
        _, writer = await asyncio.open_connection(*bound.getsockname())
        outcome = await asyncio.wait_for(found, 10)
        writer.close()
        await writer.wait_closed()
    return outcome


def test_uvicorn_takes_it_where_nobody_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(uvicorn.config.HTTP_PROTOCOLS, "auto", uvicorn.config.HTTP_PROTOCOLS["auto"])
    prompt_http.use()
    config = uvicorn.Config(_app)
    config.load()
    assert config.http_protocol_class is prompt_http.PromptHttp


@pytest.mark.parametrize(
    ("protocol", "expected"), [(prompt_http.PromptHttp, True), (AutoHTTPProtocol, False)]
)
def test_only_with_it_an_answer_waits_for_nothing(protocol: type[Any], expected: bool) -> None:
    """Should uvicorn's own come out True one day, `dashboard.prompt_http` has had its time."""
    config = uvicorn.Config(_app)
    config.load()
    assert asyncio.run(_sends_at_once(config, protocol)) is expected

"""HTTP without waiting for the other side's acknowledgement between an answer's head and its body.

Streamlit binds the port itself, and a socket that asyncio did not make keeps Nagle's algorithm on (the same as
https://github.com/Kludex/uvicorn/issues/3149): on a connection that is used again each answer then takes 43 ms, and a
page is a hundred answers.
"""

from __future__ import annotations

import asyncio
import socket

import uvicorn.config
from uvicorn.protocols.http.auto import AutoHTTPProtocol


class PromptHttp(AutoHTTPProtocol):  # type: ignore[misc, valid-type] # one of two classes, chosen at import
    """uvicorn's usual protocol, on connections that send at once."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Takes a new connection."""
        made: socket.socket | None = transport.get_extra_info("socket")
        if made is not None and made.family in (socket.AF_INET, socket.AF_INET6):
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        super().connection_made(transport)


def use() -> None:
    """Makes `PromptHttp` what uvicorn takes where nobody chose: Streamlit leaves no other way in."""
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{PromptHttp.__module__}:{PromptHttp.__qualname__}"

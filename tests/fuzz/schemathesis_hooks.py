"""What schemathesis has to be told: how a frame is sent. Loaded by ``SCHEMATHESIS_HOOKS``."""

from __future__ import annotations

from typing import Any

import numpy as np
import schemathesis
from hypothesis import strategies as st

from sm3.remote.frames import Frame, Scalars, encode

BLOB, ARCHIVE = "application/vnd.safetensors", "application/zip"
_TRUE = {"true", "t", "yes", "y", "on", "1"}


def frame(job: str, seq: int, step: int) -> bytes:
    return encode(
        Frame(job, 0, seq, step, 0.0, {"loss/x/y": np.zeros(2, np.float32)}, Scalars.from_points([]))
    )


schemathesis.openapi.media_type(
    BLOB,
    st.one_of(
        st.binary(max_size=300),
        st.builds(frame, st.text("0123456789abcdef-", max_size=36), st.integers(0, 9), st.integers(0, 9)),
    ),
)


schemathesis.openapi.media_type(ARCHIVE, st.binary(max_size=300) | st.just(b"PK\x05\x06" + bytes(18)))


@schemathesis.serializer(BLOB, ARCHIVE)
def as_it_is(_: Any, value: Any) -> Any:
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Asks event streams to end: one that follows a job goes on for as long as the job does."""
    query = case.query or {}
    if (
        case.path.endswith(("/events", "/events.ndjson"))
        and str(query.get("follow", "true")).lower() in _TRUE
    ):
        case.query = {**query, "follow": "false"}

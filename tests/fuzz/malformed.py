"""Frames and WebSocket messages that are malformed in every way we could think of, by seed."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sm3.remote.frames import Frame, Point, Scalars, encode


def good_frame(job_id: str, seq: int, *, attempt: int = 0) -> bytes:
    """Returns a frame as a worker sends it after ``seq + 1`` steps."""
    step = seq + 1
    scalars = Scalars.from_points([Point("loss", step, 1.5), Point("lr", step, 0.1)])
    arrays = {"accumulators/dim0/weight": np.arange(8, dtype=np.float32)}
    return encode(Frame(job_id, attempt, seq, step, 0.0, arrays, scalars))


def split(blob: bytes) -> tuple[dict[str, Any], bytes]:
    """Returns a frame's header and its bytes."""
    (size,) = struct.unpack("<Q", blob[:8])
    return json.loads(blob[8 : 8 + size]), blob[8 + size :]


def joined(header: Any, body: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


Change = Callable[[dict[str, Any], bytes, random.Random], bytes]


def _with(change: Callable[[dict[str, Any], random.Random], object]) -> Change:
    """Returns a change of the header alone."""

    def changed(header: dict[str, Any], body: bytes, draw: random.Random) -> bytes:
        change(header, draw)
        return joined(header, body)

    return changed


def _array(header: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    name = draw.choice([name for name in header if name != "__metadata__"])
    found: dict[str, Any] = header[name]
    return found


def _meta(header: dict[str, Any], draw: random.Random, value: Any) -> None:
    meta = header["__metadata__"]
    meta[draw.choice(["job", "attempt", "seq", "step"])] = value


CHANGES: dict[str, Change] = {
    "empty": lambda h, b, d: b"",
    "noise": lambda h, b, d: d.randbytes(d.randrange(1, 400)),
    "cut short": lambda h, b, d: joined(h, b)[: d.randrange(len(joined(h, b)))],
    "too long": lambda h, b, d: joined(h, b) + d.randbytes(d.randrange(1, 50)),
    "header length lies": lambda h, b, d: struct.pack("<Q", d.randrange(2**20, 2**64)) + joined(h, b)[8:],
    "header no JSON": lambda h, b, d: joined(b"{" * d.randrange(1, 60), b),
    "header no object": lambda h, b, d: joined(d.choice(([], 1, "x", None, True)), b),
    "header nested deep": lambda h, b, d: joined(b"[" * 100_000, b),
    "header half a character": lambda h, b, d: joined(b'{"__metadata__": {"job": "\\ud800"}}', b),
    "header no UTF-8": lambda h, b, d: joined(b"\xff\xfe" + d.randbytes(20), b),
    "header huge number": lambda h, b, d: joined(b'{"x": ' + b"9" * 5000 + b"}", b),
    "no metadata": _with(lambda h, d: h.pop("__metadata__")),
    "metadata no object": _with(lambda h, d: h.__setitem__("__metadata__", d.choice(([], 1, "x", None)))),
    "metadata missing": _with(
        lambda h, d: h["__metadata__"].pop(d.choice(["job", "attempt", "seq", "step"]))
    ),
    "metadata no number": _with(lambda h, d: _meta(h, d, d.choice(["", "x", "1e999", "NaN", "-1", "0x1"]))),
    "metadata no text": _with(lambda h, d: _meta(h, d, d.choice([None, [], {}, 3.5, True]))),
    "metadata huge": _with(lambda h, d: _meta(h, d, "9" * d.randrange(25, 6000))),
    "another job": _with(lambda h, d: h["__metadata__"].__setitem__("job", "nobody")),
    "array no object": _with(lambda h, d: h.__setitem__("a/b/c", d.choice([1, "x", None, []]))),
    "dtype unknown": _with(
        lambda h, d: _array(h, d).__setitem__("dtype", d.choice(["F7", "", "object", None, 3]))
    ),
    "shape negative": _with(lambda h, d: _array(h, d).__setitem__("shape", [-d.randrange(1, 9)])),
    "shape no numbers": _with(
        lambda h, d: _array(h, d).__setitem__("shape", d.choice(["x", None, ["8"], [1.5]]))
    ),
    "shape overflows": _with(lambda h, d: _array(h, d).__setitem__("shape", [2**32, 2**32, 2**32])),
    "shape lies": _with(lambda h, d: _array(h, d).__setitem__("shape", [d.randrange(100, 10_000)])),
    "offsets outside": _with(
        lambda h, d: _array(h, d).__setitem__("data_offsets", [10**6, 10**6 + d.randrange(1, 64)])
    ),
    "offsets backwards": _with(lambda h, d: _array(h, d).__setitem__("data_offsets", [64, 0])),
    "offsets missing": _with(lambda h, d: _array(h, d).pop("data_offsets")),
    "offsets no numbers": _with(
        lambda h, d: _array(h, d).__setitem__("data_offsets", d.choice([None, [], ["0", "8"], [0]]))
    ),
}


def frames(job_id: str, number: int, seed: int) -> Iterator[tuple[str, int, bytes]]:
    """Yields ``number`` malformed frames: what is wrong, the seq it is sent to, and its bytes."""
    draw = random.Random(seed)
    names = list(CHANGES)
    for index in range(number):
        name = names[index % len(names)]
        header, body = split(good_frame(job_id, 1000 + index))
        yield name, 1000 + index, CHANGES[name](header, body, draw)


def messages(number: int, seed: int) -> Iterator[str | bytes]:
    """Yields ``number`` messages that a viewer must not send."""
    draw = random.Random(seed)
    kinds: list[Callable[[], str | bytes]] = [
        lambda: "",
        lambda: "{",
        lambda: "null",
        lambda: "[" * draw.randrange(1, 30_000),
        lambda: '{"type":"select"}',
        lambda: json.dumps({"type": "select", "tensor": draw.choice([1, None, [], {}, True])}),
        lambda: json.dumps({"type": "select", "tensor": "x" * draw.randrange(481, 5000)}),
        lambda: json.dumps({"type": "select", "tensor": "x", "more": 1}),
        lambda: '{"type":"at","tensor":"x"}',
        lambda: json.dumps({
            "type": "at",
            "tensor": "x",
            "step": draw.choice([-1, 2**53, 0.5, None, [], "x"]),
        }),
        lambda: json.dumps({"type": draw.choice(["Select", "job", "", 1, None]), "tensor": "x"}),
        lambda: '{"type":"select","tensor":"\\ud800"}',
        lambda: '{"type":"select","tensor":NaN}',
        lambda: "".join(chr(draw.randrange(1, 0xD7FF)) for _ in range(draw.randrange(1, 200))),
        lambda: draw.randbytes(draw.randrange(1, 500)),
        lambda: b"",
        lambda: "x" * (2**16 + draw.randrange(1, 1000)),
        lambda: bytes(2**16 + 1),
    ]
    for index in range(number):
        yield kinds[index % len(kinds)]()


def raw_websocket(number: int, seed: int) -> Iterator[bytes]:
    """Yields bytes that break the WebSocket protocol itself."""
    draw = random.Random(seed)
    mask = b"\x80"
    kinds: list[Callable[[], bytes]] = [
        lambda: b"\x81\x05hello",  # not masked
        lambda: bytes([0x83 + draw.randrange(5)]) + mask + draw.randbytes(4),  # an opcode that is reserved
        lambda: b"\xf1" + mask + draw.randbytes(4),  # reserved bits
        lambda: b"\x80" + mask + draw.randbytes(4),  # goes on with nothing
        lambda: b"\x89\xfe\x00\x80" + draw.randbytes(4 + 128),  # a ping that is too long
        lambda: b"\x09" + mask + draw.randbytes(4),  # a ping in parts
        lambda: b"\x81\xff" + struct.pack(">Q", 2**62) + draw.randbytes(4),  # a length of 4 EiB
        lambda: b"\x81\xff" + struct.pack(">Q", 2**63 + 1) + draw.randbytes(4),
        lambda: b"\x88\x81" + draw.randbytes(5),  # a close of one byte
        lambda: b"\x81\x84" + bytes(4) + b"\xff\xfe\xfd\xfc",  # text that is no UTF-8
        lambda: draw.randbytes(draw.randrange(2, 200)),
    ]
    for index in range(number):
        yield kinds[index % len(kinds)]()

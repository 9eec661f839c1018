"""Frames: what the optimizer knew at one step, as one safetensors blob.

Vocabulary:

* **frame**: the statistics of one step. Its key is (job, attempt, seq).
* **array**: a small numpy array in a frame, named ``statistic/part/tensor``, for example
  ``accumulators/dim0/blocks.0.attn.qkv.weight``. Tensor names may hold slashes, the first two parts may not.
* **scalar point**: (series, step, value). The points of one frame travel as three columns, so that a frame
  can carry the loss of every step since the last frame, and a series that has no value now costs nothing.

A blob is a JSON header and raw little-endian arrays. The service checks the header (:func:`read_header`) and
stores the rest unread; nothing in it can execute.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load, save

SCHEMA = "1"
MAX_FRAME_BYTES = 32 * 2**20
MAX_TIME_S = 253_370_764_800.0  # the year 9999
MAX_HEADER_BYTES = 4 * 2**20
_ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "I64": 8, "I32": 4, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1}
_COLUMNS = {"scalars/step": "I64", "scalars/series": "U32", "scalars/value": "F64"}


class FrameError(ValueError):
    """A blob that is not a well-formed frame; the message names what is wrong with it."""


class Point(NamedTuple):
    """One scalar: the ``value`` of ``series`` after ``step`` steps."""

    series: str
    step: int
    value: float


@dataclass(frozen=True)
class Scalars:
    """Scalar points as columns, all of length p.

    Attributes:
        names: the series' names; ``series`` holds indices into it.
        step: int64 [p].
        series: uint32 [p].
        value: float64 [p]; NaN and infinities are values like any other.
    """

    names: tuple[str, ...] = ()
    step: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    series: npt.NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))
    value: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0, np.float64))

    @classmethod
    def from_points(cls, points: Iterable[Point]) -> Scalars:
        """Returns the columns of ``points``, in their order."""
        index: dict[str, int] = {}
        rows = [(p.step, index.setdefault(p.series, len(index)), p.value) for p in points]
        if not rows:
            return cls()
        step, series, value = zip(*rows, strict=True)
        return cls(
            tuple(index),
            np.array(step, np.int64),
            np.array(series, np.uint32),
            np.array(value, np.float64),
        )

    @classmethod
    def concatenate(cls, parts: Iterable[Scalars]) -> Scalars:
        """Returns all points of ``parts``, in their order, under one list of names."""
        index: dict[str, int] = {}
        steps, series, values = [], [], []
        names: tuple[str, ...] | None = None
        for part in parts:
            if part.names is not names:  # as read from frames of one job, they are the same object
                names = part.names
                renumber = np.array([index.setdefault(name, len(index)) for name in names], np.uint32)
            steps.append(part.step)
            series.append(renumber[part.series] if len(part.names) else part.series)
            values.append(part.value)
        if not steps:
            return cls()
        return cls(tuple(index), np.concatenate(steps), np.concatenate(series), np.concatenate(values))

    def select(self, names: Iterable[str]) -> Scalars:
        """Returns the points of the series in ``names`` only."""
        wanted = set(names)
        places = [place for place, name in enumerate(self.names) if name in wanted]
        kept = tuple(self.names[place] for place in places)
        renumber = np.full(len(self.names) + 1, -1)
        renumber[places] = np.arange(len(places))
        series = renumber[self.series]
        mask = series >= 0
        return Scalars(kept, self.step[mask], series[mask].astype(np.uint32), self.value[mask])

    def by_series(self) -> dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
        """Returns ``{name: (steps, values)}``."""
        order = np.argsort(self.series, kind="stable")
        ends = np.searchsorted(self.series[order], np.arange(len(self.names) + 1))
        places = (order[begin:end] for begin, end in itertools.pairwise(ends))
        return {name: (self.step[at], self.value[at]) for name, at in zip(self.names, places, strict=True)}

    def latest(self) -> dict[str, float]:
        """Returns the last value of each series."""
        return {self.names[s]: float(v) for s, v in zip(self.series, self.value, strict=True)}


@dataclass(frozen=True)
class Header:
    """The part of a frame that the service reads: its key, when it was made, and how large it is."""

    job: str
    attempt: int
    seq: int
    step: int
    time_s: float


@dataclass(frozen=True)
class Frame:
    """Statistics of one step.

    Attributes:
        job: id of the job.
        attempt: which execution of the job made it, from 0.
        seq: number of the frame within the attempt, from 0 without gaps.
        step: optimizer steps done when it was made.
        time_s: Unix time at which it was made.
        arrays: ``statistic/part/tensor`` to a small array.
        scalars: the scalar points since the last frame.
    """

    job: str
    attempt: int
    seq: int
    step: int
    time_s: float
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    scalars: Scalars = field(default_factory=Scalars)


def encode(frame: Frame) -> bytes:
    """Returns ``frame`` as a safetensors blob of at most `MAX_FRAME_BYTES`.

    Raises:
        FrameError: an array's name or dtype is not one a frame may hold, or the blob would be too large.
    """
    for name in frame.arrays:
        if name.count("/") < 2:
            raise FrameError(f"array {name!r}: a name has the form statistic/part/tensor")
    metadata = {
        "schema": SCHEMA,
        "job": frame.job,
        "attempt": str(frame.attempt),
        "seq": str(frame.seq),
        "step": str(frame.step),
        "time_s": repr(frame.time_s),
    }
    arrays = {name: np.ascontiguousarray(a) for name, a in frame.arrays.items()}
    blob = _save(arrays, frame.scalars, metadata)
    if len(blob) > MAX_FRAME_BYTES:
        raise FrameError(
            f"the frame of step {frame.step} has {len(blob):,} bytes; at most {MAX_FRAME_BYTES:,} are "
            "allowed: record fewer statistics or tensors"
        )
    return blob


def decode(blob: bytes) -> Frame:
    """Returns the frame in ``blob``; the inverse of :func:`encode`.

    Raises:
        FrameError: ``blob`` is not a frame.
    """
    header = read_header(blob)
    arrays = load(blob)
    for column in _COLUMNS:
        arrays.pop(column)
    return Frame(
        header.job, header.attempt, header.seq, header.step, header.time_s, arrays, read_scalars(blob)
    )


def encode_scalars(scalars: Scalars, **about: str) -> bytes:
    """Returns scalar points alone as a safetensors blob (how the store and the viewers keep history).

    Args:
        scalars: the points.
        about: what else the metadata says, such as which series were thinned.
    """
    return _save({}, scalars, {"schema": SCHEMA, **about})


def read_scalars(blob: bytes) -> Scalars:
    """Returns the scalar points of a frame or of :func:`encode_scalars`, without decoding anything else.

    Raises:
        FrameError: ``blob`` holds no well-formed scalar columns.
    """
    start, header = _parse(blob)
    columns = {}
    for name, dtype in _COLUMNS.items():
        entry = header.get(name)
        if entry is None or entry["dtype"] != dtype or len(entry["shape"]) != 1:
            raise FrameError(f"{name!r} must be there as a 1-d array of {dtype}")
        begin, end = entry["data_offsets"]
        columns[name] = np.frombuffer(blob[start + begin : start + end], dtype=_NUMPY[dtype])
    names = _names(header["__metadata__"].get("series", "[]"))
    step, series, value = columns.values()
    if not len(step) == len(series) == len(value) or (len(series) and int(series.max()) >= len(names)):
        raise FrameError("the scalar columns differ in length or name a series that is not listed")
    return Scalars(names, step, series, value)


def read_header(blob: bytes) -> Header:
    """Checks a frame's header and returns its key; reads none of the arrays.

    Raises:
        FrameError: not a safetensors blob of a known schema, a malformed key, an array with a wrong name or
            size.
    """
    _, header = _parse(blob)
    metadata = header["__metadata__"]
    if metadata.get("schema") != SCHEMA:
        raise FrameError(f"schema {metadata.get('schema')!r} is not known; this service reads {SCHEMA!r}")
    for name in header:
        if name != "__metadata__" and name not in _COLUMNS and name.count("/") < 2:
            raise FrameError(f"array {name[:200]!r}: a name has the form statistic/part/tensor")
    try:
        numbers = {key: int(metadata[key]) for key in ("attempt", "seq", "step")}
        time_s = float(metadata["time_s"])
        job = metadata["job"]
    except (KeyError, ValueError) as error:
        raise FrameError(f"metadata must hold job, attempt, seq, step and time_s: {error}") from error
    if min(numbers.values()) < 0 or max(numbers.values()) >= 2**63 or not 0 <= time_s < MAX_TIME_S:
        raise FrameError("attempt, seq and step must lie in 0..2^63-1 and time_s between 1970 and 9999")
    return Header(job=job, time_s=time_s, **numbers)


def readdressed(blob: bytes, job: str) -> bytes:
    """Returns a frame that says it is of ``job`` and is otherwise the same.

    Raises:
        FrameError: ``blob`` is not a frame.
    """
    read_header(blob)
    start, header = _parse(blob)
    header["__metadata__"]["job"] = job
    return _with_header(header, blob[start:])


def of_tensor(blob: bytes, tensor: str) -> bytes:
    """Returns a frame with the arrays of one tensor and of its shadows alone, copied as they are; no scalars.

    Args:
        blob: a frame.
        tensor: the name of a parameter; a shadow's arrays are named ``statistic@label/part/tensor``.

    Raises:
        FrameError: ``blob`` is not a frame.
    """
    read_header(blob)
    start, header = _parse(blob)
    kept: dict[str, Any] = {"__metadata__": header["__metadata__"] | {"series": "[]"}}
    parts, end = [], 0
    for name, entry in sorted(header.items(), key=lambda item: item[1].get("data_offsets", [0])[0]):
        if name == "__metadata__" or (name not in _COLUMNS and name.split("/", 2)[2] != tensor):
            continue
        begin, stop = entry["data_offsets"]
        shape = [0] if name in _COLUMNS else entry["shape"]
        data = b"" if name in _COLUMNS else blob[start + begin : start + stop]
        kept[name] = {"dtype": entry["dtype"], "shape": shape, "data_offsets": [end, end + len(data)]}
        parts.append(data)
        end += len(data)
    return _with_header(kept, b"".join(parts))


def answer_of(blob: bytes | None, tensor: str, step: int) -> bytes:
    """Returns the answer to a viewer that asked what was known of ``tensor`` after ``step`` steps.

    It is :func:`of_tensor` with ``asked``, ``tensor`` and the step's ``lr`` in its metadata, and its ``seq`` called
    ``stored_seq``: so it is no frame to whoever stores frames, and to a viewer that does not know it an empty history.

    Args:
        blob: the frame that was found; None: there is none yet, and the answer holds no ``step`` and no arrays.
        tensor: the name of a parameter.
        step: as it was asked for.

    Raises:
        FrameError: ``blob`` is not a frame.
    """
    found = encode_scalars(Scalars()) if blob is None else of_tensor(blob, tensor)
    start, header = _parse(found)
    metadata = header["__metadata__"]
    if "seq" in metadata:
        metadata["stored_seq"] = metadata.pop("seq")
    metadata |= {"asked": str(step), "tensor": tensor}
    if blob is not None:
        metadata |= {name: repr(value) for name, value in read_scalars(blob).select(["lr"]).latest().items()}
    return _with_header(header, found[start:])


def _with_header(header: Mapping[str, Any], data: bytes) -> bytes:
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # the format aligns the arrays to 8 bytes
    return len(text).to_bytes(8, "little") + text + data


_NUMPY: dict[str, np.dtype[Any]] = {"I64": np.dtype("<i8"), "U32": np.dtype("<u4"), "F64": np.dtype("<f8")}


def _save(arrays: dict[str, npt.NDArray[Any]], scalars: Scalars, metadata: dict[str, str]) -> bytes:
    columns: dict[str, npt.NDArray[Any]] = {
        "scalars/step": scalars.step,
        "scalars/series": scalars.series,
        "scalars/value": scalars.value,
    }
    blob: bytes = save({**arrays, **columns}, {**metadata, "series": json.dumps(scalars.names)})
    return blob


@lru_cache(maxsize=16)
def _names(text: str) -> tuple[str, ...]:
    """Returns the series that a blob names; the frames of a job nearly all name the same ones."""
    try:
        names = json.loads(text)
    except ValueError as error:
        raise FrameError(f"the list of series is not JSON: {error}") from error
    if not isinstance(names, list) or not all(isinstance(n, str) and 0 < len(n) <= 512 for n in names):
        raise FrameError("the list of series must be a JSON list of strings of 1 to 512 characters")
    return tuple(names)


def _parse(blob: bytes) -> tuple[int, dict[str, Any]]:
    """Returns where the data starts and the parsed header, with every offset checked."""
    if len(blob) > MAX_FRAME_BYTES:
        raise FrameError(f"{len(blob):,} bytes given; at most {MAX_FRAME_BYTES:,} are allowed")
    length = int.from_bytes(blob[:8], "little")
    if len(blob) < 8 or length > min(MAX_HEADER_BYTES, len(blob) - 8):
        raise FrameError("not a safetensors blob: its header is cut short or too long")
    try:
        header = json.loads(blob[8 : 8 + length])
    except (ValueError, RecursionError) as error:
        raise FrameError(f"not a safetensors blob: its header is not JSON ({error})") from error
    if not isinstance(header, dict) or not isinstance(header.get("__metadata__"), dict):
        raise FrameError("not a frame: its header has no metadata")
    if not all(isinstance(v, str) for v in header["__metadata__"].values()):
        raise FrameError("metadata values must be strings")
    expected = 0
    data_bytes = len(blob) - 8 - length
    entries = sorted(
        (_offsets(name, entry), name) for name, entry in header.items() if name != "__metadata__"
    )
    for (begin, end), name in entries:
        if begin != expected or end > data_bytes:
            raise FrameError(f"array {name[:200]!r}: its data overlaps, leaves a gap or is cut short")
        expected = end
    if expected != data_bytes:
        raise FrameError(f"{data_bytes - expected} bytes at the end belong to no array")
    return 8 + length, header


def _offsets(name: str, entry: object) -> tuple[int, int]:
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [int(begin), int(end)]} if (
            dtype in _ITEM_BYTES
            and all(isinstance(n, int) and n >= 0 for n in shape)
            and math.prod(shape) * _ITEM_BYTES[dtype] == end - begin
        ):
            return begin, end
    raise FrameError(
        f"array {name[:200]!r}: dtype must be one of {', '.join(_ITEM_BYTES)} and its size fit its shape"
    )

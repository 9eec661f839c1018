"""Frames: what goes in comes out, and what is no frame is refused with a reason."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load

from sm3.remote.frames import (
    Frame,
    FrameError,
    Point,
    Scalars,
    answer_of,
    decode,
    encode,
    encode_scalars,
    of_tensor,
    read_header,
    read_scalars,
)

ARRAYS = st.dictionaries(
    st.text("abcxyz.", min_size=1, max_size=8).map(lambda n: f"accumulators/dim0/{n}"),
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=5)),
    max_size=5,
)
POINTS = st.lists(
    st.builds(Point, st.sampled_from(["loss", "lr", "rate_p50/a/b"]), st.integers(0, 2**40), st.floats()),
    max_size=20,
)


@given(arrays=ARRAYS, points=POINTS)
def test_a_frame_survives_its_encoding_bit_by_bit(arrays: dict[str, np.ndarray], points: list[Point]) -> None:
    frame = Frame("job-1", 2, 3, 40, 1.5, arrays, Scalars.from_points(points))
    back = decode(encode(frame))
    assert (back.job, back.attempt, back.seq, back.step, back.time_s) == ("job-1", 2, 3, 40, 1.5)
    assert back.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        assert back.arrays[name].dtype == array.dtype
        assert back.arrays[name].tobytes() == array.tobytes()
    assert same(back.scalars, frame.scalars)


def same(a: Scalars, b: Scalars) -> bool:
    return (
        a.names == b.names
        and np.array_equal(a.step, b.step)
        and np.array_equal(a.series, b.series)
        and np.array_equal(a.value, b.value, equal_nan=True)
    )


@given(parts=st.lists(POINTS, max_size=4))
def test_concatenated_scalars_are_all_points_in_order(parts: list[list[Point]]) -> None:
    whole = Scalars.concatenate(Scalars.from_points(part) for part in parts)
    listed = [
        (whole.names[s], int(t), float(v))
        for s, t, v in zip(whole.series, whole.step, whole.value, strict=True)
    ]
    wanted = [tuple(point) for part in parts for point in part]
    assert len(listed) == len(wanted)
    for found, expected in zip(listed, wanted, strict=True):
        assert found[:2] == expected[:2]
        assert found[2] == expected[2] or (math.isnan(found[2]) and math.isnan(expected[2]))


def test_selected_scalars_keep_their_names() -> None:
    scalars = Scalars.from_points([Point("a", 1, 1.0), Point("b", 1, 2.0), Point("a", 2, 3.0)])
    assert scalars.select(["b"]).latest() == {"b": 2.0}
    assert scalars.select(["a"]).by_series()["a"][1].tolist() == [1.0, 3.0]
    assert scalars.select(["none"]).names == ()
    assert same(read_scalars(encode_scalars(scalars)), scalars)


def blob(**metadata: str) -> bytes:
    frame = encode(Frame("j", 0, 0, 1, 0.0, {"a/b/c": np.ones(3, np.float32)}))
    length = int.from_bytes(frame[:8], "little")
    header = json.loads(frame[8 : 8 + length])
    header["__metadata__"] |= metadata
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + frame[8 + length :]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b"", "cut short"),
        (b"\xff" * 64, "cut short or too long"),
        ((2).to_bytes(8, "little") + b"{}", "no metadata"),
        ((4).to_bytes(8, "little") + b"nope", "not JSON"),
        (blob(schema="9"), "schema '9'"),
        (blob(seq="-1"), "must lie in"),
        (blob(seq="many"), "must hold"),
        (blob(time_s="nan"), "between 1970 and 9999"),
        (blob(time_s="1e300"), "between 1970 and 9999"),
        (blob()[:-1], "cut short"),
        (blob() + b"x", "belong to no array"),
    ],
)
def test_what_is_no_frame_is_refused_with_a_reason(broken: bytes, reason: str) -> None:
    with pytest.raises(FrameError, match=reason):
        read_header(broken)


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_and_nothing_else_is_raised(data: bytes) -> None:
    with pytest.raises(FrameError):
        read_header(data)


@given(position=st.integers(8, 400), value=st.integers(0, 255))
def test_a_damaged_header_is_refused_or_still_a_frame(position: int, value: int) -> None:
    whole = bytearray(blob())
    whole[position % len(whole)] = value
    try:
        read_header(bytes(whole))
        read_scalars(bytes(whole))
    except FrameError:
        pass


def test_an_array_name_needs_three_parts() -> None:
    with pytest.raises(FrameError, match="statistic/part/tensor"):
        encode(Frame("j", 0, 0, 1, 0.0, {"loss": np.ones(1, np.float32)}))


@given(arrays=ARRAYS, points=POINTS, tensor=st.text("abcxyz.@/", min_size=1, max_size=8))
def test_a_tensors_part_of_a_frame_is_its_arrays_and_its_shadows(
    arrays: dict[str, np.ndarray], points: list[Point], tensor: str
) -> None:
    arrays |= {
        f"accumulators/dim0/{tensor}": np.arange(3.0),
        f"accumulators@rows/dim1/{tensor}": np.ones((1, 2)),
    }
    frame = Frame("job-1", 2, 3, 40, 1.5, arrays, Scalars.from_points(points))
    part = decode(of_tensor(encode(frame), tensor))
    assert (part.job, part.attempt, part.seq, part.step, part.time_s) == ("job-1", 2, 3, 40, 1.5)
    assert part.arrays.keys() == {name for name in arrays if name.split("/", 2)[2] == tensor}
    for name, array in part.arrays.items():
        assert array.dtype == arrays[name].dtype
        assert array.tobytes() == arrays[name].tobytes()
    assert part.scalars.names == ()


def test_an_answer_is_no_frame_and_to_whoever_does_not_know_it_no_news() -> None:
    points = Scalars.from_points([Point("loss", 40, 1.0), Point("lr", 39, 0.1), Point("lr", 40, 0.3)])
    blob = encode(Frame("job-1", 2, 3, 40, 1.5, {"accumulators/dim0/w": np.arange(3.0)}, points))
    answer = answer_of(blob, "w", 44)
    with pytest.raises(FrameError):
        read_header(answer)
    assert read_scalars(answer).names == ()
    metadata = json.loads(answer[8 : 8 + int.from_bytes(answer[:8], "little")])["__metadata__"]
    assert (metadata["asked"], metadata["step"], metadata["lr"]) == ("44", "40", "0.3")
    assert load(answer)["accumulators/dim0/w"].tolist() == [0, 1, 2]
    nothing = answer_of(None, "w", 44)
    assert read_scalars(nothing).names == ()
    assert not any("/w" in name for name in load(nothing))

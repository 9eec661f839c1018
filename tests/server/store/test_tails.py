"""What is kept of the frames behind the last chunk: always what reading them all anew would give."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from server.store import FrameStore, JobStore
from server.store.recording import CHUNK_FRAMES
from server.store.tails import Key, Read, Tails
from sm3.remote.frames import Point, Scalars
from tests.conftest import tiny_job
from tests.server.store.recorded import blob


def stored(key: Key) -> Read:
    attempt, seq = key
    return Read(
        key, Scalars.from_points([Point("loss", seq, attempt + seq / 7), Point(f"s{seq % 3}", seq, seq)])
    )


def told(points: tuple[tuple[int, Scalars], ...]) -> list[tuple[int, str, int, float]]:
    return [
        (attempt, part.names[series], int(step), float(value))
        for attempt, part in points
        for series, step, value in zip(part.series, part.step, part.value, strict=True)
    ]


KEYS = st.sets(st.tuples(st.integers(0, 2), st.integers(0, 12)), max_size=20)


@given(st.lists(st.tuples(st.sampled_from("ab"), KEYS), max_size=8), st.sampled_from([0, 200, 10**6]))
def test_whatever_was_asked_before_the_answer_is_that_of_reading_all(
    questions: list[tuple[str, set[Key]]], max_bytes: int
) -> None:
    tails = Tails(max_bytes)
    for job_id, asked in questions:
        keys = tuple(sorted(asked))
        found = tails.points(job_id, keys, lambda after, keys=keys: [stored(k) for k in keys if k > after])
        assert told(found) == told(Tails().points(job_id, keys, lambda _, keys=keys: map(stored, keys)))


def test_only_what_came_since_is_read() -> None:
    tails, read = Tails(), []

    def reading(keys: tuple[Key, ...]) -> None:
        def behind(after: Key) -> list[Read]:
            fresh = [stored(key) for key in keys if key > after]
            read.extend(r.key for r in fresh)
            return fresh

        tails.points("a", keys, behind)

    keys = tuple((0, seq) for seq in range(100))
    reading(keys[:99])
    reading(keys)
    reading(keys)
    assert read == list(keys)


def test_no_more_is_kept_than_is_allowed() -> None:
    tails, reads = Tails(max_bytes=2 * 40), []

    def ask(job_id: str) -> None:
        tails.points(job_id, ((0, 0),), lambda _: reads.append(job_id) or [stored((0, 0))])  # 40 bytes

    for job_id in ("a", "b", "a", "c", "c", "b", "a"):
        ask(job_id)
    assert reads == ["a", "b", "c", "a"]


def test_a_history_follows_its_frames_across_chunks_and_attempts(jobs: JobStore, frames: FrameStore) -> None:
    job = jobs.create(tiny_job())
    for seq in range(2 * CHUNK_FRAMES + 3):
        frames.add(job.id, blob(job, seq, loss=seq / 7, **{"growth/w": 1.0}))
        if seq % 50 == 0 or seq % CHUNK_FRAMES in (0, CHUNK_FRAMES - 1):
            fresh = FrameStore(frames.database, frames.segments)
            for one, other in (
                (frames.history(job.id, job_wide=True), fresh.history(job.id, job_wide=True)),
                (frames.tensor_history(job.id, "w"), fresh.tensor_history(job.id, "w")),
            ):
                assert one.names == other.names
                np.testing.assert_array_equal(one.step, other.step)
                np.testing.assert_array_equal(one.value, other.value)
                assert len(one.step) == seq + 1

"""Jobs that are fed by hand: a service without slots, whose frames a test makes itself."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field

from sqlalchemy import delete, update

from benchmarks.feeding import make_frame, running_job
from server.auth import digest, new_ingest_token
from server.store import Database, FrameStore, JobStore
from server.store.tables import FrameRow, JobRow
from sm3.remote.client import Client, Unreachable
from sm3.remote.wire import JobState, WorkerReport
from tests.conftest import RunningService


@dataclass
class FedJob:
    """A running job without a worker; its frames come from :meth:`feed`."""

    service: RunningService
    id: str = ""
    token: str = ""
    attempt: int = 0
    seq: int = 0
    keys: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.id, self.token = running_job(self.service)  # type: ignore[arg-type]

    def feed(self, count: int, *, size_bytes: int = 2000, tensors: int = 2) -> None:
        """Stores the next ``count`` frames over HTTP, however long the service is away."""
        with Client(self.service.url, self.token, timeout_s=30.0) as client:
            for _ in range(count):
                blob = make_frame(
                    self.id, self.seq, size_bytes=size_bytes, attempt=self.attempt, tensors=tensors
                )
                while True:
                    with suppress(Unreachable):
                        client.put_frame(self.id, self.attempt, self.seq, blob)
                        break
                    time.sleep(0.05)
                self.keys.append((self.attempt, self.seq))
                self.seq += 1

    def end(self) -> None:
        """Ends the job as succeeded."""
        with Client(self.service.url, self.token) as client:
            client.report(self.id, WorkerReport(attempt=self.attempt, state="succeeded", cause="all is done"))

    def next_attempt(self) -> None:
        """Goes on as another attempt, with a token of its own."""
        self.token, self.attempt, self.seq = new_ingest_token(), self.attempt + 1, 0
        self._change(update(JobRow).values(attempt=self.attempt, ingest_digest=digest(self.token)))

    def move(self, state: JobState) -> None:
        """Moves the job behind the service's back, as another process would."""
        database = self._database()
        JobStore(database).move(self.id, state, "another process did it")
        database.close()

    def store_elsewhere(self) -> None:
        """Stores the next frame behind the service's back, as another API process would."""
        database = self._database()
        blob = make_frame(self.id, self.seq, size_bytes=2000, attempt=self.attempt, tensors=2)
        FrameStore(database).add(self.id, blob)
        database.close()
        self.keys.append((self.attempt, self.seq))
        self.seq += 1

    def forget_frames(self, below: int) -> None:
        """Deletes the frames of this attempt that are numbered below ``below``."""
        self._change(
            delete(FrameRow).where(FrameRow.attempt == self.attempt, FrameRow.seq < below), FrameRow.job_id
        )

    def delete(self) -> None:
        """Deletes the job."""
        self._change(delete(JobRow))

    def _change(self, statement, column=JobRow.id) -> None:  # type: ignore[no-untyped-def]
        database = self._database()
        with database.write() as session:
            session.execute(statement.where(column == self.id))
        database.close()

    def _database(self) -> Database:
        return Database(f"sqlite:///{self.service.data_dir / 'store.sqlite3'}")

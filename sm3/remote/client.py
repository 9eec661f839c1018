"""The service's REST API from Python.

```python
from sm3.remote.client import Client
from sm3.remote.job_specs import JobSpec

with Client.from_settings() as client:
    job = client.launch(JobSpec(recipe={"name": "language-model"}, steps=100))
    for event in client.events(job.id):
        print(event.name, event.data)
```
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx

from sm3.remote.comparison_calls import ComparisonCalls
from sm3.remote.errors import RemoteError, ServiceError, Unreachable, check
from sm3.remote.events import Event, read_events
from sm3.remote.job_specs import CloneSpec, JobPatch, JobSpec
from sm3.remote.ledger_calls import LedgerCalls
from sm3.remote.recorded_calls import RecordedCalls
from sm3.remote.simulation_calls import SimulationCalls
from sm3.remote.system_calls import SystemCalls
from sm3.remote.token_calls import TokenCalls
from sm3.remote.transfer import Transfer
from sm3.remote.transport import JSON
from sm3.remote.wire import (
    CheckpointList,
    CheckpointView,
    JobPage,
    JobState,
    JobView,
    RecipeList,
    RecipeView,
    StatisticList,
    StatisticView,
    Ticket,
    Transition,
    TransitionList,
)

__all__ = ["Client", "Event", "RemoteError", "ServiceError", "Unreachable"]


class Client(Transfer, TokenCalls, ComparisonCalls, RecordedCalls, LedgerCalls, SimulationCalls, SystemCalls):
    """Speaks with one service; every method raises `Unreachable` or `ServiceError`.

    See :class:`sm3.remote.transport.Transport` for how to make one. What is not below is in the classes it is made of.
    """

    # ── jobs

    def launch(self, spec: JobSpec, *, key: str | None = None) -> JobView:
        """Queues a job and returns it; with a ``key`` of the caller's own, once however often it is sent."""
        headers = {"Idempotency-Key": key} if key is not None else {}
        return self._post("/v1/jobs", JobView, spec, headers=headers)

    def jobs(
        self,
        *,
        after: str | None = None,
        limit: int = 50,
        state: JobState | Sequence[JobState] | None = None,
        recipe: str | None = None,
        label: str | Sequence[str] | None = None,
        comparison: str | None = None,
        text: str | None = None,
    ) -> JobPage:
        """Returns a page of jobs, newest first.

        Args:
            after: ``next`` of the page before.
            limit: how many at most, up to 500.
            state: only jobs in this state, or one of these.
            recipe: only jobs of this recipe.
            label: only jobs with this label, ``key`` or ``key:value``, or all of these.
            comparison: only jobs of the comparison with this id.
            text: only jobs with all of these words in id, recipe, optimizer, labels or notes.
        """
        chosen = {"state": state, "recipe": recipe, "label": label, "comparison": comparison, "q": text}
        return self._get("/v1/jobs", JobPage, after=after, limit=limit, **chosen)

    def job(self, job_id: str) -> JobView:
        """Returns a job."""
        return self._get(f"/v1/jobs/{job_id}", JobView)

    def cancel(self, job_id: str) -> JobView:
        """Stops a job."""
        return self._post(f"/v1/jobs/{job_id}/cancel", JobView)

    def pause(self, job_id: str) -> JobView:
        """Asks a job to write a checkpoint and free its slot."""
        return self._post(f"/v1/jobs/{job_id}/pause", JobView)

    def resume(self, job_id: str) -> JobView:
        """Queues a paused job; it goes on exactly where it stopped."""
        return self._post(f"/v1/jobs/{job_id}/resume", JobView)

    def change(self, job_id: str, patch: JobPatch) -> JobView:
        """Changes a job's labels, notes or priority."""
        content = patch.model_dump_json(exclude_none=True)
        return self._read(
            self._request("PATCH", f"/v1/jobs/{job_id}", content=content, headers=JSON), JobView
        )

    def clone(self, job_id: str, change: CloneSpec | None = None) -> JobView:
        """Queues a new job like this one, with ``change`` in its spec."""
        return self._post(f"/v1/jobs/{job_id}/clone", JobView, change or CloneSpec())

    def delete(self, job_id: str) -> None:
        """Deletes a job that has ended, with all that is stored of it."""
        self._request("DELETE", f"/v1/jobs/{job_id}")

    def checkpoints(self, job_id: str) -> tuple[CheckpointView, ...]:
        """Returns what the job can go on from, newest first."""
        return self._get(f"/v1/jobs/{job_id}/checkpoints", CheckpointList).items

    def weights(self, job_id: str, step: int) -> bytes:
        """Returns the weights in the checkpoint of ``step``, as safetensors; ``safetensors.torch.load`` reads them."""
        return self._request("GET", f"/v1/jobs/{job_id}/checkpoints/{step}/model").content

    def transitions(self, job_id: str) -> tuple[Transition, ...]:
        """Returns the job's changes of state, oldest first."""
        return self._get(f"/v1/jobs/{job_id}/transitions", TransitionList).items

    def log(self, job_id: str) -> str:
        """Returns the last 64 KiB of what the job's worker wrote."""
        return self._request("GET", f"/v1/jobs/{job_id}/log").text

    def ticket(self, job_id: str) -> Ticket:
        """Returns a single-use pass for the job's live WebSocket."""
        return self._post(f"/v1/jobs/{job_id}/tickets", Ticket)

    # ── what can be asked for

    def recipes(self) -> tuple[RecipeView, ...]:
        """Returns what can be launched."""
        return self._get("/v1/recipes", RecipeList).items

    def statistics(self) -> tuple[StatisticView, ...]:
        """Returns what a job can record."""
        return self._get("/v1/statistics", StatisticList).items

    def is_alive(self) -> bool:
        """Whether the service answers, be it only to say what it lacks."""
        return self._answers("/healthz")

    def is_ready(self) -> bool:
        """Whether the service answers and can do its work: store, room on its disks, supervisor."""
        return self._answers("/readyz")

    def _answers(self, path: str) -> bool:
        try:
            self._request("GET", path)
        except RemoteError:
            return False
        return True

    def events(
        self,
        job_id: str,
        *,
        last_event_id: str | None = None,
        follow: bool = True,
        tail: int | None = None,
        catch_up: bool = True,
        reconnect_s: float = 30.0,
    ) -> Iterator[Event]:
        """Yields the job's events until it has ended (or, without ``follow``, until now), each of them once.

        A stream that breaks off goes on where it was, over as many connections as it takes.

        Args:
            job_id: the job.
            last_event_id: the newest event seen: go on behind it.
            follow: wait for what comes.
            tail: begin with the newest so many frames.
            catch_up: get every frame, however late; otherwise a ``gap`` tells what this reader was too slow for.
            reconnect_s: how long the service may be away, in seconds.
        """
        query = {"follow": follow, "catch_up": catch_up} | ({} if tail is None else {"tail": tail})
        return read_events(
            self._http, f"/v1/jobs/{job_id}/events", query, last_event_id, reconnect_s=reconnect_s
        )

    def export(self, job_id: str, *, points: str = "latest", tail: int | None = None) -> Iterator[Event]:
        """Yields what is stored of a job as events, read in pieces; ``points`` are ``latest``, ``job`` or ``all``."""
        query: dict[str, Any] = {"points": points} | ({} if tail is None else {"tail": tail})
        try:
            with self._http.stream("GET", f"/v1/jobs/{job_id}/events.ndjson", params=query) as response:
                if response.is_error:
                    response.read()
                check(response)
                for line in response.iter_lines():
                    if line:
                        found = json.loads(line)
                        yield Event(found["event"], found["id"], found["data"])
        except httpx.TransportError as error:
            raise Unreachable(self.url, error) from error

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
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from sm3.remote.bearer import Bearer
from sm3.remote.comparison_specs import ComparisonSpec
from sm3.remote.comparison_views import ComparisonPage, ComparisonStatistics, ComparisonView, LossSeries
from sm3.remote.errors import RemoteError, ServiceError, Unreachable, check
from sm3.remote.events import Event, read_events
from sm3.remote.job_specs import CloneSpec, JobPatch, JobSpec
from sm3.remote.ledger_specs import LedgerSpec
from sm3.remote.ledger_views import JobLedger, LedgerAnswer, ModelList, ModelView
from sm3.remote.settings import ClientSettings
from sm3.remote.token_calls import TokenCalls
from sm3.remote.transfer import Transfer
from sm3.remote.wire import (
    AdvisedTensor,
    CheckpointList,
    CheckpointView,
    FramePage,
    JobPage,
    JobState,
    JobView,
    Manifest,
    Metrics,
    RecipeList,
    RecipeView,
    StatisticList,
    StatisticView,
    TensorInfo,
    TensorList,
    Ticket,
    Transition,
    TransitionList,
    WorkerReport,
)

Model = TypeVar("Model", bound=BaseModel)
_BINARY = {"Content-Type": "application/vnd.safetensors"}
__all__ = ["Client", "Event", "RemoteError", "ServiceError", "Unreachable"]


class Client(Transfer, TokenCalls):
    """Speaks with one service; every method raises `Unreachable` or `ServiceError`.

    Args:
        url: the service's address, such as ``http://127.0.0.1:8000``.
        token: bearer token; '' sends none.
        timeout_s: how long an answer may take, in seconds.
    """

    def __init__(self, url: str, token: str = "", *, timeout_s: float = 10.0) -> None:
        self.url = url.rstrip("/")
        # The environment's proxies are not for a service that is, as a rule, on this machine.
        self._http = httpx.Client(
            base_url=self.url, auth=Bearer(lambda: token), timeout=timeout_s, trust_env=False
        )

    @classmethod
    def from_settings(cls, settings: ClientSettings | None = None) -> Self:
        """Returns a client for the service that ``settings`` (default: the environment) name."""
        settings = settings or ClientSettings()
        client = cls(settings.url)
        client._http.auth = Bearer(settings.bearer)  # which looks again after a 401
        return client

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the connections."""
        self.close()

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
            self._request("PATCH", f"/v1/jobs/{job_id}", content=content, headers=_JSON), JobView
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

    # ── comparisons

    def compare(self, spec: ComparisonSpec) -> ComparisonView:
        """Queues a comparison's jobs, all or none, and returns it."""
        return self._post("/v1/comparisons", ComparisonView, spec)

    def comparisons(self, *, after: str | None = None, limit: int = 50) -> ComparisonPage:
        """Returns a page of comparisons, newest first."""
        return self._get("/v1/comparisons", ComparisonPage, after=after, limit=limit)

    def comparison(self, comparison_id: str) -> ComparisonView:
        """Returns a comparison: what was asked, its jobs and their states."""
        return self._get(f"/v1/comparisons/{comparison_id}", ComparisonView)

    def cancel_comparison(self, comparison_id: str) -> ComparisonView:
        """Stops the jobs of a comparison that have not ended."""
        return self._post(f"/v1/comparisons/{comparison_id}/cancel", ComparisonView)

    def comparison_statistics(
        self,
        comparison_id: str,
        *,
        reference: str | None = None,
        series: LossSeries = LossSeries.VAL_LOSS,
        confidence: float = 0.9,
        target: float | None = None,
        window: int | None = None,
    ) -> ComparisonStatistics:
        """Returns how the variants differ from one of them (default: the first), with bands.

        Args:
            comparison_id: the comparison.
            reference: name of the variant to compare with.
            series: the loss that is compared.
            confidence: of the bands, 0.5 to 0.999.
            target: the loss to reach; default: the reference's mean final loss.
            window: steps that a point of the training loss averages; default: a fiftieth of the run.
        """
        path = f"/v1/comparisons/{comparison_id}/statistics"
        query = {"reference": reference, "series": series, "target": target, "window": window}
        return self._get(path, ComparisonStatistics, confidence=confidence, **query)

    # ── what was recorded

    def metrics(self, job_id: str, names: Sequence[str] | None = None, *, max_points: int = 2000) -> Metrics:
        """Returns scalar series; all job-wide ones if no ``names`` are given."""
        return self._get(f"/v1/jobs/{job_id}/metrics", Metrics, name=names, max_points=max_points)

    def tensors(self, job_id: str) -> tuple[TensorInfo, ...]:
        """Returns the model's tensors and what the optimizer keeps for each."""
        return self._get(f"/v1/jobs/{job_id}/tensors", TensorList).items

    def advice(self, job_id: str) -> tuple[AdvisedTensor, ...]:
        """Returns what the advisor chose for each tensor; empty where the job did not ask it."""
        return self._get(f"/v1/jobs/{job_id}/tensors", TensorList).advice

    def frames(self, job_id: str, *, after: str | None = None, limit: int = 500) -> FramePage:
        """Returns a page of the stored frames, oldest first."""
        return self._get(f"/v1/jobs/{job_id}/frames", FramePage, after=after, limit=limit)

    def frame(self, job_id: str, attempt: int, seq: int) -> bytes:
        """Returns one frame; `sm3.remote.frames.decode` reads it."""
        return self._request("GET", f"/v1/jobs/{job_id}/frames/{attempt}/{seq}").content

    def latest_frame(self, job_id: str) -> bytes:
        """Returns the newest frame."""
        return self._request("GET", f"/v1/jobs/{job_id}/frames/latest").content

    # ── the ledger

    def ledger(self, spec: LedgerSpec) -> LedgerAnswer:
        """Returns where every byte of a model goes under each optimizer asked for."""
        return self._post("/v1/ledger", LedgerAnswer, spec)

    def job_ledger(self, job_id: str) -> JobLedger:
        """Returns a job's bytes, predicted and measured, and what the difference means."""
        return self._get(f"/v1/jobs/{job_id}/ledger", JobLedger)

    def models(self) -> tuple[ModelView, ...]:
        """Returns the architectures that the ledger knows by name."""
        return self._get("/v1/models", ModelList).items

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

    # ── what a worker says

    def put_frame(self, job_id: str, attempt: int, seq: int, blob: bytes) -> None:
        """Stores a frame; when this returns it is on the service's disk."""
        path = f"/v1/jobs/{job_id}/frames/{attempt}/{seq}"
        self._request("PUT", path, content=blob, headers=_BINARY)

    def put_manifest(self, job_id: str, manifest: Manifest) -> None:
        """Tells the job's tensors, bytes and provenance."""
        path = f"/v1/jobs/{job_id}/manifest"
        self._request("PUT", path, content=manifest.model_dump_json(), headers=_JSON)

    def report(self, job_id: str, word: WorkerReport) -> None:
        """Tells the job's state."""
        self._request("POST", f"/v1/jobs/{job_id}/report", content=word.model_dump_json(), headers=_JSON)

    # ── plumbing

    def _get(self, path: str, model: type[Model], **query: Any) -> Model:
        given = {key: value for key, value in query.items() if value is not None}
        return self._read(self._request("GET", path, params=given), model)

    def _post(
        self,
        path: str,
        model: type[Model],
        body: BaseModel | None = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Model:
        content = body.model_dump_json() if body is not None else None
        return self._read(
            self._request("POST", path, content=content, headers=_JSON | dict(headers or {})), model
        )

    def _delete(self, path: str, model: type[Model]) -> Model:
        return self._read(self._request("DELETE", path), model)

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **arguments)
        except httpx.TransportError as error:
            raise Unreachable(self.url, error) from error
        check(response)
        return response

    def _download(self, path: str, target: BinaryIO, **arguments: Any) -> int:
        """Writes the body of an answer to ``target`` as it comes; returns how many bytes."""
        size_bytes = 0
        try:
            with self._http.stream("GET", path, **arguments) as response:
                if response.is_error:
                    response.read()
                check(response)
                for piece in response.iter_bytes():
                    size_bytes += target.write(piece)
        except httpx.TransportError as error:
            raise Unreachable(self.url, error) from error
        return size_bytes

    def _read(self, response: httpx.Response, model: type[Model]) -> Model:
        try:
            return model.model_validate_json(response.content)
        except ValidationError as error:
            raise Unreachable(self.url, f"its answer is not that of an SM3 Scope service: {error}") from error


_JSON = {"Content-Type": "application/json"}

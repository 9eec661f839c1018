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
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from httpx_sse import connect_sse
from pydantic import BaseModel, ValidationError

from sm3.remote.bearer import Bearer
from sm3.remote.comparison_specs import ComparisonSpec
from sm3.remote.comparison_views import ComparisonPage, ComparisonStatistics, ComparisonView, LossSeries
from sm3.remote.job_specs import JobSpec
from sm3.remote.settings import ClientSettings
from sm3.remote.token_calls import TokenCalls
from sm3.remote.wire import (
    AdvisedTensor,
    FramePage,
    JobPage,
    JobState,
    JobView,
    Manifest,
    Metrics,
    Problem,
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


class RemoteError(Exception):
    """Base of what speaking with the service can raise."""


class Unreachable(RemoteError):  # noqa: N818 - reads as what it is
    """The service did not answer."""

    def __init__(self, url: str, error: object) -> None:
        super().__init__(
            f"The service at {url} does not answer ({error}). Start it with `sm3 up`, or set SM3_URL to where it is."
        )


class ServiceError(RemoteError):
    """The service refused; `problem` says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail or problem.title)
        self.problem = problem


@dataclass(frozen=True)
class Event:
    """One server-sent event: `name` is ``state``, ``frame`` or ``end``; `data` is its JSON."""

    name: str
    id: str
    data: dict[str, Any]


class Client(TokenCalls):
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

    def launch(self, spec: JobSpec) -> JobView:
        """Queues a job and returns it."""
        return self._post("/v1/jobs", JobView, spec)

    def jobs(self, *, after: str | None = None, limit: int = 50, state: JobState | None = None) -> JobPage:
        """Returns a page of jobs, newest first."""
        return self._get("/v1/jobs", JobPage, after=after, limit=limit, state=state)

    def job(self, job_id: str) -> JobView:
        """Returns a job."""
        return self._get(f"/v1/jobs/{job_id}", JobView)

    def cancel(self, job_id: str) -> JobView:
        """Stops a job."""
        return self._post(f"/v1/jobs/{job_id}/cancel", JobView)

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

    def recipes(self) -> tuple[RecipeView, ...]:
        """Returns what can be launched."""
        return self._get("/v1/recipes", RecipeList).items

    def statistics(self) -> tuple[StatisticView, ...]:
        """Returns what a job can record."""
        return self._get("/v1/statistics", StatisticList).items

    def is_ready(self) -> bool:
        """Whether the service answers and can read its store."""
        try:
            self._request("GET", "/readyz")
        except RemoteError:
            return False
        return True

    def events(
        self, job_id: str, *, last_event_id: str | None = None, follow: bool = True
    ) -> Iterator[Event]:
        """Yields the job's events until it has ended (or, without ``follow``, until now)."""
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        query = {"follow": str(follow).lower()}
        timeout = httpx.Timeout(10.0, read=60.0)
        path = f"/v1/jobs/{job_id}/events"
        try:
            with connect_sse(
                self._http, "GET", path, params=query, headers=headers, timeout=timeout
            ) as source:
                if source.response.is_error:
                    source.response.read()
                _check(source.response)
                for event in source.iter_sse():
                    if not event.data:  # a comment line: httpx-sse gives it as an event once an id was seen
                        continue
                    yield Event(event.event, event.id, json.loads(event.data))
                    if event.event == "end":
                        return
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

    def _post(self, path: str, model: type[Model], body: BaseModel | None = None) -> Model:
        content = body.model_dump_json() if body is not None else None
        return self._read(self._request("POST", path, content=content, headers=_JSON), model)

    def _delete(self, path: str, model: type[Model]) -> Model:
        return self._read(self._request("DELETE", path), model)

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **arguments)
        except httpx.TransportError as error:
            raise Unreachable(self.url, error) from error
        _check(response)
        return response

    def _read(self, response: httpx.Response, model: type[Model]) -> Model:
        try:
            return model.model_validate_json(response.content)
        except ValidationError as error:
            raise Unreachable(self.url, f"its answer is not that of an SM3 Scope service: {error}") from error


_JSON = {"Content-Type": "application/json"}


def _check(response: httpx.Response) -> None:
    if not response.is_error:
        return
    try:
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        problem = Problem(
            type="about:blank",
            title=response.reason_phrase,
            status=response.status_code,
            detail=f"HTTP {response.status_code} {response.reason_phrase}",
        )
    raise ServiceError(problem)

"""The jobs API as a state machine: what hypothesis may do, and what must hold after each step.

`Model` is what a client believes; the rules act over HTTP on a real application whose workers are puppets, so a
step takes milliseconds. To add a move of the API (pause, resume, delete, clone): one `@rule` that acts, updates
`Model.jobs`, and says with `refused()` when it must not succeed. `MOVES` of `server.lifecycle` is the oracle.
"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import httpx
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from starlette.testclient import TestClient

from server.app import create_app
from server.execution.base import Ended
from server.execution.supervisor import Supervisor
from server.lifecycle import HAVE_WORKER, MOVES
from server.service import Service
from server.settings import Settings
from sm3.remote.tokens import Scope, TokenSpec
from sm3.remote.wire import JobState
from tests.fuzz.job_model import BODY, FAULTS, MANIFEST, RETRIES, SLOTS, Model, Puppets
from tests.fuzz.malformed import good_frame
from tests.store_rows import rows


class JobMachine(RuleBasedStateMachine):
    """Rules over the jobs API."""

    requests: ClassVar[int] = 0
    steps: ClassVar[int] = 0
    jobs = Bundle("jobs")
    comparisons = Bundle("comparisons")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)
        # No slots while the application is made, so that no real worker starts; then as many as the puppets have.
        self.service = Service.open(Settings(data_dir=folder / "data", slots=0, auth_failures_per_minute=0))
        self.client = TestClient(create_app(self.service), base_url="http://127.0.0.1:8000")
        self.client.__enter__()
        self.service.settings.slots = SLOTS
        self.puppets = Puppets(folder / "workers")
        self.supervisor = Supervisor(self.service, self.puppets)
        self.admin = self.service.settings.admin_token()
        self.viewer = self.service.access.tokens.create(TokenSpec(name="v", scope=Scope.VIEW)).secret
        self.model = Model()

    def teardown(self) -> None:
        self.client.__exit__()
        self.service.database.close()
        self.folder.cleanup()

    # ── how rules ask

    def ask(self, method: str, path: str, *, token: str | None = None, **more: Any) -> httpx.Response:
        """Sends a request; no answer may be an error of the service's own."""
        type(self).requests += 1
        headers = {"Authorization": f"Bearer {token or self.admin}"}
        answer = self.client.request(method, path, headers=headers, **more)
        assert answer.status_code < 500, answer.text
        return answer

    def refused(self, status: int, method: str, path: str, **more: Any) -> None:
        """Sends a request that must be refused with ``status`` and change nothing."""
        before = rows(self.service.settings.data_dir)
        answer = self.ask(method, path, **more)
        assert answer.status_code == status, answer.text
        assert answer.json()["status"] == status
        assert rows(self.service.settings.data_dir) == before

    def attempt(self, job_id: str) -> int:
        """The job's current attempt; 0 before it has begun one."""
        return max(0, self.model.attempts.get(job_id, -1))

    def moved(self, job_id: str, state: JobState) -> None:
        """Notes that a job has moved, which the table of moves must allow."""
        assert state in MOVES[self.model.jobs[job_id]], f"{self.model.jobs[job_id]} to {state}"
        self.model.jobs[job_id] = state

    # ── rules

    @initialize(target=jobs)
    def first(self) -> Any:
        return self.create()

    @rule(target=jobs)
    def create(self) -> str:
        answer = self.ask("POST", "/v1/jobs", json=BODY)
        assert answer.status_code == 201
        job_id = str(answer.json()["id"])
        assert answer.headers["location"] == f"/v1/jobs/{job_id}"
        self.model.jobs[job_id], self.model.frames[job_id] = JobState.QUEUED, set()
        return job_id

    @rule(target=jobs, key=st.sampled_from(["a", "b"]), steps=st.integers(5, 6))
    def create_once(self, key: str, steps: int) -> Any:
        headers = {"Authorization": f"Bearer {self.admin}", "Idempotency-Key": key}
        body = BODY | {"steps": steps}
        answer = self.client.post("/v1/jobs", json=body, headers=headers)
        type(self).requests += 1
        made = self.model.keys.get(key)
        if made is None or made[0] not in self.model.jobs:  # deleting a job frees its key
            assert answer.status_code == 201, answer.text
            job_id = str(answer.json()["id"])
            self.model.keys[key] = (job_id, steps)
            self.model.jobs[job_id], self.model.frames[job_id] = JobState.QUEUED, set()
            return job_id
        assert answer.status_code == (200 if made[1] == steps else 422), answer.text
        assert made[1] != steps or answer.json()["id"] == made[0]
        return multiple()

    @rule(target=jobs, job=jobs)
    def clone(self, job: str) -> Any:
        if job not in self.model.jobs:
            self.refused(404, "POST", f"/v1/jobs/{job}/clone", json={})
            return multiple()
        self.refused(422, "POST", f"/v1/jobs/{job}/clone", json={"change": {"steps": 0}})
        answer = self.ask("POST", f"/v1/jobs/{job}/clone", json={"change": {"seed": 3}})
        assert answer.status_code == 201
        assert answer.json()["cloned_from"] == job
        job_id = str(answer.json()["id"])
        self.model.jobs[job_id], self.model.frames[job_id] = JobState.QUEUED, set()
        return job_id

    @rule(job=jobs)
    def pause(self, job: str) -> None:
        state = self.model.jobs.get(job)
        if state is None:
            self.refused(404, "POST", f"/v1/jobs/{job}/pause")
        elif state.is_final or state is JobState.CANCELLING:
            self.refused(409, "POST", f"/v1/jobs/{job}/pause")
        else:
            assert self.ask("POST", f"/v1/jobs/{job}/pause").status_code == 200
            if state is JobState.QUEUED:
                self.moved(job, JobState.PAUSED)
            elif state in {JobState.STARTING, JobState.RUNNING}:
                self.moved(job, JobState.PAUSING)

    @rule(job=jobs)
    def resume(self, job: str) -> None:
        state = self.model.jobs.get(job)
        if state is None:
            self.refused(404, "POST", f"/v1/jobs/{job}/resume")
        elif state.is_final or state in {JobState.CANCELLING, JobState.PAUSING}:
            self.refused(409, "POST", f"/v1/jobs/{job}/resume")
        else:
            assert self.ask("POST", f"/v1/jobs/{job}/resume").status_code == 200
            if state is JobState.PAUSED:
                self.moved(job, JobState.QUEUED)

    @rule(job=jobs)
    def delete(self, job: str) -> None:
        state = self.model.jobs.get(job)
        self.refused(403, "DELETE", f"/v1/jobs/{job}", token=self.viewer)
        if state is None:
            self.refused(404, "DELETE", f"/v1/jobs/{job}")
        elif not state.is_final:
            self.refused(409, "DELETE", f"/v1/jobs/{job}")
        else:
            assert self.ask("DELETE", f"/v1/jobs/{job}").status_code == 204
            for held in (self.model.jobs, self.model.frames, self.model.attempts, self.model.failures):
                held.pop(job, None)  # type: ignore[attr-defined]

    @rule(job=jobs, notes=st.text(max_size=20))
    def annotate(self, job: str, notes: str) -> None:
        if job not in self.model.jobs:
            self.refused(404, "PATCH", f"/v1/jobs/{job}", json={"notes": notes})
            return
        answer = self.ask("PATCH", f"/v1/jobs/{job}", json={"notes": notes})
        assert answer.status_code == 200
        assert answer.json()["notes"] == notes.replace("\x00", "\ufffd")

    @rule(body=st.sampled_from(FAULTS))
    def create_faulty(self, body: dict[str, Any]) -> None:
        self.refused(422, "POST", "/v1/jobs", json=body)

    @rule()
    def create_as_viewer(self) -> None:
        self.refused(403, "POST", "/v1/jobs", json=BODY, token=self.viewer)

    @rule(target=comparisons)
    def compare(self) -> str:
        change = {"optimizer": {"momentum": 0.0}}
        body = {"base": BODY, "variants": [{"name": "a"}, {"name": "b", "change": change}], "seeds": [0]}
        answer = self.ask("POST", "/v1/comparisons", json=body)
        assert answer.status_code == 201, answer.text
        made = answer.json()
        ids = [job_id for variant in made["variants"] for job_id in variant["jobs"]]
        for job_id in sorted(ids):
            self.model.jobs[job_id], self.model.frames[job_id] = JobState.QUEUED, set()
        self.model.comparisons[made["id"]] = ids
        return str(made["id"])

    @rule(target=jobs, comparison=consumes(comparisons))
    def look_into_comparison(self, comparison: str) -> Any:
        answer = self.ask("GET", f"/v1/comparisons/{comparison}")
        found = [job_id for variant in answer.json()["variants"] for job_id in variant["jobs"]]
        there = [job_id for job_id in found if job_id is not None]
        assert there == [job_id for job_id in self.model.comparisons[comparison] if job_id in self.model.jobs]
        return multiple(*there)

    @rule(comparison=comparisons)
    def cancel_comparison(self, comparison: str) -> None:
        assert self.ask("POST", f"/v1/comparisons/{comparison}/cancel").status_code == 200
        for job_id in self.model.comparisons[comparison]:
            if job_id in self.model.jobs:
                self._cancelled(job_id)

    @rule(job=jobs)
    def cancel(self, job: str) -> None:
        state = self.model.jobs.get(job)
        if state is None or (state.is_final and state is not JobState.CANCELLED):
            self.refused(404 if state is None else 409, "POST", f"/v1/jobs/{job}/cancel")
            return
        assert self.ask("POST", f"/v1/jobs/{job}/cancel").status_code == 200
        self._cancelled(job)

    def _cancelled(self, job: str) -> None:
        state = self.model.jobs[job]
        if state in {JobState.QUEUED, JobState.PAUSED}:
            self.moved(job, JobState.CANCELLED)
        elif not state.is_final and state is not JobState.CANCELLING:
            self.moved(job, JobState.CANCELLING)

    @rule(name=st.sampled_from(["nobody", "..", "%00", "a b", "☃", "0" * 36]))
    def ask_for_nothing(self, name: str) -> None:
        for method, path in (("GET", ""), ("POST", "/cancel"), ("GET", "/frames"), ("POST", "/tickets")):
            before = rows(self.service.settings.data_dir)
            answer = self.ask(method, f"/v1/jobs/{name}{path}")
            assert answer.status_code in {404, 405, 307}, answer.text
            assert rows(self.service.settings.data_dir) == before

    @rule()
    def supervise(self) -> None:
        """One round: what has ended is settled, then the oldest queued jobs start while there are slots."""
        for job_id, state in list(self.model.jobs.items()):
            if state in HAVE_WORKER and (job_id, self.attempt(job_id)) in self.puppets.ended:
                self.moved(job_id, self._after(job_id, state))
        free = SLOTS - sum(state in HAVE_WORKER for state in self.model.jobs.values())
        queued = [job_id for job_id, state in self.model.jobs.items() if state is JobState.QUEUED]
        for job_id in sorted(queued)[: max(0, free)]:
            self.model.attempts[job_id] = self.model.attempts.get(job_id, -1) + 1
            self.moved(job_id, JobState.STARTING)
        self.supervisor.round()

    def _after(self, job_id: str, state: JobState) -> JobState:
        """What becomes of a job whose worker has ended without a word."""
        if state is JobState.CANCELLING:
            return JobState.CANCELLED
        if state is JobState.PAUSING:
            return JobState.PAUSED
        failures = self.model.failures[job_id] = self.model.failures.get(job_id, 0) + 1
        return JobState.QUEUED if failures <= RETRIES else JobState.CRASHED

    @rule(job=jobs, how=st.sampled_from(["succeeded", "failed", "crash"]))
    def end_worker(self, job: str, how: str) -> None:
        attempt = self.attempt(job)
        if self.model.jobs.get(job) not in HAVE_WORKER:
            if how != "crash":
                status = 409 if job in self.model.jobs else 404
                word = {"attempt": attempt, "state": how}
                self.refused(status, "POST", f"/v1/jobs/{job}/report", json=word)
            return
        if how == "crash":
            self.puppets.ended[job, attempt] = Ended("the worker process was killed by SIGKILL")
            return
        word = {"attempt": attempt, "state": how, "cause": "x"}
        answer = self._as_worker(job, "POST", "/report", json=word)
        assert answer.status_code == 200
        self.moved(job, JobState(how))
        self.puppets.ended[job, attempt] = Ended("the worker process ended with exit status 0")

    @rule(job=jobs)
    def take_first_step(self, job: str) -> None:
        if self.model.jobs.get(job) not in HAVE_WORKER:
            return
        manifest = MANIFEST.model_copy(update={"attempt": self.attempt(job)})
        answer = self._as_worker(job, "PUT", "/manifest", content=manifest.model_dump_json())
        assert answer.status_code == 200
        if self.model.jobs[job] is JobState.STARTING:
            self.moved(job, JobState.RUNNING)

    @rule(job=jobs, seq=st.integers(0, 3))
    def deliver_frame(self, job: str, seq: int) -> None:
        attempt = self.attempt(job)
        path, blob = f"/frames/{attempt}/{seq}", good_frame(job, seq, attempt=attempt)
        if self.model.jobs.get(job) not in HAVE_WORKER:
            launch = self.puppets.launched.get((job, attempt))
            if launch is not None:  # its token ended with it
                self.refused(403, "PUT", f"/v1/jobs/{job}{path}", content=blob, token=launch.ingest_token)
            return
        # A step that an earlier attempt recorded, or one before it, brings nothing new.
        known = self.model.frames[job]
        is_known = (attempt, seq) in known or any(a < attempt and s >= seq for a, s in known)
        answer = self._as_worker(job, "PUT", path, content=blob)
        assert answer.status_code == (200 if is_known else 201), answer.text
        if not is_known:
            known.add((attempt, seq))

    @rule(job=jobs, other=jobs)
    def deliver_where_it_does_not_belong(self, job: str, other: str) -> None:
        launch = self.puppets.launched.get((other, self.attempt(other)))
        if job == other or launch is None:
            return
        path = f"/v1/jobs/{job}/frames/0/0"
        self.refused(403, "PUT", path, content=good_frame(job, 0), token=launch.ingest_token)

    @rule(job=jobs)
    def deliver_of_another_attempt(self, job: str) -> None:
        other = self.attempt(job) + 1
        status = 409 if job in self.model.jobs else 404
        self.refused(status, "POST", f"/v1/jobs/{job}/report", json={"attempt": other, "phase": "x"})
        self.refused(422, "PUT", f"/v1/jobs/{job}/frames/{other}/0", content=good_frame(job, 0))

    @rule(job=jobs)
    def read(self, job: str) -> None:
        for path in ("/transitions", "/frames", "/metrics", "/tensors", "/log", "/events?follow=false"):
            status = 200 if job in self.model.jobs else 404
            assert self.ask("GET", f"/v1/jobs/{job}{path}", token=self.viewer).status_code == status

    @rule(limit=st.integers(1, 5), state=st.none() | st.sampled_from(list(JobState)))
    def list_in_pages(self, limit: int, state: JobState | None) -> None:
        listed: list[str] = []
        query: dict[str, Any] = {"limit": limit} | ({"state": state.value} if state else {})
        while True:
            page = self.ask("GET", "/v1/jobs", params=query).json()
            listed += [job["id"] for job in page["items"]]
            if page["next"] is None:
                break
            query["after"] = page["next"]
        wanted = [i for i, found in self.model.jobs.items() if state is None or found is state]
        assert listed == sorted(wanted, reverse=True)

    def _as_worker(self, job: str, method: str, path: str, **more: Any) -> httpx.Response:
        token = self.puppets.launched[job, self.attempt(job)].ingest_token
        return self.ask(method, f"/v1/jobs/{job}{path}", token=token, **more)

    # ── what always holds

    @invariant()
    def the_service_agrees_with_the_model(self) -> None:
        type(self).steps += 1
        page = self.service.jobs.page(limit=10_000)
        assert {job.id: job.state for job in page.items} == self.model.jobs

    @invariant()
    def no_more_workers_than_slots(self) -> None:
        assert sum(state in HAVE_WORKER for state in self.model.jobs.values()) <= SLOTS

    @invariant()
    def frames_are_stored_once(self) -> None:
        for job_id, keys in self.model.frames.items():
            items, _ = self.service.frames.page(job_id, limit=100)
            assert [(item.attempt, item.seq) for item in items] == sorted(keys)

    @invariant()
    def lives_follow_the_table(self) -> None:
        for job_id in self.model.jobs:
            states = [change.state for change in self.service.jobs.transitions(job_id)]
            assert states[0] is JobState.QUEUED
            for before, after in itertools.pairwise(states):
                assert after in MOVES[before]

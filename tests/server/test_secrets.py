"""No secret in a log, in the store, in an answer or in a process list: after every kind of token was used."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path

import httpx
import psutil
import pytest
import websockets

from sm3.remote.client import Client, ServiceError
from sm3.remote.tokens import Scope, TokenSpec
from sm3.remote.wire import JobState
from tests.conftest import RunningService, tiny_job


def test_no_secret_leaves_the_place_where_it_belongs(own_service: RunningService) -> None:
    secrets: dict[str, str] = {"admin token": own_service.token}
    answers: list[str] = []
    arguments: set[str] = set()
    with httpx.Client(base_url=own_service.url, timeout=30, trust_env=False) as http:

        def ask(method: str, path: str, token: str, **more: object) -> httpx.Response:
            answer = http.request(method, path, headers={"Authorization": f"Bearer {token}"}, **more)  # type: ignore[arg-type]
            if "secret" not in answer.text:  # the two answers that give one, which is what they are for
                answers.append(answer.text + str(answer.headers))
            return answer

        with own_service.client as client:
            for scope in Scope:
                secrets[scope.value] = client.create_token(TokenSpec(name=scope.value, scope=scope)).secret
            old = client.create_token(TokenSpec(name="rotated"))
            secrets["rotated away"] = old.secret
            secrets["rotated to"] = client.rotate_token(old.id).secret
            gone = client.create_token(TokenSpec(name="revoked"))
            secrets["revoked"] = gone.secret
            client.revoke_token(gone.id)
            job = client.launch(tiny_job(steps=100_000))
            own_service.wait_for(job.id, lambda found: found.progress.frames > 1)
            assert own_service.process is not None
            service = psutil.Process(own_service.process.pid)
            (worker,) = service.children(recursive=True)
            secrets["ingest"] = worker.environ()["SM3_TOKEN"]
            assert "SM3_DATABASE_URL" not in worker.environ()
            for process in (service, worker):
                arguments |= set(process.cmdline())
            secrets["ticket"] = client.ticket(job.id).ticket
        secrets["wrong"] = "sm3t_" + "w" * 43
        paths = [f"/v1/jobs/{job.id}{p}" for p in ("", "/transitions", "/frames", "/metrics", "/tensors")]
        for name, secret in secrets.items():
            if name == "ticket":
                continue
            for path in (*paths, "/v1/jobs", "/v1/tokens", "/v1/comparisons", "/v1/jobs/nobody", "/nothing"):
                ask("GET", path, secret)
            ask("POST", "/v1/jobs", secret, json={"recipe": {"name": secret}})
            ask("GET", f"/v1/jobs?state={name}", secret)
            ask("PUT", f"/v1/jobs/{job.id}/frames/0/7", secret, content=b"junk")
            ask("PUT", f"/v1/jobs/{job.id}/manifest", secret, content=b"junk")
        with Client(own_service.url, secrets["view"]) as viewer, pytest.raises(ServiceError) as refused:
            viewer.launch(tiny_job())
        answers.append(str(refused.value) + refused.value.problem.model_dump_json())
        asyncio.run(_watch(own_service, job.id, secrets["ticket"], answers))
        with own_service.client as client:
            client.cancel(job.id)
            own_service.wait_for(job.id, JobState.CANCELLED)
            answers += [client.log(job.id), json.dumps([e.data for e in client.events(job.id)])]
    own_service.stop()
    # The request's own body names what was given: that answer goes to who sent it, and is not kept anywhere.
    echoed = [text for text in answers if "invalid-request" not in text]
    files = {
        path.relative_to(own_service.data_dir): path.read_bytes()
        for path in own_service.data_dir.rglob("*")
        if path.is_file() and path.name != "token"
    }
    assert Path("service.log") in files
    assert any(path.name.startswith("store.sqlite3") for path in files)
    assert len(secrets) == 10
    for name, secret in secrets.items():
        for path, content in files.items():
            assert secret.encode() not in content, f"{name} in {path}"
        assert not [text[:300] for text in echoed if secret in text], name
        assert not [argument for argument in arguments if secret in argument], name
    digest = hashlib.sha256(secrets["view"].encode()).hexdigest()
    assert any(digest.encode() in content for content in files.values()), "it looked where tokens are"
    assert not [text for text in answers if digest in text]


async def _watch(service: RunningService, job_id: str, ticket: str, answers: list[str]) -> None:
    address = f"ws://127.0.0.1:{service.port}/v1/jobs/{job_id}/live?ticket={ticket}"
    async with websockets.connect(address, proxy=None) as viewer:
        for _ in range(3):
            message = await viewer.recv()
            answers.append(message if isinstance(message, str) else message.decode("latin-1"))
    with pytest.raises(websockets.InvalidStatus) as refused:
        await websockets.connect(address, proxy=None)
    answers.append(refused.value.response.body.decode() + str(refused.value.response.headers))

"""The FastAPI application: routes, middleware, and what runs beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.middleware.cors import CORSMiddleware

from server import docs_page, openapi, problems
from server.answer_headers import AnswerHeaders
from server.doors import HostCheck, OriginCheck
from server.execution.local import LocalExecutor
from server.execution.sealing import sealing_beside
from server.execution.supervisor import Supervisor
from server.following import following
from server.lifecycle import IllegalMove
from server.limits import BodyLimit
from server.operation.requests import Observed
from server.problems import Refusal
from server.routes import ROUTERS
from server.service import Service, unknown_comparison, unknown_job, unknown_token
from server.settings import Settings
from server.store import (
    EndedToken,
    KeyReused,
    NotEnded,
    QueueFull,
    StaleAttempt,
    UnknownComparison,
    UnknownJob,
    UnknownToken,
)
from sm3.remote.wire import Problem

DESCRIPTION = """Launches PyTorch training jobs with the SM3 optimizer (arXiv 1901.11150) and shows what the
optimizer knows while they run. Send `Authorization: Bearer TOKEN`; `sm3 token` prints yours. Errors are
`application/problem+json` (RFC 9457)."""


_PROBLEM = Problem.model_json_schema()


def create_app(service: Service) -> FastAPI:
    """Returns the application around an open store; the supervisor runs as long as it does."""
    settings = service.settings

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.callback(service.database.close)
            if settings.slots:  # without slots another process supervises this store
                await stack.enter_async_context(_supervision(service))
                await stack.enter_async_context(sealing_beside(service))
            await stack.enter_async_context(following(service))
            stack.callback(service.stop)
            yield

    app = FastAPI(
        title="SM3 Scope",
        version=version("sm3-scope"),
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses={
            "4XX": {
                "description": "a problem document",
                "content": {problems.MEDIA_TYPE: {"schema": _PROBLEM}},
            }
        },
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )
    app.state.service = service
    problems.install(app)
    app.add_exception_handler(UnknownJob, _on_unknown_job)
    app.add_exception_handler(UnknownComparison, _on_unknown_comparison)
    app.add_exception_handler(UnknownToken, _on_unknown_token)
    for conflict in _CONFLICTS:
        app.add_exception_handler(conflict, _on_conflict)
    app.add_exception_handler(QueueFull, _on_queue_full)
    app.add_exception_handler(KeyReused, _on_key_reused)
    for router in ROUTERS:
        app.include_router(router)
    app.add_api_route("/", _root, include_in_schema=False)
    docs_page.install(app)
    openapi.install(app)
    _guard(app, settings)
    app.add_middleware(Observed, measures=service.measures)  # the last one added is the outermost
    return app


def _guard(app: FastAPI, settings: Settings) -> None:
    """Puts what every request passes around the routes; the last one here is passed first."""
    app.add_middleware(BodyLimit)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"],
            expose_headers=["Location", "Retry-After"],
        )
    app.add_middleware(OriginCheck, allowed=settings.cors_origins)
    app.add_middleware(HostCheck, allowed=_hosts(settings))
    app.add_middleware(AnswerHeaders)


@asynccontextmanager
async def _supervision(service: Service) -> AsyncIterator[None]:
    supervisor = Supervisor(service, LocalExecutor.from_settings(service.settings))
    service.kick, service.worker_memory_bytes = supervisor.kick, supervisor.executor.memory_bytes
    running = asyncio.create_task(supervisor.run())
    try:
        yield
    finally:
        service.stop()
        await supervisor.stop(running)


def _hosts(settings: Settings) -> list[str]:
    """Host names a request may give: on loopback only loopback's, against DNS rebinding."""
    if settings.allowed_hosts:
        return list(settings.allowed_hosts)
    return ["localhost", "127.0.0.1", "::1", settings.host] if settings.is_loopback else ["*"]


def _root() -> RedirectResponse:
    return RedirectResponse("/docs")


def _on_unknown_job(_: Request, error: Exception) -> Response:
    assert isinstance(error, UnknownJob)
    return problems.respond(unknown_job(error).problem)


def _on_unknown_comparison(_: Request, error: Exception) -> Response:
    assert isinstance(error, UnknownComparison)
    return problems.respond(unknown_comparison(error).problem)


def _on_unknown_token(_: Request, error: Exception) -> Response:
    assert isinstance(error, UnknownToken)
    return problems.respond(unknown_token(error).problem)


_CONFLICTS: dict[type[Exception], str] = {
    IllegalMove: "illegal-move",
    StaleAttempt: "stale-attempt",
    NotEnded: "not-ended",
    EndedToken: "ended-token",
}


def _on_conflict(_: Request, error: Exception) -> Response:
    return problems.respond(Refusal(409, _CONFLICTS[type(error)], "Not in this state", f"{error}.").problem)


def _on_queue_full(_: Request, error: Exception) -> Response:
    detail = f"{error}. Wait until some have started, cancel some, or raise SM3_MAX_QUEUED."
    refusal = Refusal(429, "queue-full", "The queue is full", detail)
    return problems.respond(refusal.problem, headers={"Retry-After": "30"})


def _on_key_reused(_: Request, error: Exception) -> Response:
    detail = f"{error}. Send the same body to get what it made, or another key to make something new."
    return problems.respond(
        Refusal(422, "idempotency-key-reused", "Idempotency-Key used before", detail).problem
    )

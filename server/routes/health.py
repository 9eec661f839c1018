"""``/healthz`` and ``/readyz``: for load balancers, containers and people; no token is needed."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import APIRouter, Response

from server import problems
from server.service import ServiceDep
from sm3.remote.health_views import Health, NotReady, Ready, Verdict

router = APIRouter(tags=["operation"])


@router.get("/healthz")
async def healthz() -> Health:
    """Tells that the process is up."""
    return Health(version=version("sm3-scope"))


@router.get(
    "/readyz",
    response_model=Ready,
    responses={
        503: {
            "description": "a check failed: which, and what to do",
            "content": {problems.MEDIA_TYPE: {"schema": NotReady.model_json_schema()}},
        }
    },
)
async def readyz(here: ServiceDep) -> Ready | Response:
    """Tells that the service can do its work: store, room on its disks, supervisor; each check is listed."""
    checks = await here.readiness.checks()
    failed = [check for check in checks if check.verdict is Verdict.FAILED]
    if not failed:
        return Ready(checks=checks)
    document = NotReady(
        type="urn:sm3-scope:problem:not-ready",
        title="The service cannot do its work",
        status=503,
        detail=" ".join(f"{check.name}: {check.found}. {check.remedy}" for check in failed),
        checks=checks,
    )
    return problems.respond(document, {"Retry-After": "5"})

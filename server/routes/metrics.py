"""``/metrics``: what Prometheus scrapes."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from server.auth import Needs, Scope
from server.service import Service, ServiceDep

router = APIRouter(tags=["operation"])


class NeedsUnlessOpen(Needs):
    """A scope, unless the settings open the route to this machine."""

    async def __call__(self, request: Request) -> None:
        """Lets the request in or raises its refusal."""
        here: Service = request.app.state.service
        if not here.settings.metrics_open:
            await super().__call__(request)


@router.get(
    "/metrics",
    dependencies=[Depends(NeedsUnlessOpen(Scope.VIEW))],
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(request: Request, here: ServiceDep) -> Response:
    """Returns the service's metrics in Prometheus' text format, or as OpenMetrics to who asks for it."""
    registry = here.measures.registry
    if "application/openmetrics-text" in request.headers.get("accept", ""):
        text = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]
        return Response(text, headers={"Content-Type": openmetrics.CONTENT_TYPE_LATEST})
    return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

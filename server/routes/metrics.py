"""``/metrics``: what Prometheus scrapes."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from server.auth import Needs, Scope
from server.service import ServiceDep

router = APIRouter(tags=["operation"])


async def may_scrape(request: Request, here: ServiceDep) -> None:
    """Refuses a request without a token, unless the settings open the metrics to this machine."""
    if not here.settings.metrics_open:
        await Needs(Scope.VIEW)(request)


@router.get(
    "/metrics",
    dependencies=[Depends(may_scrape)],
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

"""Who may call each route: written by hand, so that nobody adds one without deciding (see test_authorisation.py)."""

from __future__ import annotations

from server.auth import Needs
from server.routes.metrics import NeedsUnlessOpen
from sm3.remote.tokens import Scope

VIEW, LAUNCH, ADMIN = map(Needs, (Scope.VIEW, Scope.LAUNCH, Scope.ADMIN))
WORKER = Needs(Scope.ADMIN, or_worker=True)
PUBLIC = None

TABLE: dict[str, Needs | None] = {
    "POST /v1/jobs": LAUNCH,
    "GET /v1/jobs": VIEW,
    "GET /v1/jobs/{job_id}": Needs(Scope.VIEW, or_worker=True),
    "GET /v1/jobs/{job_id}/transitions": VIEW,
    "POST /v1/jobs/{job_id}/cancel": LAUNCH,
    "GET /v1/jobs/{job_id}/log": VIEW,
    "POST /v1/jobs/{job_id}/tickets": VIEW,
    "POST /v1/jobs/{job_id}/report": WORKER,
    "PUT /v1/jobs/{job_id}/manifest": WORKER,
    "PUT /v1/jobs/{job_id}/frames/{attempt}/{seq}": WORKER,
    "GET /v1/jobs/{job_id}/frames": VIEW,
    "GET /v1/jobs/{job_id}/frames/latest": VIEW,
    "GET /v1/jobs/{job_id}/frames/at": VIEW,
    "GET /v1/jobs/{job_id}/frames/{attempt}/{seq}": VIEW,
    "GET /v1/jobs/{job_id}/tensors": VIEW,
    "GET /v1/jobs/{job_id}/metrics": VIEW,
    "GET /v1/jobs/{job_id}/events": VIEW,
    "POST /v1/comparisons": LAUNCH,
    "GET /v1/comparisons": VIEW,
    "GET /v1/comparisons/{comparison_id}": VIEW,
    "POST /v1/comparisons/{comparison_id}/cancel": LAUNCH,
    "GET /v1/comparisons/{comparison_id}/statistics": VIEW,
    "GET /v1/jobs/{job_id}/checkpoints": VIEW,
    "GET /v1/jobs/{job_id}/checkpoints/{step}/model": VIEW,
    "GET /v1/jobs/{job_id}/export": VIEW,
    "GET /v1/jobs/{job_id}/archive": VIEW,
    "GET /v1/jobs/{job_id}/events.ndjson": VIEW,
    "GET /v1/jobs/{job_id}/ledger": VIEW,
    "GET /v1/models": VIEW,
    "POST /v1/ledger": VIEW,
    "POST /v1/simulations": VIEW,
    "POST /v1/schedules": VIEW,
    "PATCH /v1/jobs/{job_id}": LAUNCH,
    "POST /v1/jobs/{job_id}/clone": LAUNCH,
    "POST /v1/jobs/{job_id}/pause": LAUNCH,
    "POST /v1/jobs/{job_id}/resume": LAUNCH,
    "POST /v1/jobs/import": LAUNCH,
    "DELETE /v1/jobs/{job_id}": ADMIN,
    "GET /metrics": NeedsUnlessOpen(Scope.VIEW),
    "GET /v1/recipes": VIEW,
    "GET /v1/statistics": VIEW,
    "POST /v1/tokens": ADMIN,
    "GET /v1/tokens": ADMIN,
    "GET /v1/tokens/{token_id}": ADMIN,
    "DELETE /v1/tokens/{token_id}": ADMIN,
    "POST /v1/tokens/{token_id}/rotate": ADMIN,
    "GET /v1/system": VIEW,
    "GET /v1/whoami": VIEW,
    "GET /healthz": PUBLIC,
    "GET /readyz": PUBLIC,
    "GET /": PUBLIC,
    "GET /docs": PUBLIC,
    "GET /openapi.json": PUBLIC,
}

"""The part of `sm3.remote.client.Client` that asks where the bytes go."""

from __future__ import annotations

from sm3.remote.ledger_specs import LedgerSpec
from sm3.remote.ledger_views import JobLedger, LedgerAnswer, ModelList, ModelView
from sm3.remote.transport import Transport


class LedgerCalls(Transport):
    """Asks where the bytes go."""

    def ledger(self, spec: LedgerSpec) -> LedgerAnswer:
        """Returns where every byte of a model goes under each optimizer asked for."""
        return self._post("/v1/ledger", LedgerAnswer, spec)

    def job_ledger(self, job_id: str) -> JobLedger:
        """Returns a job's bytes, predicted and measured, and what the difference means."""
        return self._get(f"/v1/jobs/{job_id}/ledger", JobLedger)

    def models(self) -> tuple[ModelView, ...]:
        """Returns the architectures that the ledger knows by name."""
        return self._get("/v1/models", ModelList).items

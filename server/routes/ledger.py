"""``/v1/ledger``, ``/v1/models`` and a job's own ledger: where every byte goes, from shapes alone."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body

from server.auth import Scope, needs
from server.examples import LEDGER_EXAMPLES
from server.job_ledger import job_ledger
from server.problems import invalid
from server.service import JobId, ServiceDep
from sm3.ledger.answers import answer, model_view
from sm3.ledger.catalogue import catalogue
from sm3.ledger.shapes import LedgerError
from sm3.remote.ledger_specs import LedgerSpec
from sm3.remote.ledger_views import JobLedger, LedgerAnswer, ModelList

router = APIRouter(prefix="/v1", tags=["ledger"], dependencies=[needs(Scope.VIEW)])


@router.post("/ledger")
def ledger(spec: Annotated[LedgerSpec, Body(openapi_examples=LEDGER_EXAMPLES)]) -> LedgerAnswer:
    """Tells every byte of a model under each optimizer: weights, gradients, momentum, accumulators, transient.

    Nothing is stored and nothing trained. Whatever does not fit is told at once, and then there is no table.
    """
    try:
        return answer(spec)
    except LedgerError as error:
        raise invalid(error.faults) from error


@router.get("/models")
def models() -> ModelList:
    """Lists the architectures that the ledger knows by name, with their published sizes and their provenance."""
    return ModelList(items=tuple(map(model_view, catalogue().values())))


@router.get("/jobs/{job_id}/ledger")
def ledger_of_job(here: ServiceDep, job_id: JobId) -> JobLedger:
    """Returns a job's bytes, predicted and measured, and why memory did not shrink where it did not."""
    job = here.jobs.get(job_id)
    series = here.frames.history(job_id, job_wide=True).by_series()
    newest = {name: float(values[-1]) for name, (_, values) in series.items() if len(values)}
    return job_ledger(job.spec, here.jobs.manifest(job_id), newest)

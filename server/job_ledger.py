"""A job's own ledger: what its spec's shapes predict, beside what its worker measured. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from glob import escape

from sm3.ledger.account import account
from sm3.ledger.answers import ledger_view, model_view
from sm3.ledger.catalogue import of_recipe
from sm3.ledger.diagnose import Evidence, diagnose
from sm3.ledger.rules.base import Step
from sm3.remote.cover_specs import CoverRule, SlicesSpec
from sm3.remote.job_specs import Device, JobSpec
from sm3.remote.ledger_specs import AdamWLedgerSpec
from sm3.remote.ledger_views import Finding, JobLedger, MeasuredBytes
from sm3.remote.optimizer_specs import AdviseSpec, OptimizerSpec, Sm3Spec
from sm3.remote.wire import Manifest

SERIES = {
    "rss_bytes": "memory_rss_bytes",
    "peak_rss_bytes": "memory_peak_rss_bytes",
    "cuda_allocated_bytes": "memory_cuda_allocated_bytes",
    "cuda_peak_bytes": "memory_cuda_peak_bytes",
    "cuda_reserved_bytes": "memory_cuda_reserved_bytes",
}
"""Each measured field that comes from a series of the job, by the name `server.worker.memory` gives it."""


def job_ledger(spec: JobSpec, manifest: Manifest | None, newest: Mapping[str, float]) -> JobLedger:
    """Returns a job's ledger.

    Args:
        spec: what was asked.
        manifest: what the worker told after its first step; None before it.
        newest: the last value of each of the job's series.
    """
    of, step = of_recipe(spec.recipe), _step(spec, manifest)
    ledger = account(of.tensors, _optimizer(spec.optimizer, manifest), step=step)
    adamw = account(of.tensors, AdamWLedgerSpec(), step=step)
    measured = _measured(manifest, newest) if manifest is not None else None
    findings: tuple[Finding, ...] = ()
    if measured is not None:
        findings = diagnose(
            Evidence(
                ledger=ledger,
                step=step,
                state=measured.state_bytes,
                device_peak=measured.cuda_peak_bytes,
                allocated=measured.cuda_allocated_bytes,
                reserved=measured.cuda_reserved_bytes,
                process_peak=measured.peak_rss_bytes,
                averaging=measured.averaging_bytes or 0,
                probes=measured.probe_bytes or 0,
            )
        )
    return JobLedger(
        model=model_view(of),
        predicted=ledger_view(ledger, spec.optimizer, per_tensor=True),
        adamw=ledger_view(adamw, AdamWLedgerSpec()),
        measured=measured,
        difference_bytes=None
        if measured is None or measured.state_bytes is None
        else measured.state_bytes - ledger.total.state,
        findings=findings,
    )


def _optimizer(spec: OptimizerSpec, manifest: Manifest | None) -> OptimizerSpec:
    """The spec with the covers that the advisor chose, once it has; slices until then."""
    if not isinstance(spec, Sm3Spec) or not isinstance(spec.cover, AdviseSpec):
        return spec
    advised = manifest.advice if manifest is not None else ()
    chosen = [CoverRule.model_validate({"match": escape(a.name), "cover": a.cover}) for a in advised]
    return spec.model_copy(update={"cover": SlicesSpec(), "rules": (*spec.rules, *chosen)})


def _step(spec: JobSpec, manifest: Manifest | None) -> Step:
    """On CUDA or not: as the worker says, before that as asked; torch's optimizers step as torch prefers there."""
    is_cuda = spec.device is Device.CUDA if manifest is None else not manifest.device.startswith("CPU")
    return Step("cuda" if is_cuda else "cpu", foreach=is_cuda)


def _measured(manifest: Manifest, newest: Mapping[str, float]) -> MeasuredBytes:
    memory = manifest.memory
    return MeasuredBytes(
        accumulators_bytes=memory.accumulator_bytes,
        momentum_bytes=memory.momentum_bytes,
        state_bytes=memory.state_bytes,
        averaging_bytes=memory.averaging_bytes,
        probe_bytes=memory.probe_bytes,
        **{name: int(newest[series]) for name, series in SERIES.items() if series in newest},
    )

"""The part of `sm3.remote.client.Client` that compares jobs."""

from __future__ import annotations

from sm3.remote.comparison_specs import ComparisonSpec
from sm3.remote.comparison_views import ComparisonPage, ComparisonStatistics, ComparisonView, LossSeries
from sm3.remote.transport import Transport


class ComparisonCalls(Transport):
    """Compares jobs."""

    def compare(self, spec: ComparisonSpec) -> ComparisonView:
        """Queues a comparison's jobs, all or none, and returns it."""
        return self._post("/v1/comparisons", ComparisonView, spec)

    def comparisons(self, *, after: str | None = None, limit: int = 50) -> ComparisonPage:
        """Returns a page of comparisons, newest first."""
        return self._get("/v1/comparisons", ComparisonPage, after=after, limit=limit)

    def comparison(self, comparison_id: str) -> ComparisonView:
        """Returns a comparison: what was asked, its jobs and their states."""
        return self._get(f"/v1/comparisons/{comparison_id}", ComparisonView)

    def cancel_comparison(self, comparison_id: str) -> ComparisonView:
        """Stops the jobs of a comparison that have not ended."""
        return self._post(f"/v1/comparisons/{comparison_id}/cancel", ComparisonView)

    def comparison_statistics(
        self,
        comparison_id: str,
        *,
        reference: str | None = None,
        series: LossSeries = LossSeries.VAL_LOSS,
        confidence: float = 0.9,
        target: float | None = None,
        window: int | None = None,
    ) -> ComparisonStatistics:
        """Returns how the variants differ from one of them (default: the first), with bands.

        Args:
            comparison_id: the comparison.
            reference: name of the variant to compare with.
            series: the loss that is compared.
            confidence: of the bands, 0.5 to 0.999.
            target: the loss to reach; default: the reference's mean final loss.
            window: steps that a point of the training loss averages; default: a fiftieth of the run.
        """
        path = f"/v1/comparisons/{comparison_id}/statistics"
        query = {"reference": reference, "series": series, "target": target, "window": window}
        return self._get(path, ComparisonStatistics, confidence=confidence, **query)

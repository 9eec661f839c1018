"""What happens in the service, counted for Prometheus as it happens.

Every label's values are a closed set, so that no client can make the number of series grow: routes are templates,
methods and states are listed, reasons are the slugs of problems. What *is* rather than happens (jobs by state, bytes)
is read when somebody asks: :mod:`server.operation.present`.
"""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

from sm3.remote.wire import JobState

_LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_WAIT_S = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0)


class Measures:
    """The counters and histograms of one service; they start at 0 with its process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.transitions = self._counter("transitions", "changes of state, by the state reached", "state")
        for state in JobState:
            self.transitions.labels(state.value)
        self.attempts = self._counter("attempts", "executions of jobs that were started")
        self.queue_wait = self._histogram("queue_wait_seconds", "from queued to starting", _WAIT_S)
        self.frames = self._counter(
            "frames_ingested", "frames acknowledged; repeats change nothing", "result"
        )
        for result in ("new", "repeat"):
            self.frames.labels(result)
        self.frame_bytes = self._counter("frame_bytes_ingested", "bytes of new frames")
        self.frames_refused = self._counter(
            "frames_refused", "frames not taken, by the slug of the problem", "reason"
        )
        self.ingest = self._histogram(
            "frame_ingest_seconds", "from a frame's request to its acknowledgement", _LATENCY_S
        )
        self.gaps = self._counter("gaps_sent", "times a viewer was told that it missed frames")
        self.requests = self._counter("http_requests", "answers to requests", "method", "route", "status")
        self.latency = self._histogram(
            "http_request_seconds",
            "from a request to the end of its answer; streams are left out",
            _LATENCY_S,
            "method",
            "route",
        )

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"sm3_{name}", meaning, labels, registry=self.registry)

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"sm3_{name}", meaning, labels, buckets=buckets, registry=self.registry)


def count(counter: Counter, **labels: str) -> float:
    """Returns where a counter stands, that of ``labels`` or of all together."""
    return sum(
        sample.value
        for metric in counter.collect()
        for sample in metric.samples
        if sample.name.endswith("_total") and labels.items() <= sample.labels.items()
    )

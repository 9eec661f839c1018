"""The part of `sm3.remote.client.Client` that reads what jobs recorded, and stores what workers record."""

from __future__ import annotations

from collections.abc import Sequence

from sm3.remote.transport import JSON, Transport
from sm3.remote.wire import (
    AdvisedTensor,
    FramePage,
    Manifest,
    Metrics,
    TensorInfo,
    TensorList,
    WorkerReport,
)

_BINARY = {"Content-Type": "application/vnd.safetensors"}


class RecordedCalls(Transport):
    """Reads what jobs recorded, and stores what workers record."""

    def metrics(self, job_id: str, names: Sequence[str] | None = None, *, max_points: int = 2000) -> Metrics:
        """Returns scalar series; all job-wide ones if no ``names`` are given."""
        return self._get(f"/v1/jobs/{job_id}/metrics", Metrics, name=names, max_points=max_points)

    def tensors(self, job_id: str) -> tuple[TensorInfo, ...]:
        """Returns the model's tensors and what the optimizer keeps for each."""
        return self._get(f"/v1/jobs/{job_id}/tensors", TensorList).items

    def advice(self, job_id: str) -> tuple[AdvisedTensor, ...]:
        """Returns what the advisor chose for each tensor; empty where the job did not ask it."""
        return self._get(f"/v1/jobs/{job_id}/tensors", TensorList).advice

    def frames(self, job_id: str, *, after: str | None = None, limit: int = 500) -> FramePage:
        """Returns a page of the stored frames, oldest first."""
        return self._get(f"/v1/jobs/{job_id}/frames", FramePage, after=after, limit=limit)

    def frame(self, job_id: str, attempt: int, seq: int) -> bytes:
        """Returns one frame; `sm3.remote.frames.decode` reads it."""
        return self._request("GET", f"/v1/jobs/{job_id}/frames/{attempt}/{seq}").content

    def frame_at(self, job_id: str, step: int, tensor: str | None = None) -> bytes:
        """Returns the newest frame of at most ``step`` steps, of ``tensor`` alone if one is given.

        Where all frames are of more steps it is the first one.
        """
        query = {"step": step} | ({} if tensor is None else {"tensor": tensor})
        return self._request("GET", f"/v1/jobs/{job_id}/frames/at", params=query).content

    def latest_frame(self, job_id: str) -> bytes:
        """Returns the newest frame."""
        return self._request("GET", f"/v1/jobs/{job_id}/frames/latest").content

    def put_frame(self, job_id: str, attempt: int, seq: int, blob: bytes) -> None:
        """Stores a frame; when this returns it is on the service's disk."""
        path = f"/v1/jobs/{job_id}/frames/{attempt}/{seq}"
        self._request("PUT", path, content=blob, headers=_BINARY)

    def put_manifest(self, job_id: str, manifest: Manifest) -> None:
        """Tells the job's tensors, bytes and provenance."""
        path = f"/v1/jobs/{job_id}/manifest"
        self._request("PUT", path, content=manifest.model_dump_json(), headers=JSON)

    def report(self, job_id: str, word: WorkerReport) -> None:
        """Tells the job's state."""
        self._request("POST", f"/v1/jobs/{job_id}/report", content=word.model_dump_json(), headers=JSON)

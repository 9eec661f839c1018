"""Jobs as files, from Python: scalar tables out, whole jobs out and in. A part of `sm3.remote.client.Client`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Literal

import httpx

from sm3.remote.transport import Transport
from sm3.remote.wire import JobView

_PIECE_BYTES = 2**20
_PATIENT = httpx.Timeout(10.0, read=300.0, write=300.0)


class Transfer(Transport):
    """What a client does with files."""

    def export_scalars(self, job_id: str, target: BinaryIO, form: Literal["csv", "parquet"] = "csv") -> int:
        """Writes every scalar point of a job to ``target``, as CSV or Parquet; returns how many bytes."""
        return self._download(f"/v1/jobs/{job_id}/export", target, params={"format": form}, timeout=_PATIENT)

    def export_job(self, job_id: str, target: BinaryIO) -> int:
        """Writes the whole job to ``target``, as an archive that `import_job` takes; returns how many bytes."""
        return self._download(f"/v1/jobs/{job_id}/archive", target, timeout=_PATIENT)

    def import_job(self, source: BinaryIO, *, new_id: bool = False) -> JobView:
        """Stores an archived job in the service and returns it.

        Args:
            source: what `export_job` wrote.
            new_id: import a copy with an id of its own; otherwise a job that is there already is refused.
        """
        response = self._request(
            "POST",
            "/v1/jobs/import",
            params={"new_id": str(new_id).lower()},
            content=_pieces(source),
            headers={"Content-Type": "application/zip"},
            timeout=_PATIENT,
        )
        return JobView.model_validate_json(response.content)


def _pieces(source: BinaryIO) -> Iterator[bytes]:
    while piece := source.read(_PIECE_BYTES):
        yield piece

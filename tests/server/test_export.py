"""Export, archive and import over HTTP, from Python and from the command line."""

from __future__ import annotations

import csv
import io
import math
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest
from pyarrow import parquet

from sm3.remote.client import ServiceError
from sm3.remote.frames import decode
from sm3.remote.wire import JobState, JobView
from tests.conftest import RunningService, tiny_job


def points(service: RunningService, job: JobView) -> list[tuple[int, int, str, float]]:
    """Returns (attempt, step, series, value) of all points, read from the frames themselves."""
    found = []
    with service.client as client:
        for info in client.frames(job.id, limit=5000).items:
            scalars = decode(client.frame(job.id, info.attempt, info.seq)).scalars
            found += [
                (info.attempt, int(step), scalars.names[series], float(value))
                for step, series, value in zip(scalars.step, scalars.series, scalars.value, strict=True)
            ]
    return sorted(found, key=repr)


def test_the_csv_and_the_parquet_hold_every_point_of_every_frame(
    service: RunningService, done: JobView, http: httpx.Client
) -> None:
    expected = points(service, done)
    assert len(expected) > 100
    answer = http.get(f"/v1/jobs/{done.id}/export")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert f'filename="job-{done.id}.csv"' in answer.headers["content-disposition"]
    header, *rows = csv.reader(io.StringIO(answer.text))
    assert header == ["attempt", "step", "series", "value"]
    assert sorted(((int(a), int(s), n, float(v)) for a, s, n, v in rows), key=repr) == expected
    answer = http.get(f"/v1/jobs/{done.id}/export", params={"format": "parquet"})
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    table = parquet.read_table(io.BytesIO(answer.content)).to_pydict()
    assert sorted(zip(*table.values(), strict=True), key=repr) == expected
    losses = [value for _, _, name, value in expected if name == "loss"]
    assert len(losses) == done.spec.steps
    assert all(map(math.isfinite, losses))


def test_a_job_travels_to_another_instance_and_looks_the_same_there(
    service: RunningService, own_service: RunningService, done: JobView
) -> None:
    file = io.BytesIO()
    with service.client as here, own_service.client as there:
        size_bytes = here.export_job(done.id, file)
        assert size_bytes == file.tell()
        file.seek(0)
        imported = there.import_job(file)
        assert there.jobs().items == (imported,)
        same = {"progress": {"last_frame_at"}}
        assert imported.model_dump(exclude=same) == here.job(done.id).model_dump(exclude=same)
        assert there.metrics(done.id) == here.metrics(done.id)
        assert there.tensors(done.id) == here.tensors(done.id)
        assert there.transitions(done.id) == here.transitions(done.id)
        assert there.latest_frame(done.id) == here.latest_frame(done.id)
        assert list(there.events(done.id)) == list(here.events(done.id))
        file.seek(0)
        with pytest.raises(ServiceError, match="is here already") as refused:
            there.import_job(file)
        assert refused.value.problem.status == 409
        file.seek(0)
        copy = there.import_job(file, new_id=True)
        assert decode(there.latest_frame(copy.id)).job == copy.id
        assert {job.state for job in there.jobs().items} == {JobState.SUCCEEDED}
        # The instance works on: an imported job takes no slot.
        launched = there.launch(tiny_job(steps=2))
    own_service.wait_for(launched.id, JobState.SUCCEEDED, timeout_s=120)


def test_an_archive_is_a_zip_that_anyone_can_look_into(done: JobView, http: httpx.Client) -> None:
    answer = http.get(f"/v1/jobs/{done.id}/archive")
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
    assert names[:4] == [
        "job.json",
        "transitions.json",
        "manifest.json",
        f"frames/000000-{0:012d}.safetensors",
    ]
    assert names[-1] == "checksums.json"
    assert len(names) == 4 + done.progress.frames


def test_what_is_no_archive_is_refused_and_nothing_stored(
    http: httpx.Client, own_service: RunningService
) -> None:
    headers = {"Authorization": f"Bearer {own_service.token}", "Content-Type": "application/zip"}
    with httpx.Client(base_url=own_service.url, headers=headers, timeout=30, trust_env=False) as there:
        for body in (b"", b"no zip", b"PK\x05\x06" + b"\0" * 18):
            answer = there.post("/v1/jobs/import", content=body)
            assert answer.status_code == 422, answer.text
            assert answer.json()["type"] == "urn:sm3-scope:problem:invalid-archive"
            assert "Nothing was stored" in answer.json()["detail"]
        assert there.get("/v1/jobs").json()["items"] == []
        assert there.post("/v1/jobs/import", params={"new_id": "perhaps"}, content=b"").status_code == 422
        del there.headers["Authorization"]
        assert there.post("/v1/jobs/import", content=b"x").status_code == 401
    assert [path for path in own_service.data_dir.iterdir() if "tmp" in path.name] == []


@pytest.mark.parametrize("path", ["export", "archive", "export?format=parquet"])
def test_a_job_that_is_not_there_is_a_404(http: httpx.Client, path: str) -> None:
    answer = http.get(f"/v1/jobs/nobody/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_an_unknown_format_is_refused_naming_those_there_are(done: JobView, http: httpx.Client) -> None:
    answer = http.get(f"/v1/jobs/{done.id}/export", params={"format": "pickle"})
    assert answer.status_code == 422
    assert "'csv' or 'parquet'" in answer.text


def sm3(service: RunningService, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    environment = os.environ | {"SM3_URL": service.url, "SM3_TOKEN": service.token}
    command = [sys.executable, "-m", "sm3.cli", *arguments]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, check=False)


def test_the_command_line_exports_and_imports(
    service: RunningService, own_service: RunningService, done: JobView, tmp_path: Path
) -> None:
    written = sm3(service, "export", done.id[-8:], cwd=tmp_path)
    assert written.returncode == 0, written.stderr
    file = tmp_path / f"job-{done.id}.zip"
    assert file.name in written.stdout.decode()
    brought = sm3(own_service, "import", file.name, cwd=tmp_path)
    assert (brought.returncode, brought.stdout.decode().strip()) == (0, done.id)
    again = sm3(own_service, "import", file.name, cwd=tmp_path)
    assert again.returncode == 1
    assert b"is here already" in again.stderr
    assert sm3(own_service, "import", file.name, "--new-id", cwd=tmp_path).returncode == 0
    table = sm3(own_service, "export", done.id, "--format", "csv", "-o", "-", cwd=tmp_path)
    assert table.stdout.startswith(b"attempt,step,series,value\n0,1,")
    assert (
        sm3(own_service, "export", done.id, "--format", "parquet", "-o", "t.parquet", cwd=tmp_path).returncode
        == 0
    )
    assert parquet.read_table(tmp_path / "t.parquet").num_rows == table.stdout.count(b"\n") - 1
    missing = sm3(own_service, "export", done.id, "-o", "no/such/folder.zip", cwd=tmp_path)
    assert missing.returncode == 2
    assert b"cannot be written" in missing.stderr
    assert sorted(path.name for path in tmp_path.glob("*.part")) == []

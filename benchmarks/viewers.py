"""Many viewers of one job: does every reader get every frame, how late, and what does it take?

    python -m benchmarks.viewers

Starts `python -m server`, opens SSE and WebSocket viewers from two other processes, stores frames over HTTP with the
job's own ingest token at a steady pace, and tells for the viewers that read: the share of frames delivered (checked by
seq), the time from the start of the PUT to the arrival, and the service's memory and CPU. Some viewers never read.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import resource
import tempfile
import time
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import psutil

from benchmarks import viewer_clients
from benchmarks.feeding import Served, make_frame, running_job, serving
from sm3.remote.client import Client

LAST_WAIT_S = 5.0


@dataclass
class Outcome:
    """What one run showed; latencies in milliseconds, memory in MiB, CPU in shares of one core."""

    sse: dict[str, float]
    ws: dict[str, float]
    put_ms: dict[str, float]
    frames: int
    rate_hz: float
    frame_kib: float
    rss_mib: dict[str, float] = field(default_factory=dict)
    server_cpu: float = 0.0
    client_cpu: float = 0.0
    threads: int = 0
    viewers: dict[str, int] = field(default_factory=dict)
    load: dict[str, str] = field(default_factory=dict)


def main() -> None:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sse", type=int, default=1000)
    parser.add_argument("--ws", type=int, default=200)
    parser.add_argument("--silent", type=int, default=100, help="of them never read, half of each kind")
    parser.add_argument("--rate", type=float, default=5.0, help="frames a second")
    parser.add_argument("--seconds", type=float, default=64.0)
    parser.add_argument("--frame-kib", type=float, default=64.0)
    parser.add_argument("--stall-s", type=float, default=20.0, help="SM3_VIEWER_STALL_S of the service")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(arguments, Path(folder))
    print(json.dumps(asdict(outcome), indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(outcome), indent=1))


def run(arguments: argparse.Namespace, folder: Path) -> Outcome:
    """One run from an empty store."""
    count = int(arguments.seconds * arguments.rate)
    settings = {
        "VIEWERS": str(arguments.sse + arguments.ws + 10),
        "VIEWERS_PER_JOB": str(arguments.sse + arguments.ws + 10),
        "VIEWER_STALL_S": str(arguments.stall_s),
    }
    with serving(folder / "data", **settings) as served:
        job_id, ingest = running_job(served)
        rss = {"before": served.rss_mib()}
        load = {"before": _load()}
        clients = [
            _Clients(kind, served, job_id, total, arguments.silent // 2, count, folder)
            for kind, total in (("sse", arguments.sse), ("ws", arguments.ws))
        ]
        for each in clients:
            each.wait("open")
        time.sleep(2)
        rss["viewers open"] = served.rss_mib()
        with served.client() as client:
            viewers = {"open": _viewers(client)}
        cpu_s, client_cpu_s, started = served.cpu_s(), sum(c.cpu_s() for c in clients), time.monotonic()
        sent, acknowledged = _publish(served, job_id, ingest, count, arguments, rss)
        took_s = time.monotonic() - started
        rss["end"] = served.rss_mib()
        cpu_s, client_cpu_s = served.cpu_s() - cpu_s, sum(c.cpu_s() for c in clients) - client_cpu_s
        load["end"] = _load()
        threads = served.process.num_threads()
        with served.client() as client:
            viewers["end"] = _viewers(client)
        time.sleep(LAST_WAIT_S)
        arrivals = [each.finish() for each in clients]
        with served.client() as client:
            viewers["after all left"] = _viewers(client)
        rss["after all left"] = served.rss_mib()
    sse, ws = (_judge(a, sent) for a in arrivals)
    size = len(make_frame(job_id, 0, size_bytes=int(arguments.frame_kib * 1024))) / 1024
    put_ms = _quantiles(1000 * (acknowledged - sent))
    return Outcome(
        sse, ws, put_ms, count, arguments.rate, round(size, 1), {k: round(v, 1) for k, v in rss.items()},
        round(cpu_s / took_s, 3), round(client_cpu_s / took_s, 3), threads, viewers, load,
    )  # fmt: skip


class _Clients:
    """A process of viewers of one kind."""

    def __init__(
        self, kind: str, served: Served, job_id: str, total: int, silent: int, count: int, folder: Path
    ) -> None:
        self.pipe, far = multiprocessing.Pipe()
        self.result = folder / f"{kind}.npy"
        plan = viewer_clients.Plan(
            kind, served.url, served.token, job_id, total, silent, count, str(self.result)
        )
        self.process = multiprocessing.get_context("spawn").Process(
            target=viewer_clients.main, args=(plan, far)
        )
        self.process.start()
        self._seen = psutil.Process(self.process.pid)

    def wait(self, word: str) -> None:
        _expect(self.pipe, word)

    def cpu_s(self) -> float:
        times = self._seen.cpu_times()
        return float(times.user + times.system)

    def finish(self) -> np.ndarray:
        """Ends the viewers; returns when each frame reached each reader, [readers, frames], NaN where never."""
        self.pipe.send("stop")
        self.wait("done")
        self.process.join(20)
        return np.load(self.result)


def _expect(pipe: Connection, word: str) -> None:
    if not pipe.poll(120) or pipe.recv() != word:
        raise RuntimeError(f"the viewers did not say {word!r}")


def _publish(
    served: Served, job_id: str, ingest: str, count: int, arguments: argparse.Namespace, rss: dict[str, float]
) -> tuple[np.ndarray, np.ndarray]:
    sent, acknowledged = np.zeros(count), np.zeros(count)
    with Client(served.url, ingest, timeout_s=60.0) as client:
        begin = time.monotonic()
        for seq in range(count):
            blob = make_frame(job_id, seq, size_bytes=int(arguments.frame_kib * 1024))
            time.sleep(max(0.0, begin + seq / arguments.rate - time.monotonic()))
            sent[seq] = time.monotonic()
            client.put_frame(job_id, 0, seq, blob)
            acknowledged[seq] = time.monotonic()
            after_s = sent[seq] - begin
            for mark in range(10, int(arguments.seconds), 10):
                if after_s >= mark and f"after {mark} s" not in rss:
                    rss[f"after {mark} s"] = served.rss_mib()
    return sent, acknowledged


def _judge(arrivals: np.ndarray, sent: np.ndarray) -> dict[str, float]:
    got = ~np.isnan(arrivals)
    return {
        "readers": len(arrivals),
        "delivered_share": float(got.mean()) if got.size else 1.0,
        "readers_with_all": int(got.all(axis=1).sum()),
        **_quantiles(1000 * (arrivals - sent)[got]),
    }


def _quantiles(values_ms: np.ndarray) -> dict[str, float]:
    if not len(values_ms):
        return {}
    p50, p99 = np.quantile(values_ms, [0.5, 0.99])
    return {"p50": round(float(p50), 1), "p99": round(float(p99), 1), "max": round(float(values_ms.max()), 1)}


def _viewers(client: Client) -> int:
    metrics = client._request("GET", "/metrics").text
    return int(float(re.findall(r"^sm3_viewers (\S+)", metrics, re.MULTILINE)[0]))


def _load() -> str:
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


if __name__ == "__main__":
    main()

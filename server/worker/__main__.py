"""``python -m server.worker JOB ATTEMPT``: one attempt at one job, from its spec to its end.

Started by the executor with the job's own token in ``SM3_TOKEN``. SIGTERM asks it to write a checkpoint after the
current step and make way; SIGINT asks it to end for good. However it ends, short of SIGKILL, it leaves its outcome in a
file first and then tells the service, so that a service that was away, or has frames of it to store yet, learns it
later.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import stamina

from server.checkpoint_files import FOLDER
from server.worker.stop import StopRequest, Wish
from sm3.remote.client import Client, RemoteError
from sm3.remote.job_specs import JobSpec
from sm3.remote.settings import ClientSettings
from sm3.remote.tracker import Tracker, may_pass
from sm3.remote.wire import WorkerReport

_DELIVERY_S = 600.0
_HURRIED_DELIVERY_S = 0.5


def main() -> int:
    """Runs the attempt; returns 0 if it succeeded or was asked to stop, 1 if it failed."""
    arguments = _arguments()
    os.pwrite(arguments.lock, str(os.getpid()).encode(), 0)
    stop = StopRequest()
    signal.signal(signal.SIGTERM, lambda *_: stop.ask(Wish.PAUSE))
    signal.signal(signal.SIGINT, lambda *_: stop.ask(Wish.CANCEL))
    settings = ClientSettings()
    with Client(settings.url, settings.token, timeout_s=30.0) as client:
        report = _reporter(client, arguments.job)
        with Client(settings.url, settings.token, timeout_s=30.0) as deliverer:
            tracker = Tracker(
                deliverer, arguments.job, attempt=arguments.attempt, folder=arguments.folder / "spool"
            )
            word = _attempt(client, tracker, arguments, report, stop)
            _leave(word, arguments.folder / f"attempt-{arguments.attempt}.outcome.json")
            is_paused = word.state == "paused"
            patience_s = _DELIVERY_S if stop.wish is None else _HURRIED_DELIVERY_S
            is_delivered = tracker.close(patience_s, for_good=not is_paused)
            # What is left in the spool the supervisor stores first, and then reads the outcome: an end comes last.
            if is_delivered and not is_paused:
                report(word)
    return 1 if word.state == "failed" else 0


def _attempt(
    client: Client,
    tracker: Tracker,
    arguments: argparse.Namespace,
    report: Callable[[WorkerReport], None],
    stop: StopRequest,
) -> WorkerReport:
    """Does the work; returns the final word on it."""

    def phase(text: str) -> None:
        _say(text)
        report(WorkerReport(attempt=arguments.attempt, phase=text))

    def warn(text: str) -> None:
        _say(f"warning: {text}" if text else "the last warning no longer holds")
        report(WorkerReport(attempt=arguments.attempt, warning=text[:2000]))

    try:
        spec = _spec(client, arguments.job)
        phase("loading PyTorch")
        import torch

        from server.worker.checkpoint import Checkpoints
        from server.worker.loop import Paused, Run, Stopped, choose_device
        from server.worker.recipes.base import build

        torch.set_num_threads(arguments.threads)
        torch.manual_seed(spec.seed)
        device = choose_device(spec.device)
        task = build(spec.recipe, seed=spec.seed, device=device, cache_dir=arguments.cache, report=phase)
        phase("the first step")
        checkpoints = Checkpoints(arguments.folder / FOLDER, spec.checkpoint.keep)
        run = Run(spec, task, device, tracker, arguments.attempt, stop, checkpoints, warn)
        try:
            run.train()
        except Stopped as stopped:
            return WorkerReport(attempt=arguments.attempt, state="cancelled", cause=str(stopped))
        except Paused as paused:
            return WorkerReport(attempt=arguments.attempt, state="paused", cause=str(paused))
    except Exception as error:  # noqa: BLE001 - whatever it was, it is the job's outcome
        _say(traceback.format_exc())
        cause = f"{type(error).__name__}: {error}"[:20_000]
        return WorkerReport(attempt=arguments.attempt, state="failed", cause=cause)
    return WorkerReport(
        attempt=arguments.attempt,
        state="succeeded",
        cause=f"all {spec.steps:,} steps done{tracker.drops_in_words}",
    )


def _spec(client: Client, job_id: str) -> JobSpec:
    """Returns what was asked for; waits for a service that is being restarted, or whose store is away."""
    for attempt in stamina.retry_context(
        on=may_pass, attempts=None, timeout=_DELIVERY_S, wait_initial=0.1, wait_max=3.0, wait_jitter=0.5
    ):
        with attempt:
            return client.job(job_id).spec
    raise AssertionError("unreachable")


def _reporter(client: Client, job_id: str) -> Callable[[WorkerReport], None]:
    """Returns a function that tells the service, and only notes it if the service cannot be told."""

    def report(word: WorkerReport) -> None:
        try:
            client.report(job_id, word)
        except RemoteError as error:
            _say(f"could not tell the service ({word.state or word.phase or word.warning}): {error}")

    return report


def _leave(word: WorkerReport, path: Path) -> None:
    """Writes the outcome where a service that was away finds it."""
    temporary = path.with_suffix(".tmp")
    try:
        temporary.write_text(word.model_dump_json(), encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        _say(f"the outcome could not be written: {error}")


def _say(text: str) -> None:
    """Writes to the job's log; a log that cannot be written is no reason to fail."""
    with suppress(OSError):
        print(text, flush=True)  # noqa: T201 - the worker's output is the job's log


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m server.worker", description="Runs one attempt at a job.")
    parser.add_argument("job", help="id of the job")
    parser.add_argument("attempt", type=int, help="which execution of the job this is")
    parser.add_argument("--folder", type=Path, required=True, help="the job's folder")
    parser.add_argument("--cache", type=Path, required=True, help="where texts and tokenizers are cached")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--lock", type=int, required=True, help="the open, locked file that tells we live")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

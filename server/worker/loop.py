"""The training loop: batch, loss, step, and a frame every k steps."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch

from server.worker.advising import advised, in_words
from server.worker.averaging import Average
from server.worker.laps import Laps
from server.worker.manifest import build_manifest
from server.worker.memory import memory_series
from server.worker.optimizers import build_optimizer, build_schedule
from server.worker.recipes.base import Batch, Task
from sm3.advisor.advise import Advice
from sm3.probes.recorder import Recorder
from sm3.remote.job_specs import Device, JobSpec, Precision
from sm3.remote.tracker import Tracker


class Diverged(ArithmeticError):  # noqa: N818 - reads as what it is
    """The loss is no number any more."""


class Stopped(Exception):  # noqa: N818 - not an error: somebody asked
    """The run was asked to stop before its last step."""


def choose_device(wanted: Device) -> torch.device:
    """Returns the device to train on; ``auto`` is CUDA where there is one.

    Raises:
        ValueError: CUDA was asked for and there is none.
    """
    if wanted is Device.CUDA and not torch.cuda.is_available():
        raise ValueError("device 'cuda' was asked for, but this machine has none; use 'auto' or 'cpu'")
    use_cuda = wanted is not Device.CPU and torch.cuda.is_available()
    return torch.device("cuda" if use_cuda else "cpu")


@dataclass
class Run:
    """One attempt at a job.

    Args:
        spec: what was asked.
        task: model and data.
        device: where `task` lives.
        tracker: takes what is recorded.
        attempt: which execution of the job this is.
        stop: set when somebody asks the run to stop.
        clock: monotonic seconds.
    """

    spec: JobSpec
    task: Task
    device: torch.device
    tracker: Tracker
    attempt: int
    stop: threading.Event
    clock: Callable[[], float] = time.perf_counter
    _losses: list[torch.Tensor] = field(default_factory=list)
    _advice: Advice | None = None
    _since_s: float = 0.0
    _elsewhere_s: float = 0.0

    def train(self) -> torch.optim.Optimizer:
        """Trains to the last step; returns the optimizer in its final state.

        Raises:
            Stopped: `stop` was set, or the service wants nothing more of this attempt; what was recorded
                until then has been spooled.
            Diverged: the loss became NaN or infinite; the frame that shows it has been spooled.
        """
        model = self.task.model
        self._advice = advised(
            self.spec, model, self.task.train_batch, self._loss, lambda: not self.stop.is_set()
        )
        optimizer = build_optimizer(self.spec.optimizer, model, advice=self._advice)
        schedule = build_schedule(self.spec.schedule, optimizer, steps=self.spec.steps)
        average = None
        if self.spec.averaging is not None:
            average = Average(self.spec.averaging, model, steps=self.spec.steps)
        recorder = Recorder(optimizer, self.spec.record, seed=self.spec.seed)
        laps = Laps(self.device, clock=self.clock)
        model.train()
        self._since_s = self.clock()
        for step in range(1, self.spec.steps + 1):
            is_last, is_due = step == self.spec.steps, recorder.is_due(step)
            lrs = [float(group["lr"]) for group in optimizer.param_groups]
            batch = self.task.train_batch(step - 1)
            laps.start(counted=is_due or is_last)
            loss = self._loss(model, batch)
            laps.end("forward_s")
            loss.backward()  # type: ignore[no-untyped-call]
            laps.end("backward_s")
            self._losses.append(loss.detach())
            recorder.before(step, everything=is_last)
            laps.end("probe_s")
            optimizer.step()
            laps.end("optimizer_s")
            recorder.observe()
            laps.end("probe_s")
            schedule.step()
            if average is not None:
                average.update(step)
            asked_to_stop = self.stop.is_set() or self.tracker.fenced is not None
            if not asked_to_stop and self._is_due(step, self.spec.validation.every):
                self._validate(step, average)
            if asked_to_stop or is_due or is_last:
                tell = partial(self._tell, optimizer, average, recorder) if step == 1 else None
                everything = asked_to_stop or is_last
                self._record(step, recorder, lrs, laps, everything=everything, tell=tell)
            if asked_to_stop and step < self.spec.steps:
                raise Stopped(f"stopped after step {step:,} of {self.spec.steps:,}")
            optimizer.zero_grad(set_to_none=True)
        return optimizer

    def _is_due(self, step: int, every: int) -> bool:
        return step % every == 0 or step == self.spec.steps

    def _loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """The loss of a batch, under the precision asked for."""
        if self.spec.precision is Precision.BF16:
            with torch.autocast(self.device.type, torch.bfloat16):
                return self.task.loss(model, batch)
        return self.task.loss(model, batch)

    def _tell(self, optimizer: torch.optim.Optimizer, average: Average | None, recorder: Recorder) -> None:
        self.tracker.manifest(
            build_manifest(
                optimizer,
                attempt=self.attempt,
                device=self.device,
                provenance=self.task.provenance,
                averaging_bytes=average.num_bytes if average is not None else 0,
                probe_bytes=recorder.probe_bytes,
                advice=in_words(self._advice) if self._advice is not None else (),
            )
        )

    def _validate(self, step: int, average: Average | None) -> None:
        """Records the loss on the held-out batches, of the last iterate and of the average beside it.

        The time it takes is not the training's.
        """
        self._wait_for_device()
        started = self.clock()
        models = {
            "val_loss": self.task.model,
            "val_loss_averaged": average.model if average is not None else None,
        }
        for series, model in models.items():
            if model is not None and (loss := self._held_out_loss(model)) is not None:
                self.tracker.scalar(series, step, loss)
        self._elsewhere_s += self.clock() - started

    @torch.no_grad()
    def _held_out_loss(self, model: torch.nn.Module) -> float | None:
        """Returns the mean loss over the held-out batches; None if the run is asked to stop meanwhile."""
        model.eval()
        losses = []
        for batch in self.task.validation():
            if self.stop.is_set():
                break
            losses.append(self._loss(model, batch))
        model.train()
        return None if self.stop.is_set() or not losses else float(torch.stack(losses).mean())

    def _wait_for_device(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _record(
        self,
        step: int,
        recorder: Recorder,
        lrs: list[float],
        laps: Laps,
        *,
        everything: bool,
        tell: Callable[[], None] | None,
    ) -> None:
        """Spools a frame: the loss of every step since the last one, and what the probes read now.

        Args:
            step: steps done.
            recorder: what reads.
            lrs: learning rates of the step.
            laps: where its time went.
            everything: whether probes are read that are not due.
            tell: tells the manifest before the frame; by then probes hold what they will. None: told already.
        """
        losses = torch.stack(self._losses).float().cpu().tolist()
        laps.start(counted=True)
        arrays, scalars = recorder.read(step, lrs, everything=everything)
        laps.end("probe_s")
        self._wait_for_device()
        step_s = (self.clock() - self._since_s - self._elsewhere_s) / len(losses)
        if tell is not None:
            tell()
        first = step - len(losses) + 1
        for number, loss in enumerate(losses, start=first):
            self.tracker.scalar("loss", number, loss)
        scalars |= {
            "lr": lrs[0],
            "step_s": step_s,
            "tokens_per_s": self.task.tokens_per_batch / step_s,
        } | laps.means()
        scalars |= memory_series(recorder.optimizer, self.device)
        for series, value in scalars.items():
            self.tracker.scalar(series, step, value)
        self.tracker.frame(step, arrays)
        self._losses.clear()
        self._since_s, self._elsewhere_s = self.clock(), 0.0
        bad = next((n for n, loss in enumerate(losses, start=first) if not math.isfinite(loss)), None)
        if bad is not None:
            raise Diverged(
                f"the loss became {losses[bad - first]} at step {bad:,}; lower the learning rate or lengthen "
                "the warm-up"
            )

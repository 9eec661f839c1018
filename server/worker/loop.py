"""The training loop: batch, loss, step, and a frame every k steps."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch

from server.worker.advising import advised, in_words
from server.worker.averaging import Average
from server.worker.checkpoint import Checkpoint, Checkpoints
from server.worker.laps import Laps
from server.worker.manifest import build_manifest
from server.worker.memory import memory_series
from server.worker.optimizers import build_optimizer, build_schedule
from server.worker.parts import Parts
from server.worker.recipes.base import Batch, Task
from server.worker.stop import StopRequest, Wish
from sm3.probes.recorder import Recorder
from sm3.remote.job_specs import Device, JobSpec, Precision
from sm3.remote.tracker import Tracker
from sm3.remote.wire import AdvisedTensor


class Diverged(ArithmeticError):  # noqa: N818 - reads as what it is
    """The loss is no number any more."""


class Stopped(Exception):  # noqa: N818 - not an error: somebody asked
    """The run was asked to end before its last step."""


class Paused(Exception):  # noqa: N818 - not an error: somebody asked
    """The run was asked to make way; its newest checkpoint is where the next attempt goes on."""


class TimeIsUp(Exception):  # noqa: N818 - reads as what it is
    """The run has had all the time that its job allows."""


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
        stop: how somebody asks the run to stop.
        checkpoints: where it goes on from, and what it leaves for the next attempt; None for neither.
        warn: told of trouble that the run goes on in spite of; '' takes the last word back.
        clock: monotonic seconds.
    """

    spec: JobSpec
    task: Task
    device: torch.device
    tracker: Tracker
    attempt: int
    stop: StopRequest
    checkpoints: Checkpoints | None = None
    warn: Callable[[str], None] = print
    clock: Callable[[], float] = time.perf_counter
    _losses: list[torch.Tensor] = field(default_factory=list)
    _advice: tuple[AdvisedTensor, ...] = ()
    _since_s: float = 0.0
    _elsewhere_s: float = 0.0
    _ran_s: float = 0.0
    _began_s: float = 0.0
    _has_warned: bool = False
    _is_told: bool = False
    _resumed_step: int = 0

    def train(self) -> torch.optim.Optimizer:
        """Trains to the last step; returns the optimizer in its final state.

        Where there is a checkpoint, the run goes on from it: weights, statistics and frames are bit for bit those of a
        run that was never interrupted (on one kind of processor with one number of threads).

        Raises:
            Stopped: the run was asked to end, or the service wants nothing more of this attempt; what was recorded
                until then has been spooled.
            Paused: it was asked to make way; a checkpoint has been written if the disk allows it.
            TimeIsUp: the job's time is used up; a checkpoint has been written if the disk allows it.
            Diverged: the loss became NaN or infinite; the frame that shows it has been spooled.
        """
        self._began_s = self.clock()
        saved = self._newest_checkpoint()
        parts = self._build(saved)
        done = 0
        if saved is not None:
            done = saved.step
            self._go_on(parts, saved)
        laps = Laps(self.device, clock=self.clock)
        parts.model.train()
        self._since_s = self.clock()
        for step in range(done + 1, self.spec.steps + 1):
            is_stopped = self._step(step, parts, laps)
            if is_stopped and step < self.spec.steps:
                raise Stopped(f"stopped after step {step:,} of {self.spec.steps:,}")
            self._make_way_if_asked(step, parts)
        return parts.optimizer

    def _newest_checkpoint(self) -> Checkpoint | None:
        if self.checkpoints is None:
            return None
        saved, damaged = self.checkpoints.newest()
        if damaged:
            self.warn("; ".join(damaged))
        return saved

    def _build(self, saved: Checkpoint | None) -> Parts:
        """Returns all parts as they are before the first step, under the covers that ``saved`` was made with."""
        model = self.task.model
        if saved is not None:
            told = saved.training["run"]["advice"]
            self._advice = tuple(AdvisedTensor.model_validate(chosen) for chosen in told)
        else:
            advice = advised(
                self.spec, model, self.task.train_batch, self._loss, lambda: self.stop.wish is None
            )
            self._advice = in_words(advice) if advice is not None else ()
            if self.stop.wish is Wish.PAUSE:  # what was advised in haste must not last
                raise Paused(f"paused before step 1 of {self.spec.steps:,}")
        optimizer = build_optimizer(self.spec.optimizer, model, advice=self._advice)
        schedule = build_schedule(self.spec.schedule, optimizer, steps=self.spec.steps)
        average = None
        if self.spec.averaging is not None:
            average = Average(self.spec.averaging, model, steps=self.spec.steps)
        return Parts(
            model, optimizer, schedule, average, Recorder(optimizer, self.spec.record, seed=self.spec.seed)
        )

    def _go_on(self, parts: Parts, saved: Checkpoint) -> None:
        """Takes everything to where the checkpoint left it, and says so."""
        run = parts.restore(saved)
        self._losses = list(run["losses"].unbind()) if run["losses"] is not None else []
        self._ran_s = run["ran_s"]
        self.tracker.restore(run["tracker"])
        self._resumed_step = saved.step
        self._tell(parts, resumed_step=saved.step)

    def _step(self, step: int, parts: Parts, laps: Laps) -> bool:
        """Does one step: batch, loss, update, and what is due to be recorded after it; whether the run is to end."""
        is_last, is_due = step == self.spec.steps, parts.recorder.is_due(step)
        lrs = [float(group["lr"]) for group in parts.optimizer.param_groups]
        batch = self.task.train_batch(step - 1)
        laps.start(counted=is_due or is_last)
        loss = self._loss(parts.model, batch)
        laps.end("forward_s")
        loss.backward()  # type: ignore[no-untyped-call]
        laps.end("backward_s")
        self._losses.append(loss.detach())
        parts.recorder.before(step, everything=is_last)
        laps.end("probe_s")
        parts.optimizer.step()
        laps.end("optimizer_s")
        parts.recorder.observe()
        laps.end("probe_s")
        parts.schedule.step()
        if parts.average is not None:
            parts.average.update(step)
        is_stopped = self.stop.is_cancelled or self.tracker.fenced is not None
        if not is_stopped and self._is_due(step, self.spec.validation.every):
            self._validate(step, parts.average)
        if is_stopped or is_due or is_last:
            tell = None if self._is_told else partial(self._tell, parts, resumed_step=self._resumed_step)
            self._is_told = True
            self._record(step, parts.recorder, lrs, laps, everything=is_stopped or is_last, tell=tell)
        parts.optimizer.zero_grad(set_to_none=True)
        return is_stopped

    def _make_way_if_asked(self, step: int, parts: Parts) -> None:
        """Writes a checkpoint where one is due or wanted; leaves the run if it is to pause or its time is up."""
        is_last = step == self.spec.steps
        is_paused = self.stop.wish is Wish.PAUSE and not is_last
        limit_s = self.spec.limits.time_s
        is_late = limit_s is not None and self._time_s() > limit_s and not is_last
        if self.checkpoints is not None and (
            is_paused or is_late or self._is_due(step, self.spec.checkpoint.every)
        ):
            self._save(step, parts, self.checkpoints)
        if is_paused:
            raise Paused(f"paused after step {step:,} of {self.spec.steps:,}")
        if is_late:
            raise TimeIsUp(
                f"limits.time_s of {limit_s:g} s was used up after step {step:,} of {self.spec.steps:,}; clone the job "
                "with more time or fewer steps"
            )

    def _time_s(self) -> float:
        """Seconds of training over all attempts."""
        return self._ran_s + self.clock() - self._began_s

    def _save(self, step: int, parts: Parts, checkpoints: Checkpoints) -> None:
        """Writes a checkpoint; one that cannot be written is told of, and the run goes on."""
        started = self.clock()
        try:
            run = {
                "losses": torch.stack(self._losses) if self._losses else None,
                "ran_s": self._time_s(),
                "advice": [chosen.model_dump(mode="json") for chosen in self._advice],
                "tracker": self.tracker.state(),
            }
            checkpoints.save(parts.checkpoint(step, run))
        except OSError as error:
            self.warn(
                f"the checkpoint of step {step:,} could not be written ({error}); the one before it is kept"
            )
            self._has_warned = True
        else:
            if self._has_warned:
                self.warn("")
            self._has_warned = False
        self._elsewhere_s += self.clock() - started

    def _is_due(self, step: int, every: int) -> bool:
        return step % every == 0 or step == self.spec.steps

    def _loss(self, model: torch.nn.Module, batch: Batch) -> torch.Tensor:
        """The loss of a batch, under the precision asked for."""
        if self.spec.precision is Precision.BF16:
            with torch.autocast(self.device.type, torch.bfloat16):
                return self.task.loss(model, batch)
        return self.task.loss(model, batch)

    def _tell(self, parts: Parts, *, resumed_step: int = 0) -> None:
        self.tracker.manifest(
            build_manifest(
                parts.optimizer,
                attempt=self.attempt,
                device=self.device,
                provenance=self.task.provenance,
                averaging_bytes=parts.average.num_bytes if parts.average is not None else 0,
                probe_bytes=parts.recorder.probe_bytes,
                advice=self._advice,
                resumed_step=resumed_step,
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
        """Returns the mean loss over the held-out batches; None if the run is cancelled meanwhile.

        A run that is asked to pause meanwhile finishes this first: the next attempt would not do it again.
        """
        model.eval()
        losses = []
        for batch in self.task.validation():
            if self.stop.is_cancelled:
                break
            losses.append(self._loss(model, batch))
        model.train()
        return None if self.stop.is_cancelled or not losses else float(torch.stack(losses).mean())

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

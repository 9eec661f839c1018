"""From a training loop to the spool, and from the spool to the service.

The loop's side (:meth:`Tracker.scalar`, :meth:`Tracker.frame`) only writes to disk; a background thread delivers,
in order, and forgets a frame when the service has acknowledged it. Training never waits for the network: if the
service is away, frames wait in the spool; if the spool or its disk is full, the newest frame's arrays are dropped and
counted, its scalars travel with the next one, or at the latest when the tracker is closed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
import stamina

from sm3.remote.client import Client, ServiceError, Unreachable
from sm3.remote.frames import Frame, Point, Scalars, encode
from sm3.remote.spool import Entry, Spool
from sm3.remote.wire import Manifest

_LOG = logging.getLogger(__name__)
_MAX_WAITING_POINTS = 1_000_000
_ROOM_PAUSE_S = 0.2
_PAUSE_S = 1.0
# Its job has ended or is gone (and its token with it), or it is out of date: nothing more is wanted of this attempt.
_FENCED = frozenset({403, 409})
_UNFIT = frozenset({413, 422})


class Tracker:
    """Records one attempt of one job.

    Args:
        client: speaks with the service; used by the background thread alone.
        job_id: the job.
        attempt: which execution of it this is.
        folder: where frames wait until they are acknowledged.
        now: Unix time in seconds.
    """

    def __init__(
        self, client: Client, job_id: str, *, attempt: int, folder: Path, now: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._job_id = job_id
        self._attempt = attempt
        self._spool = Spool(folder)
        self._now = now
        self._points: list[Point] = []
        self._manifest: Manifest | None = None
        self._changed = threading.Condition()
        self._closing = False
        self._given_up: str | None = None
        self.seq = 0
        self.frames_dropped = 0
        self._dropped_step: int | None = None
        self._why_dropped = ""
        self._thread = threading.Thread(target=self._deliver_all, name="sm3-tracker", daemon=True)
        self._thread.start()

    def manifest(self, manifest: Manifest) -> None:
        """Tells the service the job's tensors, bytes and provenance, before the next frame."""
        with self._changed:
            self._manifest = manifest
            self._changed.notify_all()

    def scalar(self, series: str, step: int, value: float) -> None:
        """Adds one scalar point to the next frame."""
        if len(self._points) < _MAX_WAITING_POINTS:
            self._points.append(Point(series, step, float(value)))

    def frame(self, step: int, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Spools a frame of ``arrays`` (``statistic/part/tensor``) and every scalar since the last one.

        Raises:
            FrameError: an array's name or size is not what a frame may hold.
        """
        if self._given_up is not None:
            return
        self._put(step, arrays)

    def _put(self, step: int, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Spools a frame, or keeps its scalars for the next one."""
        self.scalar("frames_dropped", step, self.frames_dropped)
        scalars = Scalars.from_points(self._points)
        blob = encode(Frame(self._job_id, self._attempt, self.seq, step, self._now(), arrays, scalars))
        try:
            self._spool.put(self._attempt, self.seq, blob)
        except OSError as error:
            self._points = [point for point in self._points if point.series != "frames_dropped"]
            if self._dropped_step != step:  # not counted again when only its scalars are tried once more
                self.frames_dropped += 1
                _LOG.warning("frame of step %d dropped: %s", step, error)
            self._dropped_step, self._why_dropped = step, error.strerror or str(error)
            return
        self._points.clear()
        self._dropped_step = None
        with self._changed:
            self.seq += 1
            self._changed.notify_all()

    def state(self) -> dict[str, Any]:
        """Returns what a tracker of the next attempt goes on from: numbers and lists alone.

        Frames that wait are synced first: they are on disk whenever a checkpoint that builds on them is.

        Raises:
            OSError: they could not be synced.
        """
        self._spool.sync()
        points = [[point.series, point.step, point.value] for point in self._points]
        return {"seq": self.seq, "frames_dropped": self.frames_dropped, "points": points}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state` returned: the next frame has the number it would have had."""
        self._points = [Point(*point) for point in state["points"]]
        self.seq, self.frames_dropped = state["seq"], state["frames_dropped"]

    def close(self, timeout_s: float = 30.0, *, for_good: bool = True) -> bool:
        """Waits up to ``timeout_s`` seconds for delivery; False if something has not reached the service.

        Scalars that a full disk kept back are spooled first, as soon as there is room for them; not so where another
        attempt goes on with them (``for_good`` is False).
        """
        deadline = time.monotonic() + timeout_s
        while for_good and (step := self._dropped_step) is not None and self._given_up is None:
            self._put(step, {})
            if self._dropped_step is not None:
                if time.monotonic() >= deadline:
                    _LOG.error("%d scalars up to step %d are lost: no room", len(self._points), step)
                    break
                time.sleep(_ROOM_PAUSE_S)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(max(0.0, deadline - time.monotonic()))
        is_whole = self._dropped_step is None and self._given_up is None
        return is_whole and not self._thread.is_alive() and not self._spool.pending()

    @property
    def drops_in_words(self) -> str:
        """How many frames' arrays were dropped and why, as part of a sentence; '' if none were."""
        if not self.frames_dropped:
            return ""
        return f"; the arrays of {self.frames_dropped:,} frames were dropped ({self._why_dropped})"

    @property
    def fenced(self) -> str | None:
        """Why the service wants nothing more of this attempt (it is out of date); None while it does."""
        return self._given_up

    def _deliver_all(self) -> None:
        while self._given_up is None:
            with self._changed:
                while not (self._manifest or self._spool.pending()):
                    if self._closing:
                        return
                    self._changed.wait()
                manifest, self._manifest = self._manifest, None
            try:
                if manifest is not None:
                    self._patiently(self._tell, manifest)
                for entry in self._spool.pending():
                    self._patiently(self._deliver, entry)
            except ServiceError as error:
                self._given_up = str(error)
                _LOG.warning("the service refuses what this worker records: %s", error)
            except Exception:  # noqa: BLE001 - a spool that cannot be read now may be readable later
                _LOG.exception("delivery")
                time.sleep(_PAUSE_S)

    def _tell(self, manifest: Manifest) -> None:
        """Sends the manifest; one that the service can never take is left out, so that frames still arrive."""
        try:
            self._client.put_manifest(self._job_id, manifest)
        except ServiceError as error:
            if error.problem.status not in _UNFIT:
                raise
            _LOG.warning("manifest refused: %s", error)

    def _deliver(self, entry: Entry) -> None:
        """Sends one frame; one that the service can never take is dropped and counted."""
        try:
            self._client.put_frame(self._job_id, entry.attempt, entry.seq, entry.read())
        except ServiceError as error:
            if error.problem.status not in _UNFIT:
                raise
            self.frames_dropped += 1
            self._why_dropped = str(error)
            _LOG.warning("frame %d refused: %s", entry.seq, error)
        entry.forget()

    def _patiently(self, call: Callable[..., None], *arguments: object) -> None:
        """Calls until the service takes it; only the word that this attempt is out of date is raised."""
        for attempt in stamina.retry_context(
            on=may_pass, attempts=None, timeout=None, wait_initial=0.1, wait_max=3.0, wait_jitter=0.5
        ):
            with attempt:
                call(*arguments)


def may_pass(error: Exception) -> bool:
    """Whether the same call may succeed later."""
    if isinstance(error, ServiceError):
        return error.problem.status not in _FENCED
    return isinstance(error, Unreachable)

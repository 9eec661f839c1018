"""What a job records, and how often. No torch."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from sm3.remote.spec import Spec


class ProbeName(StrEnum):
    """Statistics that a job can record besides loss, learning rate and timing."""

    ACCUMULATORS = "accumulators"
    RATES = "rates"
    ACTIVATION = "activation"


class RecordSpec(Spec):
    """What is recorded, and how often a frame is made."""

    every: int = Field(10, ge=1, le=1_000_000, description="steps from frame to frame")
    probes: tuple[ProbeName, ...] = Field(tuple(ProbeName), max_length=len(ProbeName))

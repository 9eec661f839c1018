"""What the empty page says of the demo."""

from __future__ import annotations

from sm3.remote.demo import DEMO
from sm3.remote.job_specs import JobSpec
from sm3.remote.recipe_specs import num_parameters


def invitation(spec: JobSpec = DEMO) -> str:
    """Returns in a sentence what the demo does."""
    millions = num_parameters(spec.recipe) / 1e6
    return (
        f"The demo trains a language model of {millions:.1f} M parameters on the source of Python's standard "
        f"library, here, for {spec.steps:,} steps. On one CPU core that takes a few minutes; the accumulators "
        "appear within seconds."
    )

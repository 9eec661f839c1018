"""What the optimizer knows, one statistic a file; `registry` lists them, `describe` puts each in words.

To add one: a file with a subclass of :class:`~sm3.probes.base.Probe`, a line in `registry`, its name in
`sm3.remote.record_specs.ProbeName`. Importing this loads no torch; `sm3.probes.recorder` does.
"""

from __future__ import annotations

from sm3.probes.base import Probe, Reading, Statistic, Watched, describe
from sm3.probes.registry import PROBES

__all__ = ["PROBES", "Probe", "Reading", "Statistic", "Watched", "describe"]

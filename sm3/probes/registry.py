"""All probes, by name. Loads no torch."""

from __future__ import annotations

from sm3.probes.accumulators import Accumulators
from sm3.probes.activation import Activation
from sm3.probes.alike import Alike
from sm3.probes.base import Probe
from sm3.probes.growth import Growth
from sm3.probes.idle import Idle
from sm3.probes.nonfinite import NonFinite
from sm3.probes.poison import Poison
from sm3.probes.rate_profiles import RateProfiles
from sm3.probes.rates import Rates
from sm3.probes.squares import Squares
from sm3.probes.tightness import Tightness
from sm3.probes.topk import TopK
from sm3.probes.updates import Updates
from sm3.remote.record_specs import ProbeName

PROBES: dict[ProbeName, type[Probe]] = {
    ProbeName(probe.name): probe
    for probe in (
        Accumulators,
        Rates,
        Activation,
        Tightness,
        Updates,
        Growth,
        NonFinite,
        RateProfiles,
        Alike,
        Idle,
        TopK,
        Squares,
        Poison,
    )
}

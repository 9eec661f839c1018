"""What the optimizer knows, one statistic a file.

* :mod:`sm3.probes.accumulators`: the accumulators themselves, along each dim.
* :mod:`sm3.probes.rates`: quantiles of the effective learning rate.
* :mod:`sm3.probes.activation`: shares of zero gradient rows and columns.

To add one: a file with a class of the :class:`~sm3.probes.base.Probe` shape, and a line in `PROBES`.
"""

from __future__ import annotations

from sm3.probes.accumulators import Accumulators
from sm3.probes.activation import Activation
from sm3.probes.base import Probe, Reading
from sm3.probes.rates import Rates
from sm3.probes.recorder import Recorder
from sm3.probes.tracking import Tracked, tracked

PROBES: dict[str, type[Probe]] = {"accumulators": Accumulators, "rates": Rates, "activation": Activation}

__all__ = ["PROBES", "Probe", "Reading", "Recorder", "Tracked", "tracked"]

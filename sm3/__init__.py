"""SM3: adaptive optimization whose memory is sublinear in the number of parameters.

`import sm3` is cheap: public names load on first use, and torch with the first that needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sm3.advisor.advise import Advice as Advice
    from sm3.advisor.advise import advise as advise
    from sm3.covers import Cover as Cover
    from sm3.covers import CoverPolicy as CoverPolicy
    from sm3.covers import from_spec as from_spec
    from sm3.optimizer import SM3 as SM3
    from sm3.optimizer import NonFiniteGradientError as NonFiniteGradientError
    from sm3.optimizer import StateBytes as StateBytes
    from sm3.schedules import WarmupCooldown as WarmupCooldown
    from sm3.shadow import Shadow as Shadow

__version__ = "0.1.0"

_HOME = {
    "Advice": "sm3.advisor.advise",
    "advise": "sm3.advisor.advise",
    "SM3": "sm3.optimizer",
    "NonFiniteGradientError": "sm3.optimizer",
    "StateBytes": "sm3.optimizer",
    "Shadow": "sm3.shadow",
    "WarmupCooldown": "sm3.schedules",
    "Cover": "sm3.covers",
    "CoverPolicy": "sm3.covers",
    "from_spec": "sm3.covers",
}


def __getattr__(name: str) -> Any:
    """Import the module a public name lives in, the first time the name is asked for."""
    if name not in _HOME:
        raise AttributeError(
            f"module 'sm3' has no attribute {name!r}; public names: {', '.join(sorted(_HOME))}"
        )
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Name everything public, loaded or not."""
    return sorted([*globals(), *_HOME])

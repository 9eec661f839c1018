"""The real optimizers that rules are compared with: one case a rule and setting, made as their users make them."""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

Params = Mapping[str, torch.nn.Parameter]


@dataclass(frozen=True)
class Case:
    """One optimizer, and how a package makes it.

    Attributes:
        spec: what the ledger is told.
        make: named parameters to the package's optimizers, all of which step.
        package: whose it is, by its distribution's name.
        refuses: shapes' names that the package itself cannot step, and why.
    """

    spec: dict[str, Any]
    make: Callable[[Params], list[torch.optim.Optimizer]]
    package: str
    refuses: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        rest = [f"{k}={v}" for k, v in self.spec.items() if k != "name"]
        return "-".join([self.spec["name"], *rest])


def _torch(name: str, **fixed: Any) -> Callable[[Params], list[torch.optim.Optimizer]]:
    return lambda params: [getattr(torch.optim, name)(params.items(), lr=1e-3, **fixed)]


def _sm3(**settings: Any) -> Case:
    def make(params: Params) -> list[torch.optim.Optimizer]:
        from sm3 import SM3

        return [SM3(params.items(), lr=0.1, **settings)]

    return Case({"name": "sm3", **settings}, make, "sm3-scope")


def _muon(params: Params) -> list[torch.optim.Optimizer]:
    own = {n: p for n, p in params.items() if p.dim() == 2 and "embed" not in n and "head" not in n}
    rest = {n: p for n, p in params.items() if n not in own}
    makers = ((torch.optim.Muon, own), (torch.optim.AdamW, rest))
    return [make(some.items()) for make, some in makers if some]


def _lion(params: Params) -> list[torch.optim.Optimizer]:
    from lion_pytorch import Lion

    return [Lion(params.values(), lr=1e-4)]


def _came(params: Params) -> list[torch.optim.Optimizer]:
    from came_pytorch import CAME

    return [CAME(params.values(), lr=1e-4)]


def _adam_mini(params: Params) -> list[torch.optim.Optimizer]:
    from adam_mini import Adam_mini

    return [Adam_mini(params.items(), lr=1e-4, dim=64, n_heads=4, verbose=False)]


def _bitsandbytes(params: Params) -> list[torch.optim.Optimizer]:
    from bitsandbytes.optim import AdamW8bit

    return [AdamW8bit(params.values(), lr=1e-4)]


def _torchao(params: Params) -> list[torch.optim.Optimizer]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import warns of kernels that are not for this machine
        from torchao.optim import AdamW8bit

    return [AdamW8bit(params.values(), lr=1e-4)]


def _transformers(**fixed: Any) -> Callable[[Params], list[torch.optim.Optimizer]]:
    def make(params: Params) -> list[torch.optim.Optimizer]:
        from transformers.optimization import Adafactor

        return [Adafactor(params.values(), **fixed)]

    return make


_EMPTY = {"empty": "divides by its number of entries", "empty_matrix": "divides by its number of entries"}

CASES: tuple[Case, ...] = (
    _sm3(),
    _sm3(momentum=0.0),
    _sm3(momentum_dtype="bf16"),
    _sm3(momentum_dtype="int8"),
    _sm3(variant="I", momentum=0.0),
    _sm3(cover={"kind": "singletons"}),
    _sm3(cover={"kind": "whole"}, momentum_dtype="int8"),
    _sm3(cover={"kind": "blocks", "tile": 7}, momentum=0.0),
    _sm3(cover={"kind": "slices", "dims": [-1]}, momentum=0.0),
    _sm3(cover={"kind": "reshaped", "view": "square", "inner": {"kind": "slices"}}, momentum=0.0),
    _sm3(
        cover={"kind": "union", "members": [{"kind": "slices"}, {"kind": "blocks", "tile": 16}]}, momentum=0.0
    ),
    *(
        Case(
            {"name": "sgd", "momentum": momentum}, _torch("SGD", momentum=momentum, foreach=foreach), "torch"
        )
        for momentum in (0.0, 0.9)
        for foreach in (False, True)
    ),
    *(
        Case(
            {"name": "adamw", "amsgrad": amsgrad}, _torch("AdamW", amsgrad=amsgrad, foreach=foreach), "torch"
        )
        for amsgrad in (False, True)
        for foreach in (False, True)
    ),
    *(Case({"name": "adagrad"}, _torch("Adagrad", foreach=foreach), "torch") for foreach in (False, True)),
    *(
        Case({"name": "adafactor"}, _torch("Adafactor", foreach=foreach), "torch", _EMPTY)
        for foreach in (False, True)
    ),
    Case({"name": "muon"}, _muon, "torch"),
    Case({"name": "lion"}, _lion, "lion-pytorch"),
    Case({"name": "came"}, _came, "came-pytorch"),
    Case({"name": "adam-mini", "dim": 64, "n_heads": 4}, _adam_mini, "adam-mini"),
    Case({"name": "adamw8bit"}, _bitsandbytes, "bitsandbytes"),
    Case({"name": "adamw8bit-torchao"}, _torchao, "torchao"),
    Case({"name": "adafactor-transformers"}, _transformers(), "transformers"),
    Case({"name": "adafactor-transformers", "momentum": True}, _transformers(beta1=0.9), "transformers"),
)


def version(package: str) -> str | None:
    """The installed version of a package without its local part, or None."""
    try:
        return importlib.metadata.version(package).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return None

"""What is timed: ours by kernel and cover, torch's own optimizers, published ports of SM3."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch

from sm3 import SM3

if TYPE_CHECKING:
    from collections.abc import Callable

    Params = list[torch.nn.Parameter]


class Floor:
    """`p.add_(g)`: reads both and writes one, the least any optimizer can do."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self.state: dict[Any, Any] = {}

    def step(self) -> None:
        """Add each gradient, times next to nothing."""
        with torch.no_grad():
            for p in self.params:
                p.add_(p.grad, alpha=-1e-12)


@dataclass(frozen=True)
class Contender:
    """An optimizer to time; `family` is ours, torch or peer."""

    name: str
    family: str
    make: Callable[[Params], Any]


def _ours(name: str, **arguments: Any) -> Contender:
    settings = {"lr": 1e-6, "momentum": 0.0, "nonfinite": "propagate"} | arguments
    return Contender(f"SM3 {name}", "ours", lambda params: SM3(params, **settings))


def _torch(name: str, kind: Any, **arguments: Any) -> Contender:
    return Contender(name, "torch", lambda params: kind(params, lr=1e-6, **arguments))


def _peer_torch_sm3(momentum: float) -> Callable[[Params], Any]:
    def make(params: Params) -> Any:
        peer = import_module("SM3")  # the PyPI package torch-sm3

        return peer.SM3(params, lr=1e-6, momentum=momentum)

    return make


def _peer_pytorch_optimizer(momentum: float) -> Callable[[Params], Any]:
    def make(params: Params) -> Any:
        import pytorch_optimizer

        return pytorch_optimizer.SM3(params, lr=1e-6, momentum=momentum)

    return make


CONTENDERS = [
    Contender("floor p.add_(g)", "floor", Floor),
    _torch("AdamW fused", torch.optim.AdamW, fused=True),
    _torch("AdamW foreach", torch.optim.AdamW, foreach=True),
    _torch("Adagrad", torch.optim.Adagrad),
    _torch("Adafactor", torch.optim.Adafactor),
    _torch("SGD fused", torch.optim.SGD, fused=True),
    _ours("C", kernel="auto"),
    _ours("C, gradients checked (default)", nonfinite="raise"),
    _ours("C, momentum", momentum=0.9),
    _ours("C, momentum bf16", momentum=0.9, momentum_dtype="bf16"),
    _ours("C, momentum int8", momentum=0.9, momentum_dtype="int8"),
    _ours("C, rows only", cover={"kind": "slices", "dims": [0]}),
    _ours("C, whole", cover="whole"),
    _ours("C, blocks 64", cover={"kind": "blocks", "tile": 64}),
    _ours("C, singletons", cover="singletons"),
    _ours("eager", kernel="eager"),
    _ours("eager, momentum", kernel="eager", momentum=0.9),
    _ours("eager, momentum int8", kernel="eager", momentum=0.9, momentum_dtype="int8"),
    _ours("reference", kernel="reference"),
    _ours(
        "reference, union slices+blocks",
        cover={"kind": "union", "members": [{"kind": "slices"}, {"kind": "blocks"}]},
    ),
    Contender("torch-sm3", "peer", _peer_torch_sm3(0.0)),
    Contender("torch-sm3, momentum", "peer", _peer_torch_sm3(0.9)),
    Contender("pytorch_optimizer SM3", "peer", _peer_pytorch_optimizer(0.0)),
    Contender("pytorch_optimizer SM3, momentum", "peer", _peer_pytorch_optimizer(0.9)),
]

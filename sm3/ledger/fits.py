"""What fits on a device: the largest batch, and the largest model of a family, for each optimizer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sm3.ledger.account import Ledger
from sm3.remote.ledger_specs import Dtype


@dataclass(frozen=True, slots=True)
class Transformer:
    """What activations of a transformer hang on.

    Attributes:
        layers: blocks.
        width: h, the length of the residual stream.
        heads: a, attention heads.
        context: s, tokens of a sample unless told otherwise.
    """

    layers: int
    width: int
    heads: int
    context: int


def activation_bytes(model: Transformer, *, tokens: int | None = None, dtype: Dtype = Dtype.BF16) -> int:
    """Returns an estimate of the activations of one sample that the backward pass needs, without recomputation.

    s·h·(16e + 2) + a·s²·(2e + 1) bytes a block, e bytes a number: with e = 2 this is the s·b·h·(34 + 5·a·s/h) of
    Korthikanti et al. 2022 (arXiv 2205.05198, equation 1), whose 2 and 1 are the dropout masks' bytes. Its blocks are
    GPT's: MLP four times as wide, attention scores stored. Embeddings and logits are left out, and so is what fused
    attention saves.

    >>> activation_bytes(Transformer(layers=24, width=1024, heads=16, context=512), tokens=128)
    138412032
    """
    s, h, a, e = tokens or model.context, model.width, model.heads, dtype.itemsize
    return model.layers * (s * h * (16 * e + 2) + a * s * s * (2 * e + 1))


def largest_batch(
    ledger: Ledger, *, memory_bytes: int, activation_bytes_per_sample: int, reserve_bytes: int = 0
) -> int:
    """Returns the most samples whose activations fit beside all that is held; 0 where not even one does.

    Args:
        ledger: of the model under its optimizer.
        memory_bytes: the device's.
        activation_bytes_per_sample: measured or estimated, ≥ 1.
        reserve_bytes: of the device, not ours.
    """
    room = memory_bytes - reserve_bytes - ledger.total.held
    if room < ledger.transient_bytes:
        return 0
    return max(0, room // activation_bytes_per_sample)


def largest_of(
    family: Iterable[tuple[str, Ledger, int]], *, memory_bytes: int, batch: int = 1, reserve_bytes: int = 0
) -> str | None:
    """Returns the name of the family's largest model that still holds a batch, or None.

    Args:
        family: name, ledger and activation bytes a sample of each model.
        memory_bytes: the device's.
        batch: samples it must hold.
        reserve_bytes: of the device, not ours.
    """
    fitting = [
        (ledger.num_parameters, name)
        for name, ledger, per_sample in family
        if largest_batch(
            ledger,
            memory_bytes=memory_bytes,
            activation_bytes_per_sample=per_sample,
            reserve_bytes=reserve_bytes,
        )
        >= batch
    ]
    return max(fitting)[1] if fitting else None

"""The optimizers that the ledger knows, by name."""

from __future__ import annotations

from typing import Any

from sm3.ledger.rules.adafactor import Adafactor
from sm3.ledger.rules.adafactor_transformers import AdafactorTransformers
from sm3.ledger.rules.adagrad import Adagrad
from sm3.ledger.rules.adam_mini import AdamMini
from sm3.ledger.rules.adamw import AdamW
from sm3.ledger.rules.adamw8bit import AdamW8bit
from sm3.ledger.rules.adamw8bit_torchao import AdamW8bitTorchao
from sm3.ledger.rules.base import Rule
from sm3.ledger.rules.came import Came
from sm3.ledger.rules.lion import Lion
from sm3.ledger.rules.muon import Muon
from sm3.ledger.rules.sgd import Sgd
from sm3.ledger.rules.sm3 import Sm3
from sm3.remote.ledger_specs import AdamWLedgerSpec
from sm3.remote.optimizer_specs import AdamWSpec
from sm3.remote.spec import Spec

RULES: dict[str, type[Rule[Any]]] = {
    "sm3": Sm3,
    "sgd": Sgd,
    "adamw": AdamW,
    "adagrad": Adagrad,
    "adafactor": Adafactor,
    "adafactor-transformers": AdafactorTransformers,
    "lion": Lion,
    "adamw8bit": AdamW8bit,
    "adamw8bit-torchao": AdamW8bitTorchao,
    "came": Came,
    "adam-mini": AdamMini,
    "muon": Muon,
}


def rule_of(spec: Spec) -> Rule[Any]:
    """Returns the rule of an optimizer's spec: one of the ledger's, or a job's."""
    if isinstance(spec, AdamWSpec) and not isinstance(spec, AdamWLedgerSpec):
        spec = AdamWLedgerSpec.model_validate(spec.model_dump())
    return RULES[spec.name](spec)  # type: ignore[attr-defined]

"""Predicted state is allocated state, to the byte and tensor by tensor, for the real optimizers of every package."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from pydantic import TypeAdapter

from sm3.ledger import TensorShape, account
from sm3.ledger.measure import state_bytes, state_bytes_of
from sm3.ledger.rules.registry import RULES
from sm3.remote.ledger_specs import Dtype, LedgerOptimizer
from tests.ledger.packages import CASES, Case, Params, version

ODD = {
    "scalar": (),
    "empty": (0,),
    "empty_matrix": (0, 5),
    "vector": (300,),
    "long.bias": (4100,),
    "row": (1, 700),
    "column": (700, 1),
    "matrix": (100, 300),
    "embed.weight": (513, 64),
    "wq.weight": (64, 64),
    "blocks": (64, 256),
    "conv": (16, 8, 3, 3),
    "rank5": (2, 3, 4, 5, 6),
}
DTYPES = {
    Dtype.FP32: torch.float32,
    Dtype.BF16: torch.bfloat16,
    Dtype.FP16: torch.float16,
    Dtype.FP64: torch.float64,
}
# What packages that are not torch's cannot step on a CPU at all.
CANNOT = {
    ("bitsandbytes", Dtype.FP64): "its CPU kernels have no float64",
}


def stepped(case: Case, params: Params) -> list[torch.optim.Optimizer]:
    """The package's optimizers after two steps: state that the first allocates and the second may change."""
    generator = torch.Generator().manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, not ours
        optimizers = case.make(params)
        with torch.compiler.set_stance("force_eager"):
            for _ in range(2):
                for param in params.values():
                    param.grad = torch.randn(param.shape, generator=generator).to(param.dtype)
                for optimizer in optimizers:
                    optimizer.step()
    return optimizers


def require_equal(case: Case, params: Params) -> None:
    spec = TypeAdapter(LedgerOptimizer).validate_python(case.spec)
    names = {dtype: known for known, dtype in DTYPES.items()}
    tensors = [TensorShape(name, tuple(p.shape), names[p.dtype]) for name, p in params.items()]
    ledger = account(tensors, spec)
    optimizers = stepped(case, params)
    shared = {kept.key for kept in ledger.shared}
    for row in ledger.rows:
        (own,) = [o for o in optimizers if params[row.tensor.name] in o.state] or [optimizers[0]]
        measured = state_bytes_of(own, params[row.tensor.name])
        predicted = {kept.key: kept.num_bytes for kept in row.kept}
        assert {k: v for k, v in measured.items() if k not in shared} == predicted, row.tensor
    lrs = [g["lr"].nbytes for o in optimizers for g in o.param_groups if isinstance(g["lr"], torch.Tensor)]
    assert sum(map(state_bytes, optimizers)) + sum(lrs) == ledger.total.state


def require_installed(case: Case) -> None:
    if version(case.package) is None:
        pytest.skip(f"{case.package} is not installed; `make test-ledger` installs it")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_predicted_state_is_allocated_state_for_odd_shapes(case: Case, dtype: Dtype) -> None:
    require_installed(case)
    if (case.package, dtype) in CANNOT:
        pytest.skip(CANNOT[case.package, dtype])
    params = {
        name: torch.nn.Parameter(torch.zeros(shape, dtype=DTYPES[dtype]))
        for name, shape in ODD.items()
        if name not in case.refuses
    }
    require_equal(case, params)

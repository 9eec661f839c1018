"""Equal to trajectories recorded from the authors' published optimizer."""

import json

import numpy as np
import pytest
import torch

from sm3 import SM3

CASES = [
    "scalar", "vector", "vector_no_momentum", "matrix", "matrix_no_momentum", "rank3", "rank4_conv",
    "embedding_rows", "sparse_embedding", "tiny_gradients",
]  # fmt: skip
# Two float32 implementations of the same formula, which round at different places.
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def test_every_recorded_case_is_listed_here(golden):
    assert sorted(json.loads(golden["meta"].tobytes())) == sorted(CASES)


@pytest.mark.parametrize("case", CASES)
def test_trajectory_and_state_equal_the_reference(golden, case):
    meta = json.loads(golden["meta"].tobytes())[case]
    param = torch.nn.Parameter(torch.tensor(golden[f"{case}/p0"]))
    optimizer = SM3([param], lr=meta["lr"], momentum=meta["momentum"])
    for t, values in enumerate(golden[f"{case}/grads"]):
        grad = torch.from_numpy(np.array(values))
        if meta["sparse_rows"]:
            rows = torch.tensor(golden[f"{case}/idx"][t])[None]
            grad = torch.sparse_coo_tensor(rows, grad, param.shape)
        param.grad = grad
        optimizer.step()
        np.testing.assert_allclose(param.detach().numpy(), golden[f"{case}/traj"][t], **CLOSE)
    accumulators = [golden[k] for k in sorted(golden) if k.startswith(f"{case}/slot_accumulator")]
    assert len(accumulators) == len(optimizer.accumulators(param))
    for ours, theirs in zip(optimizer.accumulators(param), accumulators, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, **CLOSE)
    if f"{case}/slot_momentum" in golden:
        momentum = optimizer.state[param]["momentum"].numpy()
        np.testing.assert_allclose(momentum, golden[f"{case}/slot_momentum"], **CLOSE)

"""Predicted state is allocated state, to the byte and tensor by tensor, for the real optimizers of every package."""

from __future__ import annotations

import tomllib
import warnings
from pathlib import Path

import pytest
import torch
from pydantic import TypeAdapter

from sm3.ledger import TensorShape, answer
from sm3.ledger.account import account
from sm3.ledger.measure import state_bytes, state_bytes_of
from sm3.ledger.rules.adam_mini import is_refused
from sm3.ledger.rules.registry import RULES
from sm3.remote.ledger_specs import Dtype, LedgerOptimizer, LedgerSpec
from sm3.remote.ledger_views import OptimizerLedger
from sm3.remote.recipe_specs import ImagesSpec, LanguageModelSpec, RecipeSpec, parameter_shapes
from tests.ledger.packages import CASES, Case, Params, version

ROOT = Path(__file__).parents[2]
PINNED = {"torch", "sm3-scope"}
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


def stepped(case: Case, params: Params, steps: int = 2) -> list[torch.optim.Optimizer]:
    """The package's optimizers after some steps: the first allocates state, and the second may change it."""
    generator = torch.Generator().manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, not ours
        optimizers = case.make(params)
        with torch.compiler.set_stance("force_eager"):
            for _ in range(steps):
                for param in params.values():
                    param.grad = torch.randn(param.shape, generator=generator).to(param.dtype)
                for optimizer in optimizers:
                    optimizer.step()
    return optimizers


def require_equal(case: Case, params: Params, steps: int = 2) -> None:
    spec = TypeAdapter(LedgerOptimizer).validate_python(case.spec)
    names = {dtype: known for known, dtype in DTYPES.items()}
    tensors = [TensorShape(name, tuple(p.shape), names[p.dtype]) for name, p in params.items()]
    ledger = account(tensors, spec)
    optimizers = stepped(case, params, steps)
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
    params = {
        name: torch.nn.Parameter(torch.zeros(shape, dtype=DTYPES[dtype]))
        for name, shape in ODD.items()
        if name not in case.refuses
    }
    require_equal(case, params)


@pytest.mark.parametrize(
    "recipe",
    [
        LanguageModelSpec(name="language-model"),
        ImagesSpec(name="images", model="cnn"),
    ],
    ids=lambda recipe: f"{recipe.name}-{recipe.size}",
)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_predicted_state_is_allocated_state_for_the_recipes(case: Case, recipe: RecipeSpec) -> None:
    require_installed(case)
    shapes = parameter_shapes(recipe)
    if case.package == "adam-mini":  # which fails on vectors that it takes for matrices; see below
        shapes = {n: s for n, s in shapes.items() if not is_refused(TensorShape(n, s))}
    params = {name: torch.nn.Parameter(torch.zeros(shape)) for name, shape in shapes.items()}
    require_equal(case, params, steps=1)


@pytest.mark.parametrize("case", [case for case in CASES if case.refuses], ids=lambda case: case.name)
def test_shapes_that_are_left_out_are_refused_by_the_package_itself(case: Case) -> None:
    require_installed(case)
    for name in case.refuses:
        with pytest.raises(ZeroDivisionError):
            stepped(case, {name: torch.nn.Parameter(torch.zeros(ODD[name]))})


def test_adam_mini_itself_fails_on_a_layer_norm_that_its_names_take_for_a_matrix() -> None:
    (case,) = (case for case in CASES if case.package == "adam-mini")
    require_installed(case)
    with pytest.raises(IndexError):
        stepped(case, {"bert.embeddings.LayerNorm.weight": torch.nn.Parameter(torch.ones(8))})
    assert "fails on 49 vectors" in " ".join(answered("bert-large", "adam-mini").notes)
    assert not answered("llama-3-8b", "adam-mini").notes


def answered(model: str, optimizer: str) -> OptimizerLedger:
    return answer(LedgerSpec.model_validate({"model": model, "optimizers": [optimizer]})).ledgers[0]


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_marked_as_verified_if_and_only_if_a_case_compares_it(name: str) -> None:
    mark = RULES[name].verified
    packages = {case.package for case in CASES if case.spec["name"] == name}
    assert packages == ({mark.package} if mark else set())


@pytest.mark.parametrize("name", RULES)
def test_the_version_in_a_mark_is_the_one_compared_here(name: str) -> None:
    mark = RULES[name].verified
    if mark is None or version(mark.package) is None:
        pytest.skip("not installed")
    found = version(mark.package)
    if mark.package in PINNED:
        assert found == mark.version
    else:  # a newer one passes the comparison above or fails there; the mark names the oldest it is known of
        assert tuple(map(int, found.split("."))) >= tuple(map(int, mark.version.split(".")))


def test_every_package_of_a_mark_is_installed_by_the_tests_or_by_make_test_ledger() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    listed = " ".join([*project["dependencies"], *extras["test"], *extras["ledger-verify"], project["name"]])
    for rule in RULES.values():
        assert rule.verified is None or rule.verified.package in listed, rule
    assert f"torch=={RULES['adamw'].verified.version}" in (ROOT / "constraints.txt").read_text()

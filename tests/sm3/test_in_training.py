"""SM3 inside what people train with: schedulers, GradScaler, compiled steps, hooks, averaging, checkpoints."""

import copy
import warnings

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from sm3 import SM3, WarmupCooldown


def regression(seed=0):
    """A small model, inputs and targets it can learn."""
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    x = torch.randn(64, 8)
    return model, x, x[:, :1] * x[:, 1:2] + x[:, 2:3]


def train(model, x, y, optimizer, steps=60, schedule=None):
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        if schedule is not None:
            schedule.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.0},
        {"variant": "I"},
        {"beta2": 0.99},
        {"momentum_dtype": "bf16"},
        {"momentum_dtype": "int8"},
        {"cover": "whole"},
        {"cover": {"kind": "blocks", "tile": 4}},
        {"kernel": "eager"},
        {"weight_decay": 1e-3},
    ],
    ids=str,
)
def test_it_learns(options):
    model, x, y = regression()
    lr = 0.01 if "beta2" in options else 0.1
    losses = train(model, x, y, SM3(model.named_parameters(), lr, **options), steps=150)
    assert losses[-1] < 0.2 * losses[0]


def test_momentum_in_int8_trains_about_as_float32_does():
    losses = {}
    for dtype in ("fp32", "bf16", "int8"):
        model, x, y = regression()
        losses[dtype] = train(model, x, y, SM3(model.parameters(), 0.1, momentum_dtype=dtype), steps=200)[-1]
    assert losses["bf16"] == pytest.approx(losses["fp32"], rel=0.05)
    assert losses["int8"] == pytest.approx(losses["fp32"], rel=0.25)


@pytest.mark.parametrize(("dtype", "bytes_an_entry"), [("fp32", 4), ("bf16", 2), ("int8", 1 + 4 / 256)])
def test_momentum_takes_the_bytes_its_dtype_says(dtype, bytes_an_entry):
    p = torch.nn.Parameter(torch.randn(64, 512))
    optimizer = SM3([p], 0.1, momentum_dtype=dtype)
    p.grad = torch.randn_like(p)
    optimizer.step()
    assert optimizer.state_bytes().momentum_bytes == bytes_an_entry * p.numel()


@pytest.mark.parametrize(
    "make",
    [
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 50),
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=60, cycle_momentum=False),
        lambda o: WarmupCooldown(o, 60, warmup=0.5, cooldown=0.1),
    ],
)
@pytest.mark.parametrize("lr", [0.1, torch.tensor(0.1)], ids=["float", "tensor"])
def test_any_scheduler_drives_it(make, lr):
    model, x, y = regression()
    optimizer = SM3(model.parameters(), lr)
    losses = train(model, x, y, optimizer, schedule=make(optimizer))
    assert losses[-1] < losses[0]


def test_one_cycle_may_drive_the_momentum():
    model, x, y = regression()
    optimizer = SM3(model.parameters(), 0.1)
    with pytest.raises(ValueError, match="must support momentum or beta1"):
        torch.optim.lr_scheduler.OneCycleLR(torch.optim.Adagrad(model.parameters()), 0.1, total_steps=60)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=61)
    train(model, x, y, optimizer, schedule=schedule)


def test_grad_scaler_skips_overflows_before_they_reach_it():
    model, x, y = regression()
    optimizer = SM3(model.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**120, growth_interval=1000)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(x), y)
        scaler.scale(loss * 1e4).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    assert scaler.get_scale() < 2.0**120
    assert losses[-1] < losses[0]
    assert all(p.isfinite().all() for p in model.parameters())


def test_a_compiled_training_step_is_not_recompiled_as_the_learning_rate_changes():
    model, x, y = regression()
    twin = copy.deepcopy(model)
    frames = []

    def backend(graph, _):
        frames.append(graph)
        return graph.forward

    def step_of(model, optimizer):
        def step(x, y):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        return step

    optimizer, eager = SM3(model.parameters(), 0.1), SM3(twin.parameters(), 0.1)
    compiled, plain = torch.compile(step_of(model, optimizer), backend=backend), step_of(twin, eager)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about tracing
        for k in range(6):
            for group in (*optimizer.param_groups, *eager.param_groups):
                group["lr"] = 0.1 / (k + 1)
            compiled(x, y)
            plain(x, y)
            if k == 2:
                settled = len(frames)
    assert len(frames) == settled > 0
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q)


def test_it_steps_inside_backward():
    model, x, y = regression()
    twin = copy.deepcopy(model)
    optimizers = {p: SM3([p], 0.1) for p in model.parameters()}

    def step(p):
        optimizers[p].step()
        optimizers[p].zero_grad()

    for p in model.parameters():
        p.register_post_accumulate_grad_hook(step)
    together = SM3(twin.parameters(), 0.1)
    for _ in range(5):
        torch.nn.functional.mse_loss(model(x), y).backward()
    train(twin, x, y, together, steps=5)
    assert all(p.grad is None for p in model.parameters())
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q)


@pytest.mark.parametrize("multi_avg_fn", [None, get_ema_multi_avg_fn(0.9)], ids=["polyak", "ema"])
def test_its_iterates_average_through_swa_utils(multi_avg_fn):
    model, x, y = regression()
    optimizer = SM3(model.parameters(), 0.1)
    averaged = AveragedModel(model, multi_avg_fn=multi_avg_fn)
    for _ in range(40):
        train(model, x, y, optimizer, steps=1)
        averaged.update_parameters(model)
    assert torch.nn.functional.mse_loss(averaged(x), y) < torch.nn.functional.mse_loss(regression()[0](x), y)


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "int8"])
def test_a_run_resumed_from_a_checkpoint_goes_on_bit_for_bit(tmp_path, dtype):
    model, x, y = regression()
    optimizer = SM3(model.named_parameters(), 0.1, momentum_dtype=dtype)
    schedule = WarmupCooldown(optimizer, 40)
    train(model, x, y, optimizer, 20, schedule)
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    torch.save({k: v.state_dict() for k, v in parts.items()}, tmp_path / "checkpoint.pt")
    straight = train(model, x, y, optimizer, 20, schedule)
    model, _, _ = regression(seed=9)
    optimizer = SM3(model.named_parameters(), 0.3, momentum_dtype=dtype)
    schedule = WarmupCooldown(optimizer, 40)
    saved = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    for name, part in {"model": model, "optimizer": optimizer, "schedule": schedule}.items():
        part.load_state_dict(saved[name])
    assert train(model, x, y, optimizer, 20, schedule) == straight


# Defects of published ports, each as the fact that would have caught it. Also elsewhere: state cast on load, zero
# gradients in fp16, stalling bf16 accumulators, 0-d and empty tensors, None, maximize (test_optimizer.py).


def test_a_one_dimensional_sparse_update_leaves_untouched_rows_their_accumulators():
    p = torch.nn.Parameter(torch.randn(4))
    optimizer = SM3([p], 0.1, 0.0)
    p.grad = torch.ones(4)
    optimizer.step()
    p.grad = torch.sparse_coo_tensor([[1]], torch.ones(1), (4,))
    optimizer.step()
    assert optimizer.accumulators(p)[0].tolist() == [1, 2, 1, 1]


def test_a_matrix_with_a_sparse_gradient_steps():
    embedding = torch.nn.Embedding(10, 4, sparse=True)
    optimizer = SM3(embedding.parameters(), 0.1)
    before = embedding.weight.detach().clone()
    embedding(torch.tensor([1, 1, 7])).sum().backward()
    optimizer.step()
    assert (embedding.weight != before).any(1).nonzero().flatten().tolist() == [1, 7]


@pytest.mark.parametrize("kernel", ["auto", "eager", "reference"])
def test_a_moving_average_decays(kernel):
    p = torch.nn.Parameter(torch.randn(4, 4))
    optimizer = SM3([p], 0.1, beta2=0.5, kernel=kernel)
    for g in (1.0, 0.0, 0.0):
        p.grad = torch.full((4, 4), g)
        optimizer.step()
    assert optimizer.accumulators(p)[0].tolist() == [0.125] * 4


def test_one_nan_poisons_nothing_by_default():
    p = torch.nn.Parameter(torch.randn(8, 8))
    optimizer = SM3([p], 0.1, nonfinite="skip")
    for step in range(4):
        p.grad = torch.randn(8, 8)
        if step == 1:
            p.grad[3, 3] = float("nan")
        optimizer.step()
    assert optimizer.skipped_steps == 1
    assert p.isfinite().all()
    assert all(m.isfinite().all() for m in optimizer.accumulators(p))


def test_dense_gradients_after_sparse_ones_know_what_went_before():
    p = torch.nn.Parameter(torch.zeros(4, 3))
    optimizer = SM3([p], 0.1, 0.0)
    gamma = torch.zeros(4, 3)
    for step in range(6):
        g = torch.randn(4, 3)
        if step % 3 < 2:
            g[1] = g[3] = 0
        gamma += g * g
        p.grad = g.to_sparse(1) if step % 3 < 2 else g
        optimizer.step()
        if step % 3 == 2:
            assert (optimizer.cover(p).bound(optimizer.accumulators(p), (4, 3)) >= gamma * (1 - 1e-6)).all()

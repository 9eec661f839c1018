import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sm3 import SM3, WarmupCooldown


def sgd(lr=1.0):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def run(optimizer, schedule, steps):
    rates = []
    for _ in range(steps):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        schedule.step()
    return rates


def test_it_rises_by_the_power_then_stays():
    optimizer = sgd(lr=2.0)
    schedule = WarmupCooldown(optimizer, total_steps=100, warmup=0.05, power=2)
    rates = run(optimizer, schedule, 100)
    assert rates[:6] == pytest.approx([2 * (t / 5) ** 2 for t in range(1, 6)] + [2.0])
    assert set(rates[5:]) == {2.0}


def test_cooldown_falls_linearly_to_zero_at_the_last_step():
    optimizer = sgd()
    rates = run(optimizer, WarmupCooldown(optimizer, total_steps=100, warmup=0, cooldown=0.1), 100)
    assert rates[89] == 1.0
    assert rates[90:] == pytest.approx([0.9 - k / 10 for k in range(10)])
    assert rates[-1] == 0.0


@given(
    total=st.integers(1, 500),
    warmup=st.floats(0, 1),
    share=st.floats(0, 1),
    power=st.floats(0.25, 4),
)
def test_it_is_within_bounds_rises_then_falls(total, warmup, share, power):
    schedule = WarmupCooldown(sgd(), total, warmup=warmup, power=power, cooldown=share * (1 - warmup))
    factors = [schedule.factor(t) for t in range(1, total + 2)]
    assert all(0 <= f <= 1 for f in factors)
    top = factors.index(max(factors))
    assert factors[:top] == sorted(factors[:top])
    assert factors[top:] == sorted(factors[top:], reverse=True)


def test_a_resumed_schedule_goes_on_as_if_it_had_never_stopped():
    straight = sgd()
    expected = run(straight, WarmupCooldown(straight, 40, warmup=0.5, cooldown=0.25), 40)
    first = sgd()
    schedule = WarmupCooldown(first, 40, warmup=0.5, cooldown=0.25)
    begun = run(first, schedule, 13)
    second = sgd()
    resumed = WarmupCooldown(second, 40, warmup=0.5, cooldown=0.25)
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(schedule.state_dict())
    assert begun + run(second, resumed, 27) == expected


def test_it_drives_sm3_with_a_tensor_learning_rate():
    param = torch.nn.Parameter(torch.zeros(2))
    optimizer = SM3([param], lr=torch.tensor(0.5))
    schedule = WarmupCooldown(optimizer, 10, warmup=1.0, power=1)
    param.grad = torch.ones(2)
    assert run(optimizer, schedule, 10) == pytest.approx([0.05 * t for t in range(1, 11)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"total_steps": 0}, "total_steps=0; allowed: ≥ 1"),
        ({"total_steps": 9, "warmup": 1.5}, "warmup=1.5; allowed"),
        ({"total_steps": 9, "power": 0}, "power=0; allowed"),
        ({"total_steps": 9, "cooldown": -0.1}, "cooldown=-0.1; allowed"),
        ({"total_steps": 9, "warmup": 0.6, "cooldown": 0.6}, "overlap"),
        ({"total_steps": 9, "warmup": float("nan")}, "warmup=nan"),
    ],
)
def test_bad_arguments_are_named_with_what_is_allowed(arguments, message):
    optimizer = sgd()
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        WarmupCooldown(optimizer, **arguments)
    assert optimizer.param_groups[0]["lr"] == 1.0

"""Advantages against closed forms and against the definition written as a sum."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from esper_core.learning.gae import discounted_returns, gae


def row(*values):
    return torch.tensor([values], dtype=torch.float64)


def flags(*values):
    return torch.tensor([values], dtype=torch.bool)


def test_one_constant_reward_has_its_closed_form():
    """With V = 0 and reward 1, A_t = (1 − (γλ)^(T−t)) / (1 − γλ)."""
    steps, gamma, lam = 8, 0.9, 0.8
    end = flags(*[False] * 7, True)
    no = torch.zeros_like(end)
    advantages, _ = gae(row(*[1.0] * steps), row(*[0.0] * 9), end, no, ~no, gamma, lam)
    expected = [(1 - (gamma * lam) ** (steps - t)) / (1 - gamma * lam) for t in range(steps)]
    assert advantages[0].tolist() == pytest.approx(expected)


def test_truncation_bootstraps_and_termination_does_not():
    """A reward of 1 for ever is worth 1/(1−γ); the value of the state a truncated step ended in says so."""
    gamma, worth = 0.9, 10.0
    rewards, values = row(1, 1, 1), row(*[worth] * 4)
    no, end, valid = flags(0, 0, 0), flags(0, 0, 1), flags(1, 1, 1)
    truncated, returns = gae(rewards, values, no, end, valid, gamma, 1.0)
    assert truncated[0].tolist() == pytest.approx([0, 0, 0]) and returns[0].tolist() == pytest.approx([worth] * 3)
    _, returns = gae(rewards, values, end, no, valid, gamma, 1.0)
    assert returns[0].tolist() == pytest.approx([1 + gamma + gamma**2, 1 + gamma, 1.0])


def test_lambda_zero_is_one_step_and_lambda_one_is_the_whole_return():
    torch.manual_seed(0)
    rewards, values = torch.randn(3, 6, dtype=torch.float64), torch.randn(3, 7, dtype=torch.float64)
    no = torch.zeros(3, 6, dtype=torch.bool)
    end = no.clone()
    end[:, -1] = True
    one_step, _ = gae(rewards, values, end, no, ~no, 0.9, 0.0)
    following = values[:, 1:].clone()
    following[:, -1] = 0
    torch.testing.assert_close(one_step, rewards + 0.9 * following - values[:, :-1])
    _, returns = gae(rewards, values, end, no, ~no, 0.9, 1.0)
    torch.testing.assert_close(returns, discounted_returns(rewards, end, ~no, 0.9))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31 - 1), st.floats(0, 1), st.floats(0, 1))
def test_against_the_sum_of_deltas(seed, gamma, lam):
    generator = torch.Generator().manual_seed(seed)
    steps, envs = 7, 4
    lengths = torch.randint(1, steps + 1, (envs,), generator=generator)
    rewards = torch.randn(envs, steps, generator=generator, dtype=torch.float64)
    values = torch.randn(envs, steps + 1, generator=generator, dtype=torch.float64)
    time, ends = torch.arange(steps), lengths[:, None]
    valid, last = time < ends, time == ends - 1
    kind = torch.rand(envs, 1, generator=generator) < 0.5
    advantages, returns = gae(rewards, values, last & kind, last & ~kind, valid, gamma, lam)
    for env in range(envs):
        length = int(lengths[env])
        deltas = []
        for t in range(length):
            after = 0.0 if (t == length - 1 and kind[env]) else float(values[env, t + 1])
            deltas.append(float(rewards[env, t]) + gamma * after - float(values[env, t]))
        for t in range(steps):
            expected = sum((gamma * lam) ** (k - t) * deltas[k] for k in range(t, length)) if t < length else 0.0
            assert float(advantages[env, t]) == pytest.approx(expected, abs=1e-9)
            assert float(returns[env, t]) == pytest.approx(expected + float(values[env, t]) if t < length else 0.0)


def test_padding_cannot_be_seen():
    torch.manual_seed(0)
    valid, end, no = flags(1, 1, 0, 0), flags(0, 1, 0, 0), flags(0, 0, 0, 0)
    rewards, values = torch.randn(1, 4), torch.randn(1, 5)
    clean = gae(rewards, values, end, no, valid, 0.9, 0.95)
    rewards[:, 2:], values[:, 2:] = 1e30, -1e30
    dirty = gae(rewards, values, end, no, valid, 0.9, 0.95)
    assert all(torch.equal(a, b) for a, b in zip(clean, dirty, strict=True))


def test_results_are_written_in_place():
    out = (torch.full((1, 2), 9.0), torch.full((1, 2), 9.0))
    no = flags(0, 0)
    result = gae(torch.ones(1, 2), torch.zeros(1, 3), no, no, ~no, 0.5, 1.0, out=out)
    assert result[0] is out[0] and result[1] is out[1] and out[0][0].tolist() == [1.5, 1.0]


@pytest.mark.parametrize("kind", ["terminated", "truncated"])
def test_nothing_leaks_back_over_the_end_of_an_episode(kind):
    end, no = flags(0, 1, 0, 0), flags(0, 0, 0, 0)
    ends = (end, no) if kind == "terminated" else (no, end)
    values, rewards = row(1, 2, 3, 4, 5), row(1, 1, 1, 1)
    before = gae(rewards, values, *ends, ~no, 0.9, 0.95)
    later = rewards.clone()
    later[:, 2:] = 100
    after = gae(later, values, *ends, ~no, 0.9, 0.95)
    for first, second in zip(before, after, strict=True):
        assert torch.equal(first[:, :2], second[:, :2]) and not torch.equal(first[:, 2:], second[:, 2:])
    returns = discounted_returns(later, end, ~no, 0.9)
    assert returns[0, :2].tolist() == pytest.approx([1.9, 1.0])


def test_two_episodes_in_one_row_are_two_rows():
    torch.manual_seed(0)
    rewards, values = torch.randn(1, 7, dtype=torch.float64), torch.randn(1, 8, dtype=torch.float64)
    end, no = flags(0, 0, 1, 0, 0, 0, 1), flags(*[0] * 7)
    whole = gae(rewards, values, end, no, ~no, 0.9, 0.95)
    first = gae(rewards[:, :3], values[:, :4], end[:, :3], no[:, :3], ~no[:, :3], 0.9, 0.95)
    second = gae(rewards[:, 3:], values[:, 3:], end[:, 3:], no[:, 3:], ~no[:, 3:], 0.9, 0.95)
    for joined, *parts in zip(whole, first, second, strict=True):
        assert torch.equal(joined, torch.cat(parts, 1))


def test_an_infinite_chain_cut_short_is_worth_what_it_would_have_been():
    """A reward of 1 for ever is worth 1/(1−γ); with the true value after the cut every λ says so at every step."""
    gamma, worth = 0.98, 50.0
    no, cut = flags(*[0] * 8), flags(0, 0, 0, 1, 0, 0, 0, 1)
    for lam in (0.0, 0.5, 1.0):
        _, returns = gae(row(*[1.0] * 8), row(*[worth] * 9), no, cut, ~no, gamma, lam)
        assert returns[0].tolist() == pytest.approx([worth] * 8)

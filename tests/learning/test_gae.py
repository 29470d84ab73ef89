"""Advantages against closed forms and against the definition written as a sum."""

import pytest
import torch

from esper_core.learning.gae import gae


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

"""Advantages and returns against torchrl's, which were written by other people."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchrl.objectives.value.functional import generalized_advantage_estimate

from esper_core.learning.gae import discounted_returns, gae
from esper_core.learning.rollout import Rollout
from tests.learning.conftest import SCHEMA, SPEC

T, E = 9, 5
ENDS = st.lists(st.sampled_from(["goes on", "terminated", "truncated", "both"]), min_size=E * T, max_size=E * T)
SHARES = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1))


def torchrls(
    rewards: Tensor, values: Tensor, terminated: Tensor, truncated: Tensor, gamma: float, lam: float
) -> tuple[Tensor, Tensor]:
    """Return torchrl's advantages and value targets for `[E, T]` (it wants `[..., T, 1]`)."""
    columns = [x.unsqueeze(-1) for x in (values[:, :-1], values[:, 1:], rewards, terminated | truncated, terminated)]
    # As plain floats torchrl would round them to float32.
    shares = torch.tensor([gamma, lam], dtype=torch.float64).unbind()
    advantages, returns = generalized_advantage_estimate(*shares, *columns)
    return advantages[..., 0], returns[..., 0]


def numbers(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(E, steps, generator=generator, dtype=torch.float64) for steps in (T, T + 1))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**31 - 1), ENDS, SHARES, SHARES)
def test_episodes_may_end_anywhere_in_either_way(seed: int, ends: list[str], gamma: float, lam: float) -> None:
    """Termination cuts value and advantage, truncation only the advantage (Pardo et al. 2018, arXiv:1712.00378)."""
    rewards, values = numbers(seed)
    terminated, truncated = (
        torch.tensor([end in (kind, "both") for end in ends]).view(E, T) for kind in ("terminated", "truncated")
    )
    ours = gae(
        rewards, values[:, :-1], values[:, 1:], terminated, truncated, torch.ones(E, T, dtype=torch.bool), gamma, lam
    )
    theirs = torchrls(rewards, values, terminated, truncated, gamma, lam)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-9)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31 - 1), SHARES, st.sampled_from([1e6, torch.inf, torch.nan]))
def test_padding_after_the_end_is_seen_by_nobody(seed: int, gamma: float, garbage: float) -> None:
    rewards, values = numbers(seed)
    lengths = torch.tensor([1, 3, 5, 8, 9])[:, None]
    time = torch.arange(T)
    valid, last = time < lengths, time == lengths - 1
    terminated, truncated = last.clone(), last.clone()
    terminated[::2] = False
    truncated[1::2] = False
    theirs = torchrls(rewards, values, terminated, truncated, gamma, 0.9)
    dirty = rewards.masked_fill(~valid, garbage)
    # After a terminated step nothing is needed.
    now, following = (
        values[:, :-1].masked_fill(~valid, garbage),
        values[:, 1:].masked_fill(~valid | terminated, garbage),
    )
    ours = gae(dirty, now, following, terminated, truncated, valid, gamma, 0.9)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine[valid], other[valid], rtol=1e-9, atol=1e-9)
        assert bool((mine[~valid] == 0).all())


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31 - 1), ENDS, SHARES)
def test_returns_without_a_critic_are_advantages_over_nothing(seed: int, ends: list[str], gamma: float) -> None:
    rewards, values = numbers(seed)
    ended = torch.tensor([end != "goes on" for end in ends]).view(E, T)
    ours = discounted_returns(rewards, ended, torch.ones(E, T, dtype=torch.bool), gamma)
    theirs, _ = torchrls(rewards, torch.zeros_like(values), ended, torch.zeros_like(ended), gamma, 1.0)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("end", ["terminated", "truncated"])
def test_a_rollout_bootstraps_in_units_of_reward(end: str) -> None:
    """A critic that says 0 after the end means nothing there: V' = 0 is said after de-normalising, not before."""
    mean, std = 3.0, 2.0
    rewards, values = numbers(0)
    rollout = Rollout(T, E, SPEC, SCHEMA, torch.device("cpu"), torch.float64)
    rollout.rewards.copy_(rewards)
    rollout.value.copy_((values[:, :-1] - mean) / std)
    rollout.bootstrap.copy_((values[:, 1:] - mean) / std)
    rollout.valid.fill_(True)
    getattr(rollout, end)[:, -1] = True
    rollout.compute_advantages(0.99, 0.95, mean, std)
    advantages, returns = torchrls(rewards, values, rollout.terminated, rollout.truncated, 0.99, 0.95)
    torch.testing.assert_close(rollout.advantages, advantages)
    torch.testing.assert_close(rollout.returns, returns)

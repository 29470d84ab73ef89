"""Generalised advantage estimation (Schulman et al., 2016, arXiv:1506.02438)."""

from __future__ import annotations

import torch
from torch import Tensor


def gae(
    rewards: Tensor,
    values: Tensor,
    next_values: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    valid: Tensor,
    gamma: float,
    gae_lambda: float,
) -> tuple[Tensor, Tensor]:
    """Return advantages and returns, both `[E, T]`.

    Flags of step t belong to executing its action:

        V'_t = 0 if terminated, else the value of the state that the step led to
        δ_t  = r_t + γ·V'_t − V(s_t)
        A_t  = δ_t + γλ·A_{t+1}, cut after a step that terminated or truncated
        R_t  = A_t + V(s_t)

    `values` are V(s_t) and `next_values` those of the states that steps led to, both `[E, T]` and in units of reward
    like `rewards [E, T]`. The two are apart, because the step after a truncated one begins another episode.
    `terminated` is true where a step ended the episode for good, `truncated` where it was the last one recorded, and
    `valid` where it happened, all bool `[E, T]`; the rest is padding and gets 0.
    """
    advantages, zero = torch.empty_like(rewards), torch.zeros_like(rewards)
    error = rewards + gamma * torch.where(terminated, zero, next_values) - values
    delta = torch.where(valid, error, zero).unbind(1)
    decay = torch.where(valid & ~(terminated | truncated), gamma * gae_lambda, zero).unbind(1)
    # The only part that has to go step by step; every operation here is paid for T times.
    following = zero[:, 0]
    for t in reversed(range(len(delta))):
        following = torch.add(delta[t], decay[t] * following, out=advantages[:, t])
    return advantages, torch.where(valid, advantages + values, zero)


def discounted_returns(rewards: Tensor, ended: Tensor, valid: Tensor, gamma: float) -> Tensor:
    """Return Σ_k γ^k·r_{t+k} up to the step that `ended` the episode, `[E, T]`; 0 in padding. No bootstrap."""
    nothing, never = torch.zeros_like(rewards), torch.zeros_like(valid)
    return gae(rewards, nothing, nothing, ended, never, valid, gamma, 1.0)[1]


def returns_of_rewards(rewards: Tensor, terminated: Tensor, truncated: Tensor, valid: Tensor, gamma: float) -> Tensor:
    """Return what rewards alone say of the returns, `[E, T]`, before a critic has learned anything; 0 in padding.

    That is `discounted_returns`. Where these are all equal, as where a rollout is one step and each is paid alike, an
    end is all that tells steps apart: what goes on is then worth one more reward like its last.
    """
    ended = terminated | truncated
    returns = discounted_returns(rewards, ended, valid, gamma)
    known = returns[valid]
    if known.numel() == 0 or bool(known.min() < known.max()):
        return returns
    cut = truncated.clone()
    cut[:, -1] |= ~terminated[:, -1]
    onward = torch.where(cut & valid, gamma * rewards, torch.zeros_like(rewards))
    return discounted_returns(rewards + onward, ended, valid, gamma)

"""The loss `my-loss`: clipped policy gradient, squared error of the critic, entropy bonus."""

from __future__ import annotations

import torch
from torch import Tensor

from esper_core.contracts.protocols import BuildContext, LossResult
from esper_core.learning.rollout import Sequences
from esper_core.policy.distribution import FactoredDistribution
from esper_core.policy.policy import Evaluation
from my_loss.config import MyLossConfig


class MyLoss:
    """Kind `loss`: PPO (Schulman et al. 2017, arXiv:1707.06347) on the joint probability of all heads."""

    def __init__(self, config: MyLossConfig, context: BuildContext) -> None:
        self.config, self.actions = config, context.actions
        # The trainer ends its epochs over a rollout when `LossResult.kl` exceeds 1.5 times this.
        self.target_kl: float | None = config.target_kl or None

    def __call__(self, batch: Sequences, evaluation: Evaluation) -> LossResult:
        """Compare stored `[E, T]` sequences with the policy's fresh evaluation of them."""
        valid, steps = batch.valid, batch.valid.sum().clamp_min(1)

        def mean(values: Tensor) -> Tensor:
            # Chosen, never multiplied by 0: what lies behind the end of an episode may hold anything, NaN included.
            return torch.where(valid, values, 0.0).sum() / steps

        # Heads that do not matter to the operation taken have log-probability 0 then and now, and so ratio 1.
        log_ratio = _total(evaluation.log_prob) - _total(batch.old_log_prob)
        ratio = torch.where(valid, log_ratio, 0.0).exp()
        low, high = 1 - self.config.clip, 1 + self.config.clip
        gain = torch.minimum(ratio * batch.advantages, ratio.clamp(low, high) * batch.advantages)
        error = torch.where(valid, evaluation.values.q_taken - batch.returns, 0.0)

        policy_loss, value_loss = -mean(gain), 0.5 * mean(error.square())
        entropy = mean(_total(evaluation.entropy))
        loss = policy_loss + self.config.value_coefficient * value_loss - self.config.entropy * entropy
        with torch.no_grad():
            old = FactoredDistribution(self.actions, batch.old_logits, batch.masks)
            kl = mean(evaluation.distribution.kl(old))
            clipped = mean(((ratio < low) | (ratio > high)).to(ratio.dtype))
        return LossResult(
            loss=loss,
            kl=kl,
            metrics={
                "policy_loss": policy_loss.detach(),
                "value_loss": value_loss.detach(),
                "entropy": entropy.detach(),
                "clip_fraction": clipped,
            },
        )


def _total(by_head: dict[str, Tensor]) -> Tensor:
    """Return the sum over heads, `[E, T]`."""
    return torch.stack(list(by_head.values())).sum(0)

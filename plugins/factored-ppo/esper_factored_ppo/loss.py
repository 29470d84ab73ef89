"""The loss `factored-ppo`.

Every sum runs over valid steps and is divided by their number, whatever a head's share of them, so a head that matters
rarely moves the shared trunk little. All ratios are relative to the policy at the start of the update.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from esper_core.contracts.protocols import BuildContext, LossResult
from esper_core.learning.fading import faded
from esper_core.learning.rollout import Sequences
from esper_core.policy.distribution import FactoredDistribution
from esper_core.policy.policy import Evaluation
from esper_factored_ppo.config import FactoredPpoConfig


class Surrogate(NamedTuple):
    """What clipped ratios contribute, one row per head, or a single row of the joint ratio; each `[rows, E, T]`.

    Attributes:
        gain: min(ρA, clip(ρ)A), 0 where it does not count.
        outside: The ratio is beyond the clip range.
        where: It counts: the step is valid, and there was a choice.
    """

    gain: Tensor
    outside: Tensor
    where: Tensor


class FactoredPpo:
    """Kind `loss` (Schulman et al. 2017, arXiv:1707.06347; per head as in Fan et al. 2019, arXiv:1903.01344).

    Heads of categories and of numbers alike: a ratio is one of probabilities or of densities. The entropy bonus of
    categories is normalised to 0..1, that of numbers is in nats per number.
    """

    def __init__(self, config: FactoredPpoConfig, context: BuildContext) -> None:
        self.config, self.actions = config, context.actions
        self.target_kl: float | None = config.target_kl or None
        self._names = context.actions.names
        weights = [head.entropy_weight for head in context.actions.heads]
        self._weights = torch.tensor(weights, device=context.device, dtype=context.dtype)
        self.begin(1)

    def begin(self, update: int) -> None:
        """Set the weight of the entropy bonus for an update, counted from 1."""
        self._entropy_weight = faded(self.config.entropy, self.config.entropy_half_life, update)

    def __call__(self, batch: Sequences, evaluation: Evaluation) -> LossResult:
        """Compare stored `[E, T]` sequences with the policy's fresh evaluation of them."""
        valid, steps = batch.valid, batch.valid.sum().clamp_min(1)
        surrogate = self._surrogate(batch, evaluation)
        policy_loss = -(surrogate.gain.sum((1, 2)) / steps).sum()
        # Selected before it is squared: padding may hold NaN, and 0 · NaN is NaN.
        error = torch.where(valid, evaluation.values.q_taken - batch.returns, 0.0)
        value_loss = 0.5 * (error.square().sum() / steps)
        bonuses = torch.where(valid, torch.stack([evaluation.entropy[name] for name in self._names]), 0.0)
        entropy = (self._weights * (bonuses.sum((1, 2)) / steps)).sum()
        loss = policy_loss + self.config.value_coefficient * value_loss - self._entropy_weight * entropy
        with torch.no_grad():
            old = FactoredDistribution(self.actions, batch.old_logits, batch.masks)
            kl = torch.where(valid, evaluation.distribution.kl(old), 0.0).sum() / steps
            chosen, clipped = surrogate.where.sum((1, 2)), surrogate.outside.sum((1, 2))
            metrics = {
                "policy_loss": policy_loss.detach(),
                "value_loss": value_loss.detach(),
                "entropy": entropy.detach(),
                "clip_fraction": clipped.sum() / chosen.sum().clamp_min(1),
            }
            if self.config.ratio_mode == "per_head":
                # NaN (0/0) where a head never had a choice.
                shares = (clipped / chosen).unbind()
                metrics |= {f"clip_fraction/{name}": share for name, share in zip(self._names, shares, strict=True)}
        return LossResult(loss=loss, kl=kl, metrics=metrics)

    def _surrogate(self, batch: Sequences, evaluation: Evaluation) -> Surrogate:
        """Compare policies by their clipped ratios; a step without a choice has none."""
        where = torch.stack([evaluation.choice(name) for name in self._names]) & batch.valid
        new = torch.stack([evaluation.log_prob[name] for name in self._names])
        log_ratio = torch.where(where, new - torch.stack([batch.old_log_prob[name] for name in self._names]), 0.0)
        advantages = batch.advantages
        if self.config.ratio_mode == "joint":
            log_ratio, where = log_ratio.sum(0, keepdim=True), where.any(0, keepdim=True)
        elif self.config.child_baseline and self.actions.root is not None:
            # Q(s, op) − V(s) does not depend on the heads below the operation, so for them it may join the baseline.
            below = advantages - self.config.child_baseline * batch.op_advantage
            advantages = torch.stack([advantages if n == self.actions.root else below for n in self._names])
        ratio = log_ratio.exp()
        clipped = ratio.clamp(1 - self.config.clip, 1 + self.config.clip)
        gain = torch.where(where, torch.minimum(ratio * advantages, clipped * advantages), 0.0)
        return Surrogate(gain, clipped != ratio, where)

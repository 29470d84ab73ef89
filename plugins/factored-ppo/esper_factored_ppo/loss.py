"""The loss `factored-ppo`.

Every sum runs over valid steps and is divided by their number, whatever a head's share of them, so a head that matters
rarely moves the shared trunk little. All ratios are relative to the policy at the start of the update.
"""

from __future__ import annotations

from collections.abc import Iterator
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
    """What one clipped ratio contributes.

    Attributes:
        head: Name of the head; None for the joint ratio.
        gain: min(ρA, clip(ρ)A), `[E, T]`.
        outside: The ratio is beyond the clip range, bool `[E, T]`.
        where: Steps at which it counts, bool `[E, T]`.
    """

    head: str | None
    gain: Tensor
    outside: Tensor
    where: Tensor


class FactoredPpo:
    """Kind `loss` (Schulman et al. 2017, arXiv:1707.06347; per head as in Fan et al. 2019, arXiv:1903.01344)."""

    def __init__(self, config: FactoredPpoConfig, context: BuildContext) -> None:
        self.config, self.actions = config, context.actions
        self.target_kl: float | None = config.target_kl or None
        self.begin(1)

    def begin(self, update: int) -> None:
        """Set the weight of the entropy bonus for an update, counted from 1."""
        self._entropy_weight = faded(self.config.entropy, self.config.entropy_half_life, update)

    def __call__(self, batch: Sequences, evaluation: Evaluation) -> LossResult:
        """Compare stored `[E, T]` sequences with the policy's fresh evaluation of them."""
        valid, steps = batch.valid, batch.valid.sum().clamp_min(1)

        def mean(values: Tensor, where: Tensor = valid) -> Tensor:
            return torch.where(where, values, torch.zeros_like(values)).sum() / steps

        surrogates = list(self._surrogates(batch, evaluation))
        policy_loss = -torch.stack([mean(s.gain, s.where) for s in surrogates]).sum()
        # Selected before it is squared: padding may hold NaN, and 0 · NaN is NaN.
        error = torch.where(valid, evaluation.values.q_taken - batch.returns, 0.0)
        value_loss = 0.5 * mean(error.square())
        bonuses = [head.entropy_weight * mean(evaluation.entropy[head.name]) for head in self.actions.heads]
        entropy = torch.stack(bonuses).sum()
        loss = policy_loss + self.config.value_coefficient * value_loss - self._entropy_weight * entropy
        with torch.no_grad():
            old = FactoredDistribution(self.actions, batch.old_logits, batch.masks)
            kl = mean(evaluation.distribution.kl(old))
            chosen = torch.stack([s.where for s in surrogates]).sum((1, 2))
            clipped = torch.stack([s.outside for s in surrogates]).sum((1, 2))
            # NaN (0/0) where a head never had a choice.
            shares = zip(surrogates, (clipped / chosen).unbind(), strict=True)
        return LossResult(
            loss=loss,
            kl=kl,
            metrics={
                "policy_loss": policy_loss.detach(),
                "value_loss": value_loss.detach(),
                "entropy": entropy.detach(),
                "clip_fraction": clipped.sum() / chosen.sum().clamp_min(1),
                **{f"clip_fraction/{s.head}": share for s, share in shares if s.head is not None},
            },
        )

    def _surrogates(self, batch: Sequences, evaluation: Evaluation) -> Iterator[Surrogate]:
        """Yield one term per head, or a single one of the joint ratio; a step without a choice has none."""
        choice = {name: evaluation.choice(name) & batch.valid for name in self.actions.names}
        log_ratio = {
            name: torch.where(choice[name], evaluation.log_prob[name] - batch.old_log_prob[name], 0.0)
            for name in self.actions.names
        }
        if self.config.ratio_mode == "joint":
            joint = torch.stack(list(log_ratio.values())).sum(0)
            yield self._clipped(None, joint, batch.advantages, torch.stack(list(choice.values())).any(0))
            return
        # Q(s, op) − V(s) does not depend on the heads below the operation, so for them it may join the baseline.
        below = batch.advantages - self.config.child_baseline * batch.op_advantage
        for name in self.actions.names:
            is_child = self.actions.root is not None and name != self.actions.root
            yield self._clipped(name, log_ratio[name], below if is_child else batch.advantages, choice[name])

    def _clipped(self, head: str | None, log_ratio: Tensor, advantages: Tensor, where: Tensor) -> Surrogate:
        ratio = log_ratio.exp()
        low, high = 1 - self.config.clip, 1 + self.config.clip
        gain = torch.minimum(ratio * advantages, ratio.clamp(low, high) * advantages)
        return Surrogate(head, gain, (ratio < low) | (ratio > high), where)

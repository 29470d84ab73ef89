"""The loss `factored-ppo`.

Every sum runs over valid steps and is divided by their number, whatever a head's share of them, so a head that matters
rarely moves the shared trunk little. All ratios are relative to the policy at the start of the update.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from esper_core.contracts.protocols import BuildContext, LossResult
from esper_core.learning.fading import faded
from esper_core.learning.rollout import Sequences
from esper_core.policy.distribution import FactoredDistribution
from esper_core.policy.masking import constant
from esper_core.policy.policy import Evaluation
from esper_factored_ppo.config import FactoredPpoConfig


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
        weight, coefficient = self._entropy_weight, self.config.value_coefficient
        steps = max(1, int(batch.valid.sum())) if batch.padded else batch.valid.numel()
        log_probs, predicted = [evaluation.log_prob[name] for name in self._names], evaluation.values.q_taken
        with torch.no_grad():
            gain, slopes, outside, choice = self._surrogate(batch, _rows(log_probs))
            # Selected before it is squared: padding may hold NaN, and 0 · NaN is NaN.
            error = _kept(batch, predicted - batch.returns)
            old = FactoredDistribution(self.actions, batch.old_logits, batch.masks)
            kl = _kept(batch, evaluation.distribution.kl(old))
            # Derivatives that are known save a graph of many small operations.
            known_slopes = (
                *(slopes * constant(-1 / steps, gain.dtype)).unbind(),
                error * constant(coefficient / steps, error.dtype),
            )
        with torch.set_grad_enabled(bool(weight) and torch.is_grad_enabled()):
            entropy = self._entropy(batch, evaluation.entropy if weight else evaluation.distribution.entropy())
        sums = torch.stack([gain.sum(), error.square().sum(), kl.sum(), entropy.detach()])
        gained, squares, divergence, bonus = (value / steps for value in sums.tolist())
        loss: Tensor = _Sloped.apply(coefficient * 0.5 * squares - gained, known_slopes, *log_probs, predicted)
        if weight:
            loss = loss - weight / steps * entropy
        clipped, chosen = torch.stack([outside, choice]).sum((2, 3)).tolist()
        metrics: dict[str, Tensor | float] = {
            "policy_loss": -gained,
            "value_loss": 0.5 * squares,
            "entropy": bonus,
            "clip_fraction": sum(clipped) / max(1, sum(chosen)),
        }
        if self.config.ratio_mode == "per_head":
            for name, beyond, count in zip(self._names, clipped, chosen, strict=True):
                metrics[f"clip_fraction/{name}"] = beyond / count if count else math.nan
        return LossResult(loss=loss, kl=predicted.new_tensor(divergence), metrics=metrics)

    def _surrogate(self, batch: Sequences, log_prob: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Compare policies by their clipped ratios, one row per head, or a single row of the joint ratio.

        Returns min(ρA, clip(ρ)A) `[rows, E, T]`; its derivative by the log-probability of each head, `[heads, E, T]`;
        where the ratio is beyond the clip range, and where it counts, since the step is valid and there was a choice,
        both `[rows, E, T]`. Where it does not count that is 0 and false.
        """
        own = _rows([batch.choice[name] for name in self._names])
        choice = own = own & batch.valid if batch.padded else own
        log_ratio = log_prob - _rows([batch.old_log_prob[name] for name in self._names])
        zero, advantages = constant(0.0, log_ratio.dtype), batch.advantages
        # Padding may hold anything; without it a head that had no choice has the same probability as ever.
        log_ratio = torch.where(choice, log_ratio, zero) if batch.padded else log_ratio
        if self.config.ratio_mode == "joint":
            log_ratio, choice = log_ratio.sum(0, keepdim=True), choice.any(0, keepdim=True)
        elif self.config.child_baseline and self.actions.root is not None:
            # Q(s, op) − V(s) does not depend on the heads below the operation, so for them it may join the baseline.
            below = advantages - self.config.child_baseline * batch.op_advantage
            advantages = torch.stack([advantages if n == self.actions.root else below for n in self._names])
        advantages = torch.where(choice, advantages, zero)
        ratio = log_ratio.exp()
        limit = ratio.clamp(1 - self.config.clip, 1 + self.config.clip)
        gain, outside, limit = ratio * advantages, limit != ratio, limit * advantages
        # The smaller of both; where that is the limit, nothing is to be gained by going farther.
        kept = gain <= limit
        slopes = torch.where(kept & own if self.config.ratio_mode == "joint" else kept, gain, zero)
        return torch.where(kept, gain, limit), slopes, outside, choice

    def _entropy(self, batch: Sequences, entropy: dict[str, Tensor]) -> Tensor:
        """Return the weighted sum of the entropies of all heads over the valid steps."""
        bonuses = _kept(batch, _rows([entropy[name] for name in self._names]))
        return (self._weights * bonuses.sum((1, 2))).sum()


class _Sloped(torch.autograd.Function):
    """A number whose derivatives by some tensors, its slopes, are known."""

    @staticmethod
    def forward(ctx: Any, value: float, slopes: tuple[Tensor, ...], *by: Tensor) -> Tensor:
        ctx.save_for_backward(*slopes)
        return by[0].new_tensor(value)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *(slope * own for own in ctx.saved_tensors)


def _rows(values: list[Tensor]) -> Tensor:
    """Return tensors `[E, T]` as rows `[rows, E, T]`."""
    return torch.stack(values) if len(values) > 1 else values[0].unsqueeze(0)


def _kept(batch: Sequences, values: Tensor) -> Tensor:
    """Return `values [..., E, T]` with 0 in padding."""
    return torch.where(batch.valid, values, 0.0) if batch.padded else values

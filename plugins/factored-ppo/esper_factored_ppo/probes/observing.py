"""Probabilities and values of a trained policy along its last rollout."""

from __future__ import annotations

import torch
from torch import Tensor

from esper_core.learning.trainer import Trainer
from esper_core.policy.policy import Evaluation


@torch.no_grad()
def evaluate(trainer: Trainer) -> Evaluation:
    """Return the policy's evaluation `[E, T]` of the last rollout."""
    steps = trainer.rollout.steps()
    return trainer.policy.evaluate_actions(steps.features, steps.masks, steps.state, steps.actions, steps.episode_start)


def values(trainer: Trainer) -> Tensor:
    """Return V(s) along the last rollout in units of reward, `[E, T]`."""
    return trainer.normaliser.denormalise(evaluate(trainer).values.value)


def op_probs(trainer: Trainer) -> Tensor:
    """Return the probabilities of the operations along the last rollout, `[E, T, O]`."""
    probs = evaluate(trainer).distribution.op_probs()
    assert probs is not None, "every probe has an operation head"
    return probs


def prob_of(trainer: Trainer, op: Tensor) -> float:
    """Return the mean probability of operations `[E, T]` along the last rollout."""
    return float(op_probs(trainer).gather(-1, op.unsqueeze(-1)).mean())


def deviation(found: Tensor, exact: Tensor) -> float:
    """Return the largest distance between two tensors that broadcast."""
    return float((found - exact).abs().max())

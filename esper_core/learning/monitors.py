"""What a rollout and an evaluation say about learning, as plain numbers. Undefined is None, never NaN."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from esper_core.learning.rollout import Rollout, Steps
from esper_core.policy.policy import Evaluation

VARIANCE_FLOOR = 0.01
"""Smallest variance of returns, in normalised units, by which explained variance divides."""


def number(value: Tensor | float | None) -> float | None:
    """Return a float, or None for what is missing or not finite."""
    if value is None:
        return None
    result = float(value)
    return result if math.isfinite(result) else None


def mean_of(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are defined, or None."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return sum(known) / len(known) if known else None


def masked_mean(values: Tensor, where: Tensor) -> float | None:
    """Return the mean of `values` where `where` is true, or None when it never is."""
    return number(values[where].double().mean()) if bool(where.any()) else None


def episode_metrics(events: Iterable[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return the mean of every float (and `length`) that the events of type 'episode' report."""
    columns: dict[str, list[float | None]] = {}
    for event in events:
        if event.get("type") != "episode":
            continue
        for key, value in event.items():
            if isinstance(value, float) or key == "length":
                columns.setdefault(key, []).append(number(value))
    return {key: mean_of(values) for key, values in columns.items()}


def action_metrics(rollout: Rollout) -> dict[str, float | None]:
    """Return how often each operation was taken, `op/<label>` when the root head is called `op`."""
    spec = rollout.actions_spec
    if spec.root is None:
        return {}
    taken = rollout.actions[spec.root]
    return {
        f"{spec.root}/{label}": masked_mean((taken == index).double(), rollout.valid)
        for index, label in enumerate(spec.ops)
    }


def policy_metrics(steps: Steps, old: Evaluation) -> dict[str, float | None]:
    """Return entropies, forced steps and how far acting and evaluating are apart.

    `entropy/<head>` is the normalised entropy given that the head matters and has a choice.
    """
    metrics: dict[str, float | None] = {}
    valid = steps.valid
    choice = old.distribution.choice_probability()
    for name, entropy in old.entropy.items():
        weight = float(choice[name][valid].double().sum())
        metrics[f"entropy/{name}"] = number(entropy[valid].double().sum() / weight) if weight else None
    metrics["forced_fraction"] = masked_mean(old.forced.double(), valid)
    gaps = [(old.log_prob[name] - steps.log_prob[name])[valid].abs().max() for name in steps.actions]
    metrics["behaviour_log_prob_gap"] = number(torch.stack(gaps).max())
    return metrics


def critic_metrics(rollout: Rollout, steps: Steps, old: Evaluation, std: float) -> dict[str, float | None]:
    """Return how well the critic predicted, before the update.

    Explained variance is 1 − Var(R − Q)/Var(R), with a floor under the variance so that a batch of nearly equal
    returns cannot blow it up; `value_rmse` is in units of reward. `q_spread` is the difference between the most and
    least valuable legal operation, and `advantage/<op>` the mean advantage by operation, both in units of reward:
    when the latter vanish for every operation, the operation head learns nothing.

    Args:
        rollout: With advantages computed.
        steps: The same data as sequences.
        old: The policy before the update.
        std: Standard deviation under which the values were predicted.
    """
    valid = rollout.valid
    returns = rollout.returns[valid].double()
    if returns.numel() == 0:
        return {}
    # Returns are advantage + baseline, so the error of `taken` needs no denormalised prediction.
    error = (rollout.advantages - (rollout.taken - rollout.baseline[:-1]) * std)[valid].double()
    variance = float(returns.var(correction=0))
    floor = VARIANCE_FLOOR * std * std
    metrics: dict[str, float | None] = {
        "value_rmse": number(error.square().mean().sqrt()),
        "explained_variance": number(1 - error.var(correction=0) / max(variance, floor)) if variance > 0 else None,
    }
    spec = rollout.actions_spec
    if spec.root is None:
        return metrics
    if old.values.by_op is not None:
        legal = steps.masks.heads[spec.root]
        highest = old.values.by_op.masked_fill(~legal, -torch.inf).amax(-1)
        lowest = old.values.by_op.masked_fill(~legal, torch.inf).amin(-1)
        metrics["q_spread"] = masked_mean((highest - lowest) * std, steps.valid & (legal.sum(-1) > 1))
    taken = rollout.actions[spec.root]
    for index, label in enumerate(spec.ops):
        metrics[f"advantage/{label}"] = masked_mean(rollout.advantages, valid & (taken == index))
    return metrics


def ratio_at_start(evaluation: Evaluation, old_log_prob: dict[str, Tensor], valid: Tensor) -> float:
    """Return the joint probability ratio that is farthest from 1 over the valid steps; 1 when there are none.

    Before the first gradient step it must be 1: the same policy evaluates the same data twice.
    """
    logs = [evaluation.log_prob[name] - old_log_prob[name] for name in old_log_prob]
    ratio = torch.stack(logs).sum(0)[valid].detach().double().exp()
    return float(ratio[(ratio - 1).abs().argmax()]) if ratio.numel() else 1.0

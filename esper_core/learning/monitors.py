"""What a rollout and an evaluation say about learning, as plain numbers. Undefined is None, never NaN."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from esper_core.contracts.events import EPISODE, episode_numbers, episode_pools
from esper_core.learning.rollout import Rollout, Sequences, Steps, in_order
from esper_core.learning.thresholds import Threshold, Watch
from esper_core.policy.distribution import FactoredDistribution
from esper_core.policy.policy import Evaluation

VARIANCE_FLOOR = 0.01
"""Smallest variance of returns, as a share of that of all returns so far, of which a share is worth telling."""

SATURATED = math.atanh(0.99)
"""Size from which a number that is squashed lies at a bound, where tanh is flat."""


def number(value: Tensor | float) -> float | None:
    """Return a float, or None for what is not finite."""
    return float(value) if math.isfinite(value) else None


def mean_of(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are defined, or None."""
    known = [value for value in values if value is not None and math.isfinite(value)]
    return sum(known) / len(known) if known else None


def masked_mean(values: Tensor, where: Tensor) -> float | None:
    """Return the mean of `values` where `where` is true, or None when it never is."""
    return number(values[where].double().mean()) if bool(where.any()) else None


def episode_metrics(events: Iterable[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return means of what events of type 'episode' report; lists are pooled: `<name>_mean` and `<name>_max`."""
    columns: defaultdict[str, list[float]] = defaultdict(list)
    pools: defaultdict[str, list[float]] = defaultdict(list)
    for event in (event for event in events if event.get("type") == EPISODE):
        for key, value in episode_numbers(event).items():
            columns[key].append(value)
        for key, values in episode_pools(event).items():
            pools[key].extend(value for value in values if math.isfinite(value))
    metrics = {key: mean_of(column) for key, column in columns.items()}
    for key, pool in pools.items():
        metrics |= {f"{key}_mean": mean_of(pool), f"{key}_max": max(pool, default=None)}
    return metrics


def action_metrics(rollout: Rollout) -> dict[str, float | None]:
    """Return how often each operation was taken, `op/<label>` when the root head is called `op`."""
    spec = rollout.actions_spec
    taken = rollout.actions[spec.root] if spec.root is not None else rollout.valid
    shares = (masked_mean((taken == index).double(), rollout.valid) for index in range(len(spec.ops)))
    return {f"{spec.root}/{label}": share for label, share in zip(spec.ops, shares, strict=True)}


def rollout_metrics(
    rollout: Rollout, events: Iterable[Mapping[str, Any]], returns: Sequence[float] | None = None
) -> dict[str, float | None]:
    """Return what the episodes of a rollout were like.

    Where it holds parts of episodes, `returns` are those of the episodes that ended in it, possibly none.
    """
    reward_sum = number(rollout.rewards.double().sum(1)[rollout.valid.any(1)].mean())
    score = reward_sum if returns is None else mean_of(returns)
    return {"return": score} | episode_metrics(events) | {"reward_sum": reward_sum} | action_metrics(rollout)


def policy_metrics(rollout: Rollout, steps: Steps, old: Evaluation) -> dict[str, float | None]:
    """Return entropies, forced steps and how far acting and evaluating are apart.

    `entropy/<head>` and `legal/<head>` are means weighted by how probable it is that the head has a choice. Heads of
    numbers have no `legal/<head>`, and their entropy is in nats per number.
    """
    metrics: dict[str, float | None] = {}
    valid = steps.valid
    choice, choices = old.distribution.choice_probability(), old.distribution.expected_choices()
    for name, entropy in old.entropy.items():
        weight = float(choice[name][valid].double().sum())
        said = {"entropy": entropy} | ({"legal": choices[name]} if name in choices else {})
        for metric, value in said.items():
            metrics[f"{metric}/{name}"] = number(value[valid].double().sum() / weight) if weight else None
    metrics["forced_fraction"] = masked_mean(old.forced.double(), valid)
    gaps = [(old.log_prob[name] - value)[valid].abs().max() for name, value in rollout.cut(rollout.log_prob).items()]
    return metrics | {"behaviour_log_prob_gap": number(torch.stack(gaps).max())}


def number_metrics(steps: Steps, old: Evaluation) -> dict[str, float | None]:
    """Return `std|std_min|saturated/<head>` of heads of numbers, over the valid steps at which they mattered.

    Standard deviations are those of the numbers drawn. Saturated is what tanh takes within 1 % of a bound; of a head
    that is not squashed, what is cut off.
    """
    metrics: dict[str, float | None] = {}
    for head in old.distribution.actions.continuous:
        where = steps.valid & old.relevance[head.name]
        drawn, deviation = steps.actions[head.name][where], old.distribution.gaussian(head.name).log_std[where].exp()
        low, high = ((-SATURATED,), (SATURATED,)) if head.squash else (head.low, head.high)
        beyond = (drawn < drawn.new_tensor(low)) | (drawn > drawn.new_tensor(high))
        found = (deviation.mean(), deviation.min(), beyond.double().mean()) if drawn.numel() else ()
        values = [number(value) for value in found] or [None] * 3
        metrics |= dict(zip((f"{name}/{head.name}" for name in ("std", "std_min", "saturated")), values, strict=True))
    return metrics


def state_metrics(state: Sequence[Tensor] | None, valid: Tensor, rows: int) -> dict[str, float | None]:
    """Return `state_rms/<part>` and `state_max/<part>` of a recurrent state: root of the mean square, largest size.

    The state, `[·, B, …]`, is that after sequences, of which each of `rows` has as many in their order; `valid`, bool
    `[B, T]`, is where they are no padding. Of each row its last state counts, where what builds up is largest. After
    padding the state is not known, so there it is that of the sequence before; a row without any known one is left out.
    """
    known = valid[:, -1].view(rows, -1)
    last = (known & (known.flip(1).cumsum(1).flip(1) == 1)).flatten()
    metrics: dict[str, float | None] = {}
    values = state or ()
    for part, value in zip(getattr(values, "_fields", range(len(values))), values, strict=True):
        if value.numel():
            size = value.detach()[:, last].double().abs()
            metrics[f"state_rms/{part}"] = number(size.square().mean().sqrt())
            metrics[f"state_max/{part}"] = number(size.max()) if size.numel() else None
    return metrics


def critic_metrics(
    rollout: Rollout, steps: Steps, old: Evaluation, unit: float, spread: float
) -> dict[str, float | None]:
    """Return how well the critic predicted before the update, in units of reward.

    Explained variance, 1 − Var(R − Q)/Var(R), is None where returns are nearly equal: there is nothing to explain.
    When `advantage/<op>` vanishes for every operation, the operation head learns nothing.

    `old` is the policy before the update, `unit` the `ReturnNormaliser`'s under which the values were predicted, and
    `spread` the standard deviation of the returns so far, in units of reward.
    """
    valid = rollout.valid
    returns = in_order(rollout.returns, valid).double()
    if returns.numel() == 0:
        return {}
    # Returns are surprise + value, so the error of `q_taken` needs no denormalised prediction.
    error = in_order(rollout.surprise - (rollout.q_taken - rollout.value) * unit, valid).double()
    variance = float(returns.var(correction=0))
    explainable = variance > VARIANCE_FLOOR * spread * spread > 0.0
    metrics: dict[str, float | None] = {
        "value_rmse": number(error.square().mean().sqrt()),
        "return_std": spread or None,
        "explained_variance": number(1 - error.var(correction=0) / variance) if explainable else None,
    }
    spec = rollout.actions_spec
    if spec.root is None:
        return metrics
    if old.values.by_op is not None:
        legal = steps.masks.heads[spec.root]
        highest = old.values.by_op.masked_fill(~legal, -torch.inf).amax(-1)
        lowest = old.values.by_op.masked_fill(~legal, torch.inf).amin(-1)
        metrics["q_spread"] = masked_mean((highest - lowest) * unit, steps.valid & (legal.sum(-1) > 1))
    advantages, taken = (in_order(value, valid) for value in (rollout.advantages, rollout.actions[spec.root]))
    for index, label in enumerate(spec.ops):
        metrics[f"advantage/{label}"] = masked_mean(advantages, taken == index)
    return metrics


def privileged_metrics(steps: Steps, old: Evaluation, untold: Evaluation, unit: float) -> dict[str, float | None]:
    """Return by how much values move when a critic is not told what is privileged, in units of reward."""
    moved = (old.values.q_taken - untold.values.q_taken)[steps.valid].double() * unit
    return {"privileged_effect": number(moved.square().mean().sqrt())}


@torch.no_grad()
def kl_metrics(batch: Sequences, evaluation: Evaluation) -> dict[str, float | None]:
    """Return `kl/<head>`: what each head adds to the exact joint KL(old ‖ new), nats, mean over the valid steps."""
    old = FactoredDistribution(evaluation.distribution.actions, batch.old_logits, batch.masks)
    divergences = evaluation.distribution.kl_by_head(old)
    return {f"kl/{name}": masked_mean(value, batch.valid) for name, value in divergences.items()}


class Monitor:
    """What is remembered from update to update: how often heads were used, and which warnings last.

    `used` counts, per head, the valid `steps` at which it mattered and had a choice; it learns from these alone.
    """

    def __init__(self, thresholds: tuple[Threshold, ...] = ()) -> None:
        self.steps, self.watch = 0, Watch(thresholds)
        self.used: defaultdict[str, int] = defaultdict(int)

    def count(self, old: Evaluation, valid: Tensor) -> dict[str, float | None]:
        """Count the steps of a rollout; return `used/<head>`, and `used_share/<head>` of all steps, both so far."""
        counts = torch.stack([valid, *(valid & where for where in old.choice.values())]).sum((1, 2)).tolist()
        self.steps += counts[0]
        metrics: dict[str, float | None] = {}
        for name, count in zip(old.choice, counts[1:], strict=True):
            self.used[name] += count
            metrics[f"used/{name}"] = float(self.used[name])
            metrics[f"used_share/{name}"] = self.used[name] / self.steps if self.steps else None
        return metrics

    def before(
        self, rollout: Rollout, steps: Steps, old: Evaluation, unit: float, spread: float
    ) -> dict[str, float | None]:
        """Return what critic and policy were worth before an update; arguments as in `critic_metrics`."""
        metrics = critic_metrics(rollout, steps, old, unit, spread) | policy_metrics(rollout, steps, old)
        metrics |= number_metrics(steps, old) | state_metrics(old.state, steps.valid, rollout.num_envs)
        return metrics | self.count(old, steps.valid)

    def state(self) -> dict[str, Any]:
        """Return what is remembered, JSON-able."""
        return {"used": {"steps": self.steps, "heads": dict(self.used)}, "warned": dict(self.watch.since)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `state()`."""
        self.steps, self.used = state["used"]["steps"], defaultdict(int, state["used"]["heads"])
        self.watch.since = dict(state["warned"])

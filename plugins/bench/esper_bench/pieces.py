"""Pieces of a training step, each measured alone."""

from __future__ import annotations

import statistics
from itertools import count
from typing import TYPE_CHECKING, Any

import torch
from attrs import evolve

from esper_bench.noise import Noise
from esper_bench.repeats import Work
from esper_core.composition.build import build_parts, resolve_device
from esper_core.composition.plan import describe_plan, owners_of
from esper_core.learning.config import TrainConfig
from esper_core.learning.gae import gae
from esper_core.learning.trainer import Trainer
from esper_core.policy.policy import Policy

if TYPE_CHECKING:
    from esper_core.composition.plan import Plan
    from esper_core.registry.index import Index


def features_and_masks(plan: Plan, index: Index) -> Work:
    """Return a work that computes features and masks of one step of all environments, on random states."""
    parts = _parts_without_environment(plan, index)
    features, masks, owners = parts["features"], parts["masks"], owners_of(plan, index)
    noise = Noise(describe_plan(plan, index), plan.envs, 1, resolve_device(plan.device))
    steps = count()

    def work() -> None:
        state = noise.state_at(next(steps))
        with owners["features"].doing("looking"):
            features(state)
        with owners["masks"].doing("saying what is legal"):
            masks(state)

    return work


def advantages(steps: int, envs: int) -> Work:
    """Return a work that estimates the advantages of a rollout `[envs, steps]`."""
    rewards, values, following = torch.rand(3, envs, steps)
    truncated, valid = torch.zeros(envs, steps, dtype=torch.bool), torch.ones(envs, steps, dtype=torch.bool)
    terminated = truncated.clone()
    terminated[:, -1] = True
    return lambda: gae(rewards, values, following, terminated, truncated, valid, 0.995, 0.95)


def update_seconds(plan: Plan, index: Index, steps: int, envs: int, repeats: int) -> float:
    """Return the median time that learning from a rollout `[envs, steps]` takes in one epoch.

    It is all that the trainer does once a rollout is there: evaluating it, estimating advantages, the epoch.
    """
    plan = evolve(plan, envs=envs)
    parts, owners = _parts_without_environment(plan, index), owners_of(plan, index)
    noise = Noise(describe_plan(plan, index), envs, steps, resolve_device(plan.device))
    trainer = Trainer(
        policy=Policy(parts["network"], parts["critic"], noise.actions, plan.precision, owners),
        features=parts["features"],
        masks=parts["masks"],
        loss=parts["loss"],
        environment=noise,
        config=TrainConfig(**{**plan.train, "update_epochs": 1, "num_minibatches": 1}),
        seed=plan.seed,
        owners=owners,
    )
    _, *measured = trainer.run(1 + repeats)
    return statistics.median(update.timing["phases"]["update"] for update in measured)


def _parts_without_environment(plan: Plan, index: Index) -> dict[str, Any]:
    every = {*plan.kinds, *describe_plan(plan, index).uses}
    return build_parts(plan, index, only=every - {"environment"})

"""From a plan to a trainer that is ready to run."""

from __future__ import annotations

import math

import torch

from esper_core.composition.build import build_parts, resolve_device
from esper_core.composition.config import structure
from esper_core.composition.plan import Plan, describe_plan, owners_of
from esper_core.learning.config import TrainConfig
from esper_core.learning.randomness import seed_all
from esper_core.learning.rollout import Rollout
from esper_core.learning.trainer import Trainer
from esper_core.policy.policy import Policy
from esper_core.registry.index import Index
from esper_core.system.memory import check_memory


def open_session(plan: Plan, index: Index) -> Trainer:
    """Build everything a plan names and return its trainer.

    Operations use the plan's number of threads, 1 unless it says more: sums split differently come out differently, and
    more threads are slower for tensors of this size. The random streams of the process start from the plan's seed.
    """
    check_rollout(plan, index)
    torch.set_num_threads(plan.threads)
    seed_all(plan.seed)
    parts, owners = build_parts(plan, index), owners_of(plan, index)
    environment = parts["environment"]
    # Once more: a library may draw while it is imported, which happens once per process and not once per session.
    seed_all(plan.seed)
    return Trainer(
        policy=Policy(parts["network"], parts["critic"], environment.actions, plan.precision, owners),
        features=parts["features"],
        masks=parts["masks"],
        loss=parts["loss"],
        environment=environment,
        config=structure(TrainConfig, plan.train, prefix="train", owner="the trainer"),
        seed=plan.seed,
        owners=owners,
    )


def check_rollout(plan: Plan, index: Index) -> None:
    """Check before anything is built that the rollout of a plan, and a copy of it to learn from, fit into memory."""
    known, device = describe_plan(plan, index), resolve_device(plan.device)
    try:
        imagined = Rollout(known.horizon, plan.envs, known.actions, known.feature_schema, torch.device("meta"))
        needed: float = 2 * imagined.nbytes
    except (RuntimeError, OverflowError, TypeError):  # more than torch can count
        needed = math.inf
    what = f"The {known.horizon} steps of {plan.envs} environments that an update learns from"
    hint = f"Lower --envs, the steps of an episode, or the features, {known.feature_schema.size} numbers a step."
    check_memory(needed, what, hint, device)

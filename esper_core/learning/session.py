"""From a plan to a trainer that is ready to run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from esper_core.learning.config import TrainConfig
from esper_core.learning.randomness import seed_all
from esper_core.learning.trainer import Trainer
from esper_core.policy.policy import Policy

if TYPE_CHECKING:
    from esper_core.registry.index import Index
    from esper_core.registry.plan import Plan


def open_session(plan: Plan, index: Index) -> Trainer:
    """Build everything a plan names and return its trainer.

    Operations use the plan's number of threads, which is 1 unless it says more. Sums would otherwise be split
    differently on another number of cores, and so come out differently; and for tensors of this size more threads were
    measured to be many times slower wherever anything else wants the cores. The random streams of Python, numpy and
    torch start from the plan's seed.
    """
    from esper_core.registry.build import build_parts
    from esper_core.registry.lookup import owners_of

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
        config=TrainConfig(**plan.train),
        seed=plan.seed,
        owners=owners,
    )

"""From a plan to a trainer that is ready to run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import torch

from esper_core.composition.build import build_parts, resolve_device
from esper_core.composition.config import structure
from esper_core.composition.fit import OPPONENTS, TEACHER
from esper_core.composition.plan import Plan, PlanDescription, describe_plan, owners_of
from esper_core.composition.selection import TRAIN
from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.foreign import Owners
from esper_core.contracts.protocols import Environment
from esper_core.contracts.share import Share
from esper_core.contracts.sides import JoinsPlan
from esper_core.contracts.slots import SlotConfig
from esper_core.contracts.tensors import leaves
from esper_core.learning.collector import Collecting, Collector
from esper_core.learning.config import TrainConfig
from esper_core.learning.randomness import seed_all
from esper_core.learning.relay import Relay
from esper_core.learning.rollout import Rollout
from esper_core.learning.teacher import Teacher
from esper_core.learning.trainer import Trainer
from esper_core.policy.policy import Policy
from esper_core.registry.index import Index
from esper_core.system.memory import check_memory

Session = Trainer | Relay
"""What trains a policy."""


class Together(Protocol):
    """What a process does that plays a share of the rows, and learns from all: see `esper_core.ranks`."""

    share: Share

    def everyone(self, environment: Environment) -> Environment:
        """Return what stands for the environment of all rows."""

    def collector(self, *arguments: Any) -> Collecting:
        """Return what collects the rollout of all rows, of what a `Collector` is made of."""


def open_training(plan: Plan, index: Index) -> Session:
    """Return what trains as a plan says: where it draws a number of slots for each update, a trainer for each."""
    if not plan.drawn:
        return open_session(plan, index)
    build = lambda count: open_session(plan.at(SlotConfig.for_grid(1, count)), index, fresh=True)  # noqa: E731
    return Relay(plan.drawn, plan.seed, build)


def open_session(plan: Plan, index: Index, together: Together | None = None, *, fresh: bool = False) -> Trainer:
    """Build everything a plan names and return its trainer, of all rows also where others play some of them.

    Its slots are the plan's `slots`; `fresh` is as for `Trainer`.

    Operations use the plan's number of threads, 1 unless it says more: sums split differently come out differently, and
    more threads are slower for tensors of this size. The random streams of the process start from the plan's seed.
    """
    known = describe_plan(plan, index)
    config = check_rollout(plan, known)
    torch.set_num_threads(plan.threads)
    seed_all(plan.seed)
    shared = {} if together is None else {"share": together.share, "everyone": together.everyone}
    parts = build_parts(plan, index, **shared)  # type: ignore[arg-type]
    owners, environment = owners_of(plan, index), parts["environment"]
    # Once more: a library may draw while it is imported, which happens once per process and not once per session.
    seed_all(plan.seed)
    policy = Policy(parts["network"], parts["critic"], environment.actions, plan.precision, owners)
    check_rollout(plan, known, policy.initial_state(1))
    opponents: Any = parts.get(OPPONENTS)
    if isinstance(opponents, JoinsPlan):
        with owners[OPPONENTS].doing("joining the plan"):
            opponents.join(plan, index)
    return Trainer(
        policy=policy,
        features=parts["features"],
        masks=parts["masks"],
        loss=parts["loss"],
        environment=environment,
        collector=Collector if together is None else together.collector,
        config=config,
        seed=plan.seed,
        owners=owners,
        rows=known.rows,
        repeats=known.repeats,
        teacher=_teacher(parts, owners, environment.actions, config, plan.seed),
        opponents=opponents,
        fresh=fresh,
    )


def _teacher(
    parts: Mapping[str, Any], owners: Owners, actions: ActionSpec, config: TrainConfig, seed: int
) -> Teacher | None:
    if (rule := parts.get(TEACHER)) is None:
        return None
    return Teacher(
        rule,
        owners[TEACHER],
        actions,
        config.teacher_weight,
        config.teacher_updates,
        seed,
        alone=config.teacher_alone,
        pause=config.critic_alone,
        softness=config.teacher_softness,
        entropy=config.teacher_entropy,
    )


def check_rollout(plan: Plan, known: PlanDescription, state: Any = None) -> TrainConfig:
    """Check that the rollout of a plan, and a copy of it to learn from, fit into memory.

    Returns how the trainer is to be set, with the steps of a rollout decided. Before anything is built there is no
    recurrent `state` of one row; once there is, those that chunks begin with are counted too.
    """
    device, config = resolve_device(plan.device), structure(TrainConfig, plan.train, prefix=TRAIN, owner="the trainer")
    steps, envs = config.rollout_steps or known.horizon, plan.envs * known.rows
    form, chunk = (known.actions, known.feature_schema, torch.device("meta")), config.bptt_steps if state else 0
    remembered = sum(value.nbytes for value in leaves(state).values())
    try:
        imagined = Rollout(steps, envs, *form, chunk=chunk, advised=TEACHER in plan.kinds)
        needed: float = 2 * (imagined.nbytes + imagined.num_sequences * remembered)
    except (RuntimeError, OverflowError, TypeError):  # more than torch can count
        needed = math.inf
    what = (
        f"The {steps} steps of {envs} environments{f', in chunks of {chunk},' * bool(chunk)} that an update learns from"
    )
    fewer = "train.rollout_steps" if config.rollout_steps else "the steps of an episode"
    longer = f" Raise train.bptt_steps: a chunk keeps a state of {remembered:,} bytes." * bool(chunk)
    hint = f"Lower --envs, {fewer}, or the features, {known.feature_schema.size} numbers a step.{longer}"
    check_memory(needed, what, hint, device)
    return config

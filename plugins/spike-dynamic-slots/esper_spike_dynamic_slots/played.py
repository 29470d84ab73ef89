"""Short episodes in the plan's own environment, under its own masks."""

from __future__ import annotations

import torch
from attrs import evolve, frozen
from torch import Tensor

from esper_core.composition.build import build_parts
from esper_core.composition.lookup import PlannedComponent
from esper_core.composition.plan import Plan
from esper_core.contracts.protocols import Environment, FeatureExtractor, Features, MaskProvider, Masks
from esper_core.learning.config import TrainConfig
from esper_core.learning.trainer import Trainer
from esper_core.policy.distribution import FactoredDistribution
from esper_core.policy.masking import check_masks
from esper_core.policy.policy import Policy
from esper_core.registry.index import Index
from esper_testing.case import planned_for

ENVS, EPOCHS = 2, 6


@frozen
class Episode:
    """One episode, as sequences.

    Attributes:
        features: Observations, `obs [E, T, D]`.
        masks: Legal actions, `[E, T, ...]`.
    """

    features: Features
    masks: Masks


@frozen
class Session:
    """All components of a plan, built.

    Attributes:
        features: State → features.
        masks: State → legal actions.
        environment: The plan's environment.
        trainer: Trains the plan's policy in it.
    """

    features: FeatureExtractor
    masks: MaskProvider
    environment: Environment
    trainer: Trainer


def open_short_session(plan: Plan, index: Index, num_slots: int) -> Session:
    """Build all of a plan with few environments, and short episodes where the environment has that option.

    Everything runs in this process, so that tracebacks lead to the line of an error.
    """
    plan = evolve(
        planned_for(plan, num_slots),
        envs=max(ENVS, plan.train["num_minibatches"]),
        components=tuple(_shortened(c) if c.kind == "environment" else c for c in plan.components),
    )
    parts = build_parts(plan, index)
    environment = parts["environment"]
    trainer = Trainer(
        policy=Policy(parts["network"], parts["critic"], environment.actions, plan.precision),
        features=parts["features"],
        masks=parts["masks"],
        loss=parts["loss"],
        environment=environment,
        config=TrainConfig(**plan.train),
        seed=plan.seed,
    )
    return Session(parts["features"], parts["masks"], environment, trainer)


def _shortened(environment: PlannedComponent) -> PlannedComponent:
    config = dict(environment.config)
    if "epochs" in config:
        config["epochs"] = min(config["epochs"], EPOCHS)
    if "workers" in config:
        config["workers"] = 1
    return evolve(environment, config=config)


def play(session: Session) -> Episode:
    """Play one episode of uniformly random legal actions.

    Raises:
        PluginError: the masks leave no legal action.
        EsperError: the environment refuses what the masks allow.
    """
    environment, generator = session.environment, torch.Generator().manual_seed(0)
    uniform = {head.name: torch.zeros(environment.num_envs, head.size) for head in environment.actions.heads}
    seen: list[Features] = []
    legal: list[Masks] = []
    state, _ = environment.reset(seed=0)
    running = torch.ones(environment.num_envs, dtype=torch.bool)
    for _ in range(environment.horizon):
        seen.append(session.features(state))
        legal.append(session.masks(state))
        check_masks(environment.actions, legal[-1])
        actions = FactoredDistribution(environment.actions, uniform, legal[-1]).sample(generator)
        state, _, terminated, truncated, _ = environment.step(actions)
        running &= ~(terminated | truncated)
        if not bool(running.any()):
            break
    given = [masks.slot_given_op for masks in legal if masks.slot_given_op is not None]
    return Episode(
        Features(
            torch.stack([features.obs for features in seen], 1), _stacked([features.indices for features in seen])
        ),
        Masks(_stacked([masks.heads for masks in legal]), torch.stack(given, 1) if given else None),
    )


def _stacked(tables: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([table[name] for table in tables], 1) for name in tables[0]}

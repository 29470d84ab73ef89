"""Playing one episode with a trained policy, without chance, and taking what it grew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from attrs import evolve, frozen

from esper_core.composition.build import build_parts
from esper_core.composition.plan import owners_of
from esper_core.contracts.errors import UserError
from esper_core.contracts.foreign import close_safely
from esper_core.contracts.grown import Exportable, Grown
from esper_core.contracts.protocols import Environment
from esper_core.policy.boundary import check_type
from esper_core.policy.policy import Policy
from esper_core.registry.index import Index
from esper_core.runs.checkpoint import load_policy
from esper_core.runs.header import read_header
from esper_testing.player import PolicyRule, play


@frozen
class Result:
    """An episode that was played.

    Attributes:
        grown: What it left behind.
        events: The environment's events.
        notes: Differences between the checkpoint and what is installed that do not matter enough to refuse.
    """

    grown: Grown
    events: list[dict[str, Any]]
    notes: tuple[str, ...]


def grow(checkpoint: Path, index: Index, instance: int, device: str | None = None) -> Result:
    """Let the policy of a checkpoint play one episode on an instance, always choosing what it thinks most probable.

    Args:
        checkpoint: Folder of the checkpoint.
        index: What is installed.
        instance: Which of the environment's instances.
        device: torch device instead of the plan's.

    Raises:
        CheckpointMismatch: the checkpoint is damaged or does not fit what is installed.
        UserError: the environment has nothing to export.
        EsperError: the episode did not end within the environment's horizon.
    """
    header = read_header(checkpoint)
    plan = evolve(header.plan, envs=1, device=device or header.plan.device)
    torch.set_num_threads(plan.threads)
    parts, owners = build_parts(plan, index), owners_of(plan, index)
    environment: Environment = parts["environment"]
    owner = owners["environment"]
    notes: list[str] = []
    try:
        if not isinstance(environment, Exportable):
            raise UserError(
                f"The environment '{plan.component('environment').name}' has nothing to export.",
                hint="Only environments that grow networks do: they have a method grown(env).",
            )
        policy = Policy(parts["network"], parts["critic"], environment.actions, plan.precision, owners)
        noted = load_policy(checkpoint, policy, parts["features"], plan, index)
        rule = PolicyRule(policy, parts["features"], greedy=True)
        options = {"instances": [instance]}
        played = play(environment, parts["masks"], rule, seed=plan.seed, options=options, owners=owners)
        with owner.doing("handing over what was grown"):
            grown = environment.grown(0)
        check_type(owner, "what it has grown", grown, Grown)
    finally:
        close_safely(owner, environment.close, notes.append)
    return Result(grown, played.events, (*noted, *notes))

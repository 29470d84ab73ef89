"""Playing one episode with a trained policy, without chance, and taking what it grew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from attrs import evolve, frozen

from esper_core.api.player import load_player
from esper_core.composition.build import build_environment
from esper_core.contracts.errors import UserError
from esper_core.contracts.foreign import close_safely
from esper_core.contracts.grown import Exportable, Grown
from esper_core.contracts.protocols import Environment
from esper_core.contracts.slots import SlotConfig
from esper_core.policy.boundary import check_type
from esper_core.registry.index import Index
from esper_core.runs.header import read_header
from esper_testing.player import PlayerRule, play


@frozen
class Result:
    """An episode that was played.

    Attributes:
        slots: Ids of the slots in which it was grown.
        notes: Differences between the checkpoint and what is installed that do not matter enough to refuse.
    """

    grown: Grown
    events: list[dict[str, Any]]
    slots: tuple[str, ...]
    notes: tuple[str, ...]


def grow(
    checkpoint: Path, index: Index, instance: int, device: str | None = None, slots: SlotConfig | None = None
) -> Result:
    """Let the policy of a checkpoint play one episode on an instance, always choosing what it thinks most probable.

    Args:
        checkpoint: Folder of the checkpoint.
        index: What is installed.
        instance: Which of the environment's instances.
        device: torch device instead of the plan's.
        slots: What it grows in instead of the slots of its training.

    Raises:
        CheckpointMismatch: the checkpoint is damaged or does not fit what is installed.
        UserError: the environment has nothing to export.
        EsperError: the episode did not end within the environment's horizon.
    """
    player = load_player(read_header(checkpoint), index, device=device, slots=slots)
    plan, owners = evolve(player.plan, envs=1), player.policy.owners
    torch.set_num_threads(plan.threads)
    parts, owner = build_environment(plan, index).parts, owners["environment"]
    environment: Environment = parts["environment"]
    notes = [*player.notes]
    try:
        if not isinstance(environment, Exportable):
            raise UserError(
                f"The environment '{plan.component('environment').name}' has nothing to export.",
                hint="Only environments that grow networks do: they have a method grown(env).",
            )
        rule = PlayerRule(player, deterministic=True)
        options = {"instances": [instance]}
        played = play(environment, parts["masks"], rule, seed=plan.seed, options=options, owners=owners)
        with owner.doing("handing over what was grown"):
            grown = environment.grown(0)
        check_type(owner, "what it has grown", grown, Grown)
    finally:
        close_safely(owner, environment.close, notes.append)
    return Result(grown, played.events, plan.slots, tuple(notes))

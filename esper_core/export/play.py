"""Playing one episode with a trained policy, without chance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from attrs import evolve, frozen

from esper_core.contracts.errors import EsperError, UserError
from esper_core.contracts.protocols import Environment
from esper_core.export.grown import Exportable, Grown
from esper_core.policy.policy import Policy
from esper_core.registry.build import build_parts
from esper_core.registry.index import Index
from esper_core.runs.checkpoint import best_checkpoint, list_checkpoints, load_policy
from esper_core.runs.directory import RunDirectory
from esper_core.runs.header import read_header


@frozen
class Played:
    """An episode that was played.

    Attributes:
        grown: What it left behind.
        events: The environment's events.
        notes: Differences between the checkpoint and what is installed that do not matter enough to refuse.
    """

    grown: Grown
    events: list[dict[str, Any]]
    notes: tuple[str, ...]


def choose_checkpoint(run: RunDirectory, at: str) -> Path:
    """Return a checkpoint of a run: 'last', 'best' (the highest return), or that of an update.

    Raises:
        UserError: there is none, or none of that update.
    """
    paths = list_checkpoints(run)
    if not paths:
        raise UserError(f"{run.path} has no checkpoint yet.", hint="One is written after every update.")
    if at == "last":
        return paths[-1]
    if at == "best":
        return best_checkpoint(run) or paths[-1]
    found = [path for path in paths if at.isdecimal() and int(path.name) == int(at)]
    if not found:
        kept = ", ".join(str(int(path.name)) for path in paths)
        raise UserError(f"{run.path} has no checkpoint '{at}'.", hint=f"Use --at last, best, or one of {kept}.")
    return found[0]


def play(checkpoint: Path, index: Index, instance: int, device: str | None = None) -> Played:
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
    parts = build_parts(plan, index)
    environment: Environment = parts["environment"]
    try:
        if not isinstance(environment, Exportable):
            raise UserError(
                f"The environment '{plan.component('environment').name}' has nothing to export.",
                hint="Only environments that grow networks do: they have a method grown(env).",
            )
        policy = Policy(parts["network"], parts["critic"], environment.actions, plan.precision)
        loaded = load_policy(checkpoint, policy, plan, index)
        events = _episode(parts, policy, plan.seed, instance)
        return Played(environment.grown(0), events, loaded.notes)
    finally:
        environment.close()


def _episode(parts: Mapping[str, Any], policy: Policy, seed: int, instance: int) -> list[dict[str, Any]]:
    """Play one episode in the only environment and return its events."""
    environment: Environment = parts["environment"]
    state, _ = environment.reset(seed=seed, options={"instances": [instance]})
    recurrent = policy.initial_state(1)
    events: list[dict[str, Any]] = []
    for _ in range(environment.horizon):
        acted = policy.get_action(parts["features"](state), parts["masks"](state), recurrent, deterministic=True)
        recurrent = acted.state
        state, _, terminated, truncated, info = environment.step(acted.actions)
        events += info.get("events", ())
        if bool((terminated | truncated).all()):
            return events
    raise EsperError(f"The episode did not end within {environment.horizon} steps.")

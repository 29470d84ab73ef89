"""Whole episodes of legal actions, kept for looking at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from attrs import define, field
from torch import Tensor

from esper_core.contracts.protocols import Environment, MaskProvider, Masks
from esper_testing.legality import draw_legal

if TYPE_CHECKING:
    from esper_core.contracts.protocols import State

Choose = Callable[[int, "State", Masks], Mapping[str, Tensor]]
"""Step, state and masks → actions, int64 `[E]` per head."""


@define
class Episode:
    """What an environment published in T steps; row t of the lists is that of step t.

    Attributes:
        states: States before every step and after the last, T + 1.
        rewards, terminated, truncated: What came of it, `[E]` each.
        absent: Rows that take no part in it, bool `[E]`.
    """

    absent: Tensor
    states: list[State] = field(factory=list)
    actions: list[Mapping[str, Tensor]] = field(factory=list)
    rewards: list[Tensor] = field(factory=list)
    terminated: list[Tensor] = field(factory=list)
    truncated: list[Tensor] = field(factory=list)
    infos: list[dict[str, Any]] = field(factory=list)

    @property
    def ended(self) -> Tensor:
        """Where an episode was said to end, bool `[T, E]`."""
        return torch.stack(self.terminated) | torch.stack(self.truncated)

    def difference(self, other: Episode, envs: list[int] | None = None) -> str:
        """Return where some rows, or any, first differ, in words; empty where they do not."""
        envs = list(range(len(self.absent))) if envs is None else envs
        for t, (here, there) in enumerate(zip(self.states, other.states, strict=True)):
            for name in here:
                if not torch.equal(here[name][envs], there[name][envs]):
                    return f"the state's '{name}' {'at the start' if t == 0 else f'after step {t - 1}'}"
        for what, mine, theirs in (
            ("the reward", self.rewards, other.rewards),
            ("terminated", self.terminated, other.terminated),
            ("truncated", self.truncated, other.truncated),
        ):
            for t, (ours, others) in enumerate(zip(mine, theirs, strict=True)):
                if not torch.equal(ours[envs], others[envs]):
                    return f"{what} of step {t}"
        for t, (here, there) in enumerate(zip(self.infos, other.infos, strict=True)):
            if _events(here, envs) != _events(there, envs):
                return f"what was reported of step {t}"
        return ""


def play(environment: Environment, masks: MaskProvider, steps: int, choose: Choose, *, seed: int | None) -> Episode:
    """Start episodes and take a number of steps, whether or not they end before."""
    state, info = environment.reset(seed=seed)
    return go_on(environment, masks, state, range(steps), choose, absent_of(environment, info))


def absent_of(environment: Environment, info: Mapping[str, Any]) -> Tensor:
    """Return the rows that take no part in the episodes that a reset began, bool `[E]`."""
    absent: Tensor = info.get("absent", torch.zeros(environment.num_envs, dtype=torch.bool))
    return absent


def go_on(
    environment: Environment, masks: MaskProvider, state: State, steps: range, choose: Choose, absent: Tensor
) -> Episode:
    """Take steps from a state on, numbered as a player is told them."""
    episode = Episode(absent)
    episode.states.append(_kept(state))
    for t in steps:
        actions = choose(t, state, masks(state))
        state, reward, terminated, truncated, info = environment.step(actions)
        episode.states.append(_kept(state))
        episode.actions.append(actions)
        episode.rewards.append(reward)
        episode.terminated.append(terminated)
        episode.truncated.append(truncated)
        episode.infos.append(info)
    return episode


class Playable(NamedTuple):
    """An environment, the masks it is played with, and the rows of each of its matches."""

    environment: Environment
    masks: MaskProvider
    rows: int

    def play(self, seed: int | None = 0, *, actions: int = 0, beyond: int = 0) -> Episode:
        """Play an episode of uniform legal actions and take some steps more.

        Args:
            seed: Of the environment.
            actions: Seed of the actions.
            beyond: Steps after the horizon.
        """
        environment = self.environment
        steps = environment.horizon + beyond
        return play(environment, self.masks, steps, legal_play(environment, actions), seed=seed)


def legal_play(environment: Environment, seed: int = 0) -> Choose:
    """Return a player of uniform legal actions; at every step it draws from a stream of its own.

    So what it plays in one environment does not depend on how often it was asked before, nor on the others.
    """

    def choose(t: int, state: State, masks: Masks) -> Mapping[str, Tensor]:
        return draw_legal(environment.actions, masks, state, torch.Generator().manual_seed(1000 * seed + t))

    return choose


def _events(info: Mapping[str, Any], envs: list[int]) -> list[dict[str, Any]]:
    """Return the events of some environments."""
    return [event for event in info.get("events", ()) if event.get("env") in envs]


def _kept(state: State) -> State:
    return {name: value.clone() for name, value in state.items()}

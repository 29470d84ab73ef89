"""What an environment publishes, held against its tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch

from esper_core.contracts.protocols import Masks, State
from esper_core.contracts.state import StateField
from esper_testing.episodes import Playable, absent_of, go_on, legal_play, play


def check_field(entry: StateField, value: Any, sizes: tuple[int, ...], when: str) -> None:
    """Fail unless a field of the state has its shape, type and bounds."""
    what = f"{when}: the state's '{entry.name}'"
    assert isinstance(value, torch.Tensor), f"{what} is a {type(value).__name__}, not a tensor"
    assert tuple(value.shape) == sizes, f"{what} has shape {tuple(value.shape)}, not {sizes}"
    whole = {"int": torch.int64, "bool": torch.bool, "uint8": torch.uint8}
    fits = value.is_floating_point() if entry.dtype == "float" else value.dtype == whole[entry.dtype]
    assert fits, f"{what} is {value.dtype}; its table says {entry.dtype}"
    if entry.dtype == "bool" or not value.numel():
        return
    assert bool(value.isfinite().all()), f"{what} is not finite"
    low, high = float(value.min()), float(value.max())
    assert entry.low <= low and high <= entry.high, (
        f"{what} goes from {low:g} to {high:g}; its table says {entry.low:g} to {entry.high:g}"
    )


def check_event(event: Any, t: int, rows: int) -> None:
    """Fail unless an event of step t names one of the rows, its step and a type, and can be written as JSON."""
    lacking = [key for key in ("env", "step", "type") if key not in event]
    assert not lacking, f"step {t}: the event {event} lacks {', '.join(lacking)}"
    env, step, kind = event["env"], event["step"], event["type"]
    assert isinstance(kind, str) and kind, f"step {t}: the type of the event {event} is not a name"
    assert type(env) is int and 0 <= env < rows, f"step {t}: the event '{kind}' is of environment {env!r}"
    assert type(step) is int and step == t, f"step {t}: the event '{kind}' says step {step!r}"
    try:
        json.dumps(event, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"step {t}: the event '{kind}' cannot be written as JSON: {error}") from error


def check_told(played: Playable, names: Sequence[str]) -> list[torch.Tensor]:
    """Return what critics alone are told in an episode, `[E, P]`, first after its start; fail where it is otherwise.

    Where nothing is named nothing is played.
    """
    if not names:
        return []
    environment, told = played.environment, list[torch.Tensor]()
    state, info = environment.reset(seed=0)
    steps, choose = range(environment.horizon), legal_play(environment)
    episode = go_on(environment, played.masks, state, steps, choose, absent_of(environment, info))
    for t, said in enumerate([info, *episode.infos]):
        what, value = f"{moment(t)}: info['privileged']", said.get("privileged")
        assert value is not None, f"{what} is missing; the description names {', '.join(names)}"
        assert isinstance(value, torch.Tensor), f"{what} is a {type(value).__name__}, not a tensor"
        form = (environment.num_envs, len(names))
        assert tuple(value.shape) == form, f"{what} has shape {tuple(value.shape)}, not {form}"
        assert value.is_floating_point(), f"{what} is {value.dtype}, not a float"
        assert bool(value.isfinite().all()), f"{what} is not finite: {value.tolist()}"
        told.append(value.clone())
    return told


def moment(t: int) -> str:
    """Return in words when the t-th of the states of an episode is published."""
    return "after reset" if t == 0 else f"after step {t - 1}"


FAR = 10.0
"""A number that is far out, where there is no bound."""


def check_numbers(played: Playable, num_slots: int) -> None:
    """Fail where numbers at their bounds lead to rewards that are not finite, or to a state beyond its table."""
    environment = played.environment
    spec, usual = environment.actions, legal_play(environment)
    if not spec.continuous:
        return

    def choose(t: int, state: State, masks: Masks) -> dict[str, torch.Tensor]:
        actions = dict(usual(t, state, masks))
        for head in spec.continuous:
            value = actions[head.name]
            sides = [value.new_tensor(bounds).clamp(-FAR, FAR) for bounds in (head.low, head.high)]
            actions[head.name] = sides[t % 2].expand_as(value)
        return actions

    episode = play(environment, played.masks, environment.horizon, choose, seed=0)
    for t, reward in enumerate(episode.rewards):
        when = f"after step {t}, with numbers at their {'upper' if t % 2 else 'lower'} bounds"
        assert bool(reward.isfinite().all()), f"{when}: the reward is not finite: {reward.tolist()}"
        for entry in environment.state_spec.fields:
            sizes = entry.sizes(environment.num_envs, num_slots, len(spec.ops))
            check_field(entry, episode.states[t + 1][entry.name], sizes, when)

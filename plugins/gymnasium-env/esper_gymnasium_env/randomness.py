"""Where everything random about an episode comes from: its seed, and the streams of Gymnasium's spaces."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium
import numpy as np

SPACES = ("action_space", "observation_space")


def episode_seed(run_seed: int, env: int, episode: int) -> int:
    """Return the seed of an episode: what environment `env` is reset with for the `episode`-th time, from 0 on."""
    return int(np.random.SeedSequence([run_seed, env, episode]).generate_state(1)[0])


def give_own_spaces(envs: Sequence[gymnasium.Env[Any, Any]]) -> None:
    """Copy the spaces of every environment that has them from its class or shares them with another.

    Otherwise the samples of one would depend on those of the others.
    """
    taken: set[int] = set()
    for env in envs:
        base = env.unwrapped
        for name in SPACES:
            space = getattr(base, name)
            of_class = space is inspect.getattr_static(type(base), name, None)
            if of_class or id(space) in taken:
                space = copy.deepcopy(space)
                setattr(base, name, space)
            taken.add(id(space))


def seed_spaces(env: gymnasium.Env[Any, Any], seed: int) -> None:
    """Seed every space of an environment and of its wrappers, each with a seed of its own."""
    found = {id(space): space for layer in _layers(env) for space in (getattr(layer, name) for name in SPACES)}
    for space, own in zip(found.values(), np.random.SeedSequence([seed, 1]).generate_state(len(found)), strict=True):
        space.seed(int(own))


def _layers(env: gymnasium.Env[Any, Any]) -> Iterator[gymnasium.Env[Any, Any]]:
    yield env
    while isinstance(env, gymnasium.Wrapper):
        env = env.env
        yield env

"""Where everything random about an episode comes from: its seed, and the streams of Gymnasium's spaces."""

from __future__ import annotations

import copy
import hashlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np

HELD_OUT = 2**31
"""Episodes of training have seeds below this number; those from here on are for judging."""

SPACES = ("action_space", "observation_space")


def episode_seed(run_seed: int, env: int, episode: int) -> int:
    """Return the seed of an episode: what environment `env` is reset with for the `episode`-th time, from 0 on."""
    return int.from_bytes(_digest(f"{run_seed}/{env}/{episode}", 4), "little") % HELD_OUT


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
    """Begin the stream of every space of an environment and of its wrappers anew, each where no other begins.

    That is what `Space.seed` does, at a tenth of its cost: it is done at the start of every episode.
    """
    owned = {id(space): space for layer in _layers(env) for space in (layer.action_space, layer.observation_space)}
    for place, space in enumerate(part for whole in owned.values() for part in _drawing(whole)):
        words = _digest(f"{seed}/{place}", 32)
        state, increment = int.from_bytes(words[:16], "little"), int.from_bytes(words[16:], "little") | 1
        generator = space.np_random.bit_generator
        if type(generator) is np.random.PCG64:
            chain: Any = {"state": state, "inc": increment}
            generator.state = {"bit_generator": "PCG64", "state": chain, "has_uint32": 0, "uinteger": 0}
        else:
            space.seed(state % 2**32)


def _drawing(space: gymnasium.Space[Any]) -> Iterator[gymnasium.Space[Any]]:
    """Yield the spaces with streams of their own that a space is made of, and itself."""
    yield space
    parts = getattr(space, "spaces", ())
    for part in parts.values() if isinstance(parts, Mapping) else parts:
        yield from _drawing(part)


def _digest(text: str, size: int) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=size).digest()


def _layers(env: gymnasium.Env[Any, Any]) -> Iterator[gymnasium.Env[Any, Any]]:
    yield env
    while isinstance(env, gymnasium.Wrapper):
        env = env.env
        yield env

"""The environment `gymnasium`: E single Gymnasium environments side by side, one episode each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from attrs import evolve
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from esper_core.contracts.errors import PluginError
from esper_core.contracts.foreign import described, guarded
from esper_core.contracts.protocols import BuildContext
from esper_core.contracts.spaces import action_space, observation_space
from esper_gymnasium_env.bridge import GymnasiumBridge
from esper_gymnasium_env.config import GymnasiumConfig
from esper_gymnasium_env.describe import close, describe, make, owner
from esper_gymnasium_env.legality import MASK, Legality, is_masked, seen_space
from esper_gymnasium_env.randomness import give_own_spaces, seed_spaces
from esper_gymnasium_env.scaling import Scaling

LARGEST = float(np.finfo(np.float32).max)
"""Largest reward that can be learned from."""


class GymnasiumEnvironment(VectorEnv[Any, Any, Any]):
    """Kind `environment`: scaled observations and action masks of E Gymnasium environments.

    Gymnasium's time limit truncates. A seeded reset also seeds the spaces of each environment, so that what it samples
    from them can be repeated.
    """

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012

    def __init__(self, config: GymnasiumConfig, context: BuildContext) -> None:
        description = describe(config, context.slots)
        self.actions, self.state_spec = description.actions, description.state
        self.horizon, self.num_envs, self.device = description.horizon, context.num_envs, context.device
        self._envs = [make(config) for _ in range(self.num_envs)]
        give_own_spaces(self._envs)
        self._config, self._owner = config, owner(config)
        self._seed: int | None = context.seed
        seen, acts = self._envs[0].observation_space, self._envs[0].action_space
        assert isinstance(acts, gymnasium.spaces.Discrete | gymnasium.spaces.MultiDiscrete)
        scaling, legality = Scaling.of(seen_space(seen), config.observe), Legality(config.id, self.actions)
        self._bridge = GymnasiumBridge(self._owner, seen, acts, scaling, legality, self.device)
        self._observation = np.zeros((self.num_envs, scaling.width), np.float32)
        self._legal = np.ones((self.num_envs, self.state_spec[MASK].sizes(1, 0, 0)[1]), np.bool_)
        self.single_action_space = action_space(self.actions)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        slots = context.slots.num_slots
        self.single_observation_space = observation_space(self.state_spec, slots, len(self.actions.ops))
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Start new episodes; a seed gives each environment one of its own. Options are passed on.

        Raises:
            PluginError: an environment fails, or returns an invalid observation or mask.
        """
        # The first episodes are seeded in any case: nothing may depend on the system's entropy.
        chosen, self._seed = self._seed if seed is None else seed, None
        for env, single in enumerate(self._envs):
            with guarded(self._owner, "starting an episode"):
                self._look(env, *_begin(single, env, chosen, options))
        self._running = np.ones(self.num_envs, np.bool_)
        self._returns, self._lengths = np.zeros(self.num_envs), np.zeros(self.num_envs, np.int64)
        return self._state(), {}

    def step(self, actions: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor, dict[str, Any]]:
        """Take one step in every environment whose episode has not ended; actions are int64 `[E]` per head.

        Raises:
            PluginError: an environment fails, or returns an invalid observation, reward, flag or mask.
        """
        chosen = self._bridge.to_actions(actions)
        if chosen.ndim == 1:
            chosen = chosen.tolist()
        reward = np.zeros(self.num_envs, np.float64)
        terminated, truncated = (np.zeros(self.num_envs, np.bool_) for _ in range(2))
        events = []
        for env in np.flatnonzero(self._running).tolist():
            with guarded(self._owner, f"taking step {self._lengths[env]}"):
                observation, paid, *ends, info = self._envs[env].step(chosen[env])
                reward[env] = value = self._reward(paid)
                terminated[env], truncated[env] = map(self._flag, ends)
                self._look(env, observation, info, terminated=terminated[env], truncated=truncated[env])
            self._returns[env] += value
            self._lengths[env] += 1
            if terminated[env] or truncated[env]:
                events.append(self._episode(env))
        self._running &= ~(terminated | truncated)
        flags = (self._tensor(terminated), self._tensor(truncated))
        return self._state(), self._tensor(reward), *flags, {"events": events}

    def bridge(self) -> GymnasiumBridge:
        """Return the translation alone; an episode is begun to see whether it says what is legal beside what it shows.

        Raises:
            PluginError: the environment fails.
        """
        single = self._envs[0]
        with guarded(self._owner, "starting an episode"):
            said = self._bridge.legality.said(single, *_begin(single, 0, self._seed, None))
        return evolve(self._bridge, needs_masks=said is not None and not is_masked(single.observation_space))

    def close_extras(self, **kwargs: Any) -> None:
        """Close every environment; a failure is logged, not raised."""
        for single in self._envs:
            close(single, self._config)

    def _look(
        self,
        env: int,
        observation: Any,
        info: Mapping[str, Any],
        *,
        terminated: np.bool_ | bool = False,
        truncated: np.bool_ | bool = False,
    ) -> None:
        """Store an environment's observation and its mask, which is not asked for after it terminated."""
        try:
            self._observation[env] = self._bridge.row(observation)
        except Exception as error:
            space = self._bridge.scaling.space
            raise PluginError(
                f"{self._owner} returned an observation that does not fit its space {space}: {described(error)}.",
                hint="Its author must return observations that its observation_space contains.",
            ) from error
        self._legal[env] = True
        if not terminated:
            self._legal[env] = self._bridge.legality.read(self._envs[env], observation, info, ended=bool(truncated))

    def _reward(self, reward: Any) -> float:
        """Return a reward as a float; an array with one entry is accepted."""
        try:
            value = float(np.asarray(reward).item())
        except (TypeError, ValueError, RuntimeError):
            value = math.nan
        if not abs(value) <= LARGEST:
            raise PluginError(
                f"{self._owner} returned the reward {reward!r}; a reward is one finite number, at most {LARGEST:.2g}, "
                "the largest in float32.",
                hint="Its author must change the reward; a wrapper can scale it.",
            )
        return value

    def _flag(self, said: Any) -> bool:
        """Return terminated or truncated as a bool; an array with one entry is accepted."""
        found = np.asarray(said)
        if found.size != 1 or found.dtype.kind not in "biu":
            raise PluginError(f"{self._owner} returned {said!r} as terminated or truncated, which are bool.")
        return bool(found.item())

    def _episode(self, env: int) -> dict[str, Any]:
        length = int(self._lengths[env])
        return {
            "env": env,
            "step": length - 1,
            "type": "episode",
            "return": float(self._returns[env]),
            "length": length,
        }

    def _state(self) -> dict[str, Tensor]:
        return self._bridge.state(self._observation, self._legal)

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values.copy()).to(self.device)


def _begin(
    single: gymnasium.Env[Any, Any], env: int, seed: int | None, options: dict[str, Any] | None
) -> tuple[Any, dict[str, Any]]:
    """Start an episode; a seed gives this environment, the `env`-th, and its spaces seeds of their own."""
    own = None
    if seed is not None:
        own, of_spaces = map(int, np.random.SeedSequence([seed, env]).generate_state(2))
        seed_spaces(single, of_spaces)
    return single.reset(seed=own, options=options)

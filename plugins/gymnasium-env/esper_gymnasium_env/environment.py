"""The environment `gymnasium`: E single Gymnasium environments side by side, one episode each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from esper_core.contracts.errors import PluginError
from esper_core.contracts.foreign import guarded
from esper_core.contracts.protocols import Build
from esper_core.contracts.spaces import action_space, observation_space
from esper_gymnasium_env.config import GymnasiumConfig
from esper_gymnasium_env.describe import called, describe, make
from esper_gymnasium_env.scaling import Scaling

MASK = "action_mask"
"""Key of `info` under which an environment says what is legal."""

MASK_METHOD = "action_masks"
"""Method that says so in environments made for sb3-contrib."""


class GymnasiumEnvironment(VectorEnv[Any, Any, Any]):
    """Kind `environment`. What is legal is read from `info["action_mask"]`, else from a method `action_masks()`.

    A time limit of Gymnasium's truncates. Masks of several heads may be one array or one per head.
    """

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012

    def __init__(self, config: GymnasiumConfig, context: Build) -> None:
        description = describe(config, context.slots)
        self.actions, self.state_spec = description.actions, description.state
        self.horizon, self.num_envs, self.device = description.horizon, context.num_envs, context.device
        self._id, self._envs = config.id, [make(config) for _ in range(self.num_envs)]
        self._owner = called(config.id)
        self._scaling = Scaling.of(self._envs[0].observation_space, config.observe)
        self._space = self._envs[0].action_space
        self._seed: int | None = context.seed
        self._observation = np.zeros((self.num_envs, self._scaling.width), np.float32)
        self._legal = np.ones((self.num_envs, self.state_spec[MASK].sizes(1, 0, 0)[1]), np.bool_)
        self._ends = np.cumsum(list(self.actions.sizes.values()))
        self.single_action_space = action_space(self.actions)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        slots = context.slots.num_slots
        self.single_observation_space = observation_space(self.state_spec, slots, len(self.actions.ops))
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Start new episodes; a seed gives each environment one of its own. Options are passed on."""
        # The first episodes are seeded in any case: nothing may depend on the system's entropy.
        chosen, self._seed = self._seed if seed is None else seed, None
        for env, single in enumerate(self._envs):
            own = None if chosen is None else int(np.random.SeedSequence([chosen, env]).generate_state(1)[0])
            with guarded(self._owner, "starting an episode"):
                observation, info = single.reset(seed=own, options=options)
            with guarded(self._owner, "saying what it sees at the start of an episode"):
                self._look(env, observation, info)
        self._running = np.ones(self.num_envs, np.bool_)
        self._returns, self._lengths = np.zeros(self.num_envs), np.zeros(self.num_envs, np.int64)
        return self._state(), {}

    def step(self, actions: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor, dict[str, Any]]:
        """Take one step in every environment whose episode goes on; actions are int64 `[E]` per head."""
        chosen = torch.stack([actions[name] for name in self.actions.names], dim=-1).cpu().numpy()
        reward = np.zeros(self.num_envs, np.float64)
        terminated, truncated = (np.zeros(self.num_envs, np.bool_) for _ in range(2))
        events = []
        for env in np.flatnonzero(self._running).tolist():
            step = f"taking step {self._lengths[env]}"
            with guarded(self._owner, step):
                observation, paid, over, cut, info = self._envs[env].step(self._action(chosen[env]))
            reward[env] = self._returned(paid, "reward", float)
            terminated[env] = self._returned(over, "terminated", bool)
            truncated[env] = self._returned(cut, "truncated", bool)
            self._returns[env] += reward[env]
            self._lengths[env] += 1
            ended = bool(terminated[env] or truncated[env])
            with guarded(self._owner, step):
                self._look(env, observation, info, ended=ended)
            if ended:
                events.append(self._episode(env))
        self._running &= ~(terminated | truncated)
        flags = (self._tensor(terminated), self._tensor(truncated))
        return self._state(), self._tensor(reward), *flags, {"events": events}

    def close_extras(self, **kwargs: Any) -> None:
        """Close every environment; raises PluginError for the first that fails, once all were asked."""
        failures = []
        for single in self._envs:
            try:
                with guarded(self._owner, "closing"):
                    single.close()
            except PluginError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def _action(self, row: NDArray[np.int64]) -> Any:
        """Return the heads' indices `[heads]` as the environment takes them."""
        if isinstance(self._space, gymnasium.spaces.Discrete):
            return int(row[0] + self._space.start)
        assert isinstance(self._space, gymnasium.spaces.MultiDiscrete)
        return (row.reshape(self._space.nvec.shape) + self._space.start).astype(self._space.dtype)

    def _returned(self, value: Any, name: str, kind: type[float] | type[bool]) -> float:
        """Return a number that a step returned, also one in an array of its own."""
        array = np.asarray(value)
        if array.size != 1 or (not np.issubdtype(array.dtype, np.number) and array.dtype != np.bool_):
            shape = f" of shape {list(array.shape)}" if array.shape else ""
            raise PluginError(
                f"{self._owner} breaks its contract: its {name} is {value!r}, a {type(value).__name__}{shape}, "
                f"not one {'number' if kind is float else 'truth value'}.",
                hint="Report this to its author.",
            )
        return kind(array.item())

    def _look(self, env: int, observation: Any, info: Mapping[str, Any], *, ended: bool = False) -> None:
        """Take in what an environment says; what is legal after the end of an episode is of no interest."""
        self._observation[env] = self._scaling(observation)
        if ended:
            return
        legal = self._said(env, info)
        if legal is None:
            return
        heads = np.split(legal, self._ends[:-1])
        if legal.size != self._legal.shape[1] or not all(head.any() for head in heads):
            found = f"{legal.size} entries" if legal.size != self._legal.shape[1] else "no legal action"
            raise PluginError(
                f"The action mask of {self._id} has {found}; it needs {self._legal.shape[1]}, with one legal for each "
                f"of {', '.join(self.actions.names)}.",
                hint="Its author must say what is legal in every state.",
            )
        self._legal[env] = legal

    def _said(self, env: int, info: Mapping[str, Any]) -> NDArray[np.bool_] | None:
        """Return what an environment says is legal, `[Σ K]`, or None when it says nothing."""
        single = self._envs[env]
        if MASK in info:
            said = info[MASK]
        elif single.has_wrapper_attr(MASK_METHOD):
            said = single.get_wrapper_attr(MASK_METHOD)()
        else:
            return None
        parts = said if isinstance(said, tuple | list) else [said]
        return np.concatenate([np.ravel(part) for part in parts]).astype(np.bool_)

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
        return {"observation": self._tensor(self._observation), MASK: self._tensor(self._legal)}

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values.copy()).to(self.device)

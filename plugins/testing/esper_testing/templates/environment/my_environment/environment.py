"""The environment `my-environment`: N machines per environment earn less the more they are worn."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from esper_core.contracts.protocols import BuildContext
from esper_core.contracts.spaces import action_space, observation_space
from my_environment.config import MyEnvironmentConfig
from my_environment.describe import OPS, REPAIR, describe


class MyEnvironment(VectorEnv[Any, Any, Any]):
    """Kind `environment`: E workshops side by side, each with one machine per slot.

    In every step at most one machine per workshop is repaired, all wear on by a random amount, and what runs earns.
    """

    # An episode that has ended stays ended until `reset`; the trainer counts later rows as padding.
    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012
    _wear: Tensor
    _repairs: Tensor

    def __init__(self, config: MyEnvironmentConfig, context: BuildContext) -> None:
        known = describe(config, context.slots)
        self.actions, self.state_spec, self.horizon = known.actions, known.state, known.horizon
        self.num_envs, self.config = context.num_envs, config
        self._shape = (context.num_envs, context.slots.num_slots)
        self._device, self._dtype = context.device, context.dtype
        self._seed, self._episodes = context.seed, 0
        # A generator of its own, on the CPU: episodes depend on seed and number and on nothing else.
        self._generator = torch.Generator()
        self.single_action_space = action_space(self.actions)
        self.single_observation_space = observation_space(self.state_spec, self._shape[1], len(OPS))
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self._begin()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Start new episodes; a seed restarts the randomness. Return state and info."""
        if seed is not None:
            self._seed, self._episodes = seed, 0
        self._begin()
        self._episodes += 1
        return self._observe(), {}

    def step(self, actions: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor, dict[str, Any]]:
        """Take one step with int64 `[E]` per head; return state, reward, terminated, truncated, info."""
        never = torch.zeros(self.num_envs, dtype=torch.bool, device=self._device)
        if self._t >= self.horizon:  # the episodes are over: nothing changes and nothing is earned
            return self._observe(), self._zeros(self.num_envs), never, never, {"events": []}
        self._t += 1
        repairing = actions["op"] == OPS.index(REPAIR)
        chosen = torch.nn.functional.one_hot(actions["slot"], self._shape[1]).bool()
        repaired = chosen & repairing[:, None] & self._is_worn()
        self._wear = self._wear.masked_fill(repaired, 0.0)
        self._wear = (self._wear + self._draw(2 * self.config.wear)).clamp(max=1.0)
        self._repairs += repaired.sum(-1)
        reward = (1 - self._wear).mean(-1) - self.config.price * repairing.to(self._dtype)
        # The horizon is where we stop looking, not where the workshop ends: truncated, so the rest is estimated.
        truncated = torch.full_like(never, self._t == self.horizon)
        return self._observe(), reward, never, truncated, {"events": self._events()}

    def state(self) -> dict[str, Any]:
        """Return what the next reset depends on, as JSON-able values: a resumed run goes on with the same episodes."""
        return {"seed": self._seed, "episodes": self._episodes}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue where `state()` was taken."""
        self._seed, self._episodes = state["seed"], state["episodes"]

    def _begin(self) -> None:
        self._t = 0
        self._generator.manual_seed(random.Random(f"{self._seed}/{self._episodes}").getrandbits(63))
        self._wear = self._draw(1.0)
        self._repairs = torch.zeros(self.num_envs, dtype=torch.int64, device=self._device)

    def _observe(self) -> dict[str, Tensor]:
        """Return every field of the state; new tensors, so that nobody's copy changes with the next step."""
        clock = self._zeros(self.num_envs) + self._t / self.horizon
        return {"clock": clock, "wear": self._wear.clone(), "worn": self._is_worn()}

    def _events(self) -> list[dict[str, Any]]:
        """Return what happened; numbers in an event of type `episode` become metrics of the update."""
        if self._t < self.horizon:
            return []
        repairs = enumerate(self._repairs.tolist())
        return [{"type": "episode", "env": env, "step": self._t - 1, "repairs": count} for env, count in repairs]

    def _is_worn(self) -> Tensor:
        return self._wear >= self.config.worn

    def _draw(self, high: float) -> Tensor:
        """Return uniform numbers from 0 to `high`, `[E, N]`."""
        return high * torch.rand(self._shape, generator=self._generator).to(self._device, self._dtype)

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(shape, dtype=self._dtype, device=self._device)

"""The base of the probes' environments: E episodes side by side that differ only in what `begin` draws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from esper_core import ActionSpec, StateField, StateSpec
from esper_core.contracts.protocols import Masks
from esper_core.contracts.spaces import action_space, observation_space


def floats(*names: str) -> StateSpec:
    """Return a state of numbers from −1 to 1, one field `[E]` per name."""
    return StateSpec(tuple(StateField(name, ("E",), "float", "", name.replace("_", " "), -1, 1) for name in names))


class ProbeEnvironment(VectorEnv[Any, Any, Any]):
    """Kind `environment`: subclasses give observation, masks and reward; without them an episode is all ones.

    Args:
        num_envs: Episodes side by side, E.
        horizon: Steps of the longest episode, T.

    Attributes:
        truncates: Episodes are truncated rather than terminated.
        lengths: Steps of each episode, int64 `[E]`; T unless a subclass sets it.
        t: Steps taken since each episode began, int64 `[E]`.
        returns: Sum of the rewards of the last episode that ended in each row, `[E]`; NaN before there is one.
        generator: Randomness of the episodes.
    """

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012
    actions: ActionSpec
    state_spec: StateSpec
    truncates = False

    def __init__(self, num_envs: int, horizon: int) -> None:
        self.num_envs, self.horizon = num_envs, horizon
        self.lengths, self.t = torch.full((num_envs,), horizon), torch.zeros(num_envs, dtype=torch.int64)
        self.returns, self._earned = self.constant(torch.nan), self.constant(0)
        self.generator = torch.Generator().manual_seed(0)
        num_slots = self.actions.category(self.actions.slot).size if self.actions.slot else 0
        self.single_action_space = action_space(self.actions)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.single_observation_space = observation_space(self.state_spec, num_slots, len(self.actions.ops))
        self.observation_space = batch_space(self.single_observation_space, num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Start new episodes, in the rows of the option `reset_mask` if there is one; a seed restarts randomness."""
        if seed is not None:
            self.generator.manual_seed(seed)
        mask = (options or {}).get("reset_mask")
        rows = torch.ones(self.num_envs, dtype=torch.bool) if mask is None else torch.as_tensor(mask)
        self.t, self._earned = torch.where(rows, 0, self.t), torch.where(rows, 0.0, self._earned)
        self.renew(rows)
        return self.observe(), {}

    def step(self, actions: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor, dict[str, Any]]:
        """Take one step in the episodes that have not ended; without one nothing changes."""
        running = self.t < self.lengths
        never = torch.zeros_like(running)
        if not running.any():
            return self.observe(), torch.zeros(self.num_envs), never, never, {}
        reward = torch.where(running, self.reward(actions).float(), 0.0)
        self.t, self._earned = self.t + running, self._earned + reward
        last = running & (self.t >= self.lengths)
        self.returns = torch.where(last, self._earned, self.returns)
        terminated, truncated = (never, last) if self.truncates else (last, never)
        return self.observe(), reward, terminated, truncated, {}

    def renew(self, rows: Tensor) -> None:
        """Begin anew in rows, bool `[E]`: draw for all, and keep what was drawn elsewhere."""
        for name, drawn in self.begin().items():
            mine = rows.view(-1, *[1] * (drawn.dim() - 1))
            setattr(self, name, torch.where(mine, drawn, getattr(self, name, drawn)))

    def begin(self) -> dict[str, Tensor]:
        """Draw what sets one episode apart from another: attribute → value, `[E, ...]`."""
        return {}

    def observe(self) -> dict[str, Tensor]:
        """Return the states before steps `t`."""
        return {"nothing": self.constant(1)}

    def reward(self, actions: Mapping[str, Tensor]) -> Tensor:
        """Carry out the actions of steps `t` and return the reward `[E]`.

        They are int64 `[E]` per head of categories, float32 `[E, n]` of numbers.
        """
        return self.constant(1)

    @classmethod
    def masks(cls, state: Mapping[str, Tensor]) -> Masks:
        """Return the masks of a state; everything is legal unless a subclass overrides this."""
        envs = next(iter(state.values())).shape[0]
        heads = {head.name: torch.ones(envs, head.size, dtype=torch.bool) for head in cls.actions.categorical}
        if cls.actions.slot is None:
            return Masks(heads)
        uses_slot = torch.tensor(cls.actions.relevance(cls.actions.slot))
        slots = cls.actions.category(cls.actions.slot).size
        return Masks(heads, uses_slot[:, None].expand(envs, -1, slots))

    def draw(self, below: int) -> Tensor:
        """Return integers from 0 to `below` − 1, `[E]`."""
        return torch.randint(below, (self.num_envs,), generator=self.generator)

    def constant(self, value: float) -> Tensor:
        """Return the same number for every episode, `[E]`."""
        return torch.full((self.num_envs,), float(value))

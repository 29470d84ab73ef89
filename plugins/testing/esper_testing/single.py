"""One environment as Gymnasium knows them: numpy in, numpy out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium
import torch
from gymnasium.envs.registration import EnvSpec

from esper_core.contracts.protocols import Environment, MaskProvider
from esper_core.contracts.spaces import action_space, observation_space
from esper_core.policy.legality import neutral
from esper_testing.legality import made_legal

if TYPE_CHECKING:
    from esper_core.contracts.protocols import State


class SingleEnvironment(gymnasium.Env[dict[str, Any], dict[str, Any]]):
    """A row of an environment of ours, without the batch axis.

    An action that the masks forbid is the neutral operation. Numbers are handed on as they lie in memory, so that an
    environment which writes into what it has published comes to light.

    Args:
        environment: Has one match, whose first row is looked at; the others do what is neutral.
        masks: Says what is legal in it.
        num_slots: N.
    """

    metadata = {"render_modes": []}  # noqa: RUF012
    # A spec that claims determinism, so that Gymnasium's checker holds the environment to it.
    spec = EnvSpec(id="esper/Checked-v0")

    def __init__(self, environment: Environment, masks: MaskProvider, num_slots: int) -> None:
        self._environment, self._masks = environment, masks
        actions, state = environment.actions, environment.state_spec
        self.action_space = action_space(actions)
        self.observation_space = observation_space(state, num_slots, len(actions.ops))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start a new episode; returns observation and info, without the time it took."""
        super().reset(seed=seed)
        self._state, info = self._environment.reset(seed=seed, options=options)
        return self._first(self._state), _timeless(info)

    def step(self, action: dict[str, Any]) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Take one step with an index or numbers per head."""
        wanted = {name: torch.as_tensor(value).unsqueeze(0) for name, value in action.items()}
        spec, rows = self._environment.actions, self._environment.num_envs
        everyone = neutral(spec, rows)
        wanted = {name: torch.cat([value, everyone[name][1:]]) for name, value in wanted.items()}
        legal = made_legal(spec, self._masks(self._state), wanted)
        self._state, reward, terminated, truncated, info = self._environment.step(legal)
        ended = bool(terminated[0]), bool(truncated[0])
        return self._first(self._state), float(reward[0]), *ended, _timeless(info)

    def close(self) -> None:
        """Close the environment within."""
        self._environment.close()

    def _first(self, state: State) -> dict[str, Any]:
        rows = {name: value[0].numpy() for name, value in state.items()}
        # What is bool in a state is int8 in a Box; a view shares its memory.
        return {name: row.view("int8") if row.dtype == bool else row for name, row in rows.items()}


def _timeless(info: dict[str, Any]) -> dict[str, Any]:
    """Return what was told, in numpy, without the time it took."""
    told = ((name, value) for name, value in info.items() if name != "seconds")
    return {name: value.numpy() if isinstance(value, torch.Tensor) else value for name, value in told}

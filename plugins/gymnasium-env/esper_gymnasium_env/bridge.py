"""What a Gymnasium environment shows as the state, and the heads' indices as its actions. No environment is held."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from attrs import define
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from esper_core.contracts.errors import PluginError, UserError
from esper_core.contracts.foreign import described
from esper_gymnasium_env.legality import MASK, Legality, is_masked, seen_space
from esper_gymnasium_env.scaling import Scaling, split_rows

_logger = logging.getLogger(__name__)

State = dict[str, Tensor]


@define
class GymnasiumBridge:
    """Translates both ways, for the environment `gymnasium` and for whoever asks its policies with `Player.predict`.

    Attributes:
        owner: How messages name the environment.
        space, actions: Its spaces, as it declares them.
        scaling, legality: How what it shows and its masks are read.
        device: torch device of states.
        needs_masks: What is legal is said by `info` or by the environment itself.
    """

    owner: str
    space: gymnasium.Space[Any]
    actions: spaces.Discrete | spaces.MultiDiscrete
    scaling: Scaling
    legality: Legality
    device: str
    needs_masks: bool = False
    _warned: bool = False

    def row(self, observation: Any) -> NDArray[np.float32]:
        """Return the row `[D]` of one observation; raises ValueError or TypeError for one of another space."""
        values = self.scaling.read(observation)
        self._warn_outside(values)
        return self.scaling(values)

    def state(self, rows: NDArray[np.float32], legal: NDArray[np.bool_]) -> State:
        """Return the state of rows `[E, D]`, and of what is legal, `[E, Σ K]`; both are copied."""
        observation, mask = (torch.from_numpy(values.copy()).to(self.device) for values in (rows, legal))
        return {"observation": observation, MASK: mask}

    def to_state(self, observations: Any, action_masks: Any = None) -> tuple[State, bool]:
        """Return the state `[E, ...]` of a batch of E observations, or of one, and whether it is a batch.

        Args:
            observations: One value of the environment's observation space, or a batch: leaves `[E, *shape]`.
            action_masks: One mask per observation, each in any form that an environment may give; None where
                observations hold them, or everything is legal.

        Raises:
            UserError: they do not fit the environment, or masks are missing.
        """
        inside = is_masked(self.space) and isinstance(observations, Mapping) and MASK in observations
        space = self.space if inside else seen_space(self.space)
        try:
            found, batched = split_rows(space, observations)
            rows = np.stack([self.row(observation) for observation in found])
            if not np.isfinite(rows).all():
                raise ValueError("an entry is NaN or infinite")
        except Exception as error:
            raise UserError(
                f"{self.owner} has other observations than these, one or a batch of {space}: {described(error)}.",
                hint="Pass the first of what reset() of an environment returns, or what that of a VecEnv returns.",
            ) from error
        if action_masks is not None:
            said = action_masks if batched else [action_masks]
        elif inside:
            said = [observation[MASK] for observation in found]
        elif self.needs_masks or is_masked(self.space):
            raise UserError(
                f"{self.owner} says what is legal beside its observations, and no action masks are given.",
                hint='Pass action_masks=, such as info["action_mask"] or env.action_masks(), one per observation; '
                "evaluate_policy of sb3_contrib.common.maskable.evaluation passes them.",
            )
        else:
            said = [None] * len(found)
        return self.state(rows, self._read_masks(said, len(found))), batched

    def to_actions(self, actions: Mapping[str, Tensor]) -> NDArray[Any]:
        """Return the environment's actions `[E, *shape]` for indices, int64 `[E]` per head."""
        heads = torch.stack([actions[name] for name in self.legality.actions.names], dim=-1).cpu().numpy()
        found = heads.reshape(len(heads), *(self.actions.shape or ())) + self.actions.start
        return found.astype(self.actions.dtype)

    def _read_masks(self, said: Any, count: int) -> NDArray[np.bool_]:
        if not isinstance(said, Sequence | np.ndarray) or len(said) != count:
            found = len(said) if isinstance(said, Sequence | np.ndarray) else f"a {type(said).__name__}"
            raise UserError(f"The action masks of {count} observations are {found}.", hint="Pass one per observation.")
        try:
            return np.stack([self.legality.legal(mask) for mask in said])
        except PluginError as error:
            raise UserError(error.message, hint="Pass one mask per observation.") from error

    def _warn_outside(self, values: NDArray[np.float64]) -> None:
        """Warn once of an observation outside its bounds."""
        found = None if self._warned else self.scaling.outside(values)
        if found is None:
            return
        self._warned, scaling = True, self.scaling
        _logger.warning(
            "%s returned %g in entry %d of its observation, whose bounds are %g and %g. Values outside count as the "
            "nearest bound.",
            self.owner,
            values[found],
            scaling.chosen[found],
            scaling.bottom[found],
            scaling.top[found],
        )

"""What a Gymnasium environment shows as the state, and the heads' indices as its actions. No environment is held."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import torch
from attrs import define
from numpy.typing import NDArray
from torch import Tensor

from esper_core.contracts.errors import PluginError, UserError
from esper_core.contracts.foreign import described
from esper_gymnasium_env.actions import Actions
from esper_gymnasium_env.legality import MASK, Legality, is_masked, seen_space
from esper_gymnasium_env.observing import Reader, split_rows
from esper_gymnasium_env.scaling import Scaling

_logger = logging.getLogger(__name__)

State = dict[str, Tensor]


@define
class GymnasiumBridge:
    """Translates both ways, for the environment `gymnasium` and for whoever asks its policies with `Player.predict`.

    Attributes:
        owner: How messages name the environment.
        space: Its observations, as it declares them.
        actions, reader, legality: How its actions are made, and how what it shows and its masks are read.
        scaling: How what it shows is scaled; None shows it as it is.
        device: torch device of states.
        needs_masks: What is legal is said by `info` or by the environment itself.
    """

    owner: str
    space: gymnasium.Space[Any]
    actions: Actions
    reader: Reader
    legality: Legality
    scaling: Scaling | None
    device: str
    needs_masks: bool = False
    _warned: bool = False

    def shown(self, rows: NDArray[np.float64]) -> NDArray[Any] | None:
        """Return what is published of entries `[n, D]`; None where one is not finite.

        An entry outside its bounds is warned of once.
        """
        if self.scaling is None:
            return rows if np.isfinite(rows).all() else None
        clipped = self.scaling.clipped(rows)
        if not (clipped == rows).all():
            if not np.isfinite(rows).all():
                return None
            self._warn_outside(rows, self.scaling)
        return self.scaling(clipped)

    def state(self, shown: NDArray[Any], legal: NDArray[np.bool_], images: NDArray[np.uint8] | None) -> State:
        """Return the state of what is published, `[E, D]`, of what is legal, `[E, Σ K]`, and copies of images."""
        state = {"observation": self.tensor(shown), MASK: self.tensor(legal)}
        if images is not None and self.reader.images is not None:
            state |= {name: self.tensor(values) for name, values in self.reader.images.arrays(images).items()}
        return state

    def tensor(self, values: NDArray[Any]) -> Tensor:
        """Return an array as a tensor on the device of states; on the CPU its memory is shared."""
        found = torch.from_numpy(values)
        return found if self.device == "cpu" else found.to(self.device)

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
            shown, look = self.shown(self.reader(found)), self.reader.images
            images = None if look is None else look(found)
            if shown is None or (look is not None and images is not None and look.not_finite(images)):
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
        legal = self._read_masks(said, len(found))
        return self.state(shown, legal, images), batched

    def to_actions(self, actions: Mapping[str, Tensor]) -> NDArray[Any]:
        """Return the environment's actions `[E, *shape]` for int64 `[E]` or float32 `[E, numbers]` per head."""
        return self.actions.batch(self.actions.arrays(actions))

    def _read_masks(self, said: Any, count: int) -> NDArray[np.bool_]:
        if not isinstance(said, Sequence | np.ndarray) or len(said) != count:
            found = len(said) if isinstance(said, Sequence | np.ndarray) else f"a {type(said).__name__}"
            raise UserError(f"The action masks of {count} observations are {found}.", hint="Pass one per observation.")
        try:
            return self.legality.table(list(said))
        except PluginError as error:
            raise UserError(error.message, hint="Pass one mask per observation.") from error

    def _warn_outside(self, rows: NDArray[np.float64], scaling: Scaling) -> None:
        found = None if self._warned else scaling.outside(rows)
        if found is None:
            return
        self._warned, entry = True, found[1]
        _logger.warning(
            "%s returned %g in entry %d of its observation, whose bounds are %g and %g. Values outside count as the "
            "nearest bound.",
            self.owner,
            rows[found],
            self.reader.chosen[entry],
            scaling.bottom[entry],
            scaling.top[entry],
        )

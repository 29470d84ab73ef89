"""The features `gymnasium`: the observation alone, as it is or normalised, and images as they are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from esper_core import StateField
from esper_core.contracts.protocols import BuildContext, Features
from esper_gymnasium_env.describe import FARTHEST, describe_features
from esper_gymnasium_env.images import fields_of
from esper_gymnasium_env.moments import Moments


class GymnasiumFeatures:
    """Kind `features`. The mask is not part of it: it does not say which legal action is good.

    Attributes:
        moments: Statistics that observations are normalised with, where the environment shows them as they are. The
            environment that a policy is trained in keeps them up to date; a player's stay as its checkpoint has them.
    """

    def __init__(self, config: None, context: BuildContext) -> None:
        self.schema = describe_features(config, context.slots, context.actions, context.state_spec)
        self._dtype = context.dtype
        self._images = fields_of(context.state_spec)
        raw = not math.isfinite(context.state_spec["observation"].high)
        self.moments = Moments(self.schema.dim) if raw else None

    def __call__(self, state: Mapping[str, Tensor]) -> Features:
        """Map a state with `observation [E, D]` to `obs [E, D]`, and images `[E, *shape]` to arrays."""
        seen = state["observation"]
        if self.moments is not None:
            mean, deviation = (
                torch.from_numpy(known).to(seen.device) for known in (self.moments.mean, self.moments.deviation)
            )
            seen = ((seen - mean) / deviation).clamp(-FARTHEST, FARTHEST)
        if not self._images:
            return Features(seen.to(self._dtype), {})
        return Features(seen.to(self._dtype), {}, {entry.name: self._picture(state, entry) for entry in self._images})

    def _picture(self, state: Mapping[str, Tensor], entry: StateField) -> Tensor:
        """Return an image; floats with bounds beyond −1..1 are divided by the farther one."""
        image, farthest = state[entry.name], max(abs(entry.low), abs(entry.high))
        return image / farthest if entry.dtype == "float" and 1 < farthest < math.inf else image

    def state(self) -> dict[str, Any]:
        """Return the statistics."""
        return {} if self.moments is None else self.moments.state()

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take the statistics of a checkpoint; raises KeyError or ValueError where they do not fit."""
        if self.moments is not None:
            self.moments.load_state(state)

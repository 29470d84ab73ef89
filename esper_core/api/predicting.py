"""What `Player.predict` is asked with: the bridge to observations of another library, and where episodes begin."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from esper_core.contracts.errors import UserError
from esper_core.contracts.foreign import Owner
from esper_core.contracts.protocols import Bridge, Bridged, Environment


def open_bridge(environment: Environment, owner: Owner) -> Bridge:
    """Return the bridge of an environment that was just built, and close it.

    Raises:
        UserError: it has none.
        PluginError: it fails.
    """
    try:
        if not isinstance(environment, Bridged):
            raise UserError(
                f"predict needs a policy that was trained in a Gymnasium environment, and {owner} is none.",
                hint="Its policies act on states: use player.reset and player.act.",
            )
        with owner.doing("saying how its observations are read"):
            return environment.bridge()
    finally:
        environment.close()


def take_starts(episode_start: Any, begins: Tensor) -> Tensor:
    """Return which episodes start, bool `[E]` like `begins`; of one episode it may be a plain bool."""
    try:
        starts = np.asarray(episode_start).astype(np.bool_).reshape(begins.shape)
    except (TypeError, ValueError) as error:
        found = list(np.shape(episode_start))
        raise UserError(f"episode_start is {found}, not bool [{len(begins)}], one per observation.") from error
    return torch.as_tensor(starts, device=begins.device)

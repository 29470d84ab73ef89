"""What growth's tasks, hosts and blueprints are told about their surroundings, where no plan says it."""

from __future__ import annotations

import torch

from esper_core.contracts.protocols import BuildContext
from esper_core.contracts.slots import SlotConfig
from esper_growth.config import GrowthConfig
from esper_growth.describe import describe


def surroundings(slots: int, envs: int) -> BuildContext:
    """Return the context for so many slots and environments, in float32 on the CPU."""
    grid = SlotConfig.for_grid(1, slots)
    known = describe(GrowthConfig(), grid)
    return BuildContext(
        slots=grid,
        actions=known.actions,
        state_spec=known.state,
        feature_schema=None,
        latent_dim=0,
        gamma=1.0,
        num_envs=envs,
        seed=0,
        device="cpu",
        dtype=torch.float32,
    )

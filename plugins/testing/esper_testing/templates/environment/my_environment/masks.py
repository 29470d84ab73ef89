"""The masks of `my-environment`: a machine can be repaired once it is worn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from esper_core.contracts.protocols import BuildContext, Masks

if TYPE_CHECKING:
    from esper_core.contracts.protocols import State


class MyEnvironmentMasks:
    """Kind `masks`. WAIT is always legal, REPAIR where some machine is worn."""

    def __init__(self, config: None, context: BuildContext) -> None:
        # A spec without a config class: there is nothing to set.
        pass

    def __call__(self, state: State) -> Masks:
        """Map a state of `[E, ...]` tensors to Masks: `op [E, 2]`, `slot [E, N]`, `slot_given_op [E, 2, N]`."""
        worn = state["worn"]
        repairable = worn.any(-1)
        return Masks(
            heads={"op": torch.stack([torch.ones_like(repairable), repairable], dim=-1), "slot": worn},
            # Which slots each operation can be done to: WAIT needs none, REPAIR a worn one.
            slot_given_op=torch.stack([torch.zeros_like(worn), worn], dim=1),
        )

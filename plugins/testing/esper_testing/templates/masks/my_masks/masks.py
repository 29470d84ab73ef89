"""The masks `my-masks`: growth's own, less the germination of too many seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from esper_core.contracts.protocols import BuildContext, Masks
from esper_growth.actions import Op
from esper_growth.masks import LifecycleMasks
from esper_growth.stages import HAS_MODULE, Stage
from my_masks.config import MyMasksConfig

if TYPE_CHECKING:
    from esper_core.contracts.protocols import State


class MyMasks:
    """Kind `masks` for the environment `growth`.

    What is legal is a fact of the environment, so this begins with the environment's own masks and only takes away:
    whatever is left is sound. WAIT is never taken, so something always is left.
    """

    def __init__(self, config: MyMasksConfig, context: BuildContext) -> None:
        self._lifecycle = LifecycleMasks(None, context)
        self._most_growing = config.most_growing
        self._growing = torch.tensor([s in HAS_MODULE and s != Stage.FOSSILIZED for s in Stage], device=context.device)

    def __call__(self, state: State) -> Masks:
        """Map a state of `[E, N]` tensors to Masks: `op [E, O]`, `slot [E, N]`, `slot_given_op [E, O, N]`, others."""
        masks = self._lifecycle(state)
        assert masks.slot_given_op is not None, "growth's actions have a slot head"
        full = self._growing[state["stage"]].sum(-1) >= self._most_growing
        slots = masks.slot_given_op.clone()
        slots[:, Op.GERMINATE] &= ~full[:, None]
        return Masks(masks.heads | _unions(slots), slots)


def _unions(slots: Tensor) -> dict[str, Tensor]:
    """Return the masks of operation and slot that belong to the legal pairs `slots [E, O, N]`."""
    ops = slots.any(dim=2)
    ops[:, Op.WAIT] = True  # the one operation that needs no slot
    return {"op": ops, "slot": slots.any(dim=1)}

"""Actions and losses that the environment refuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.errors import EsperError
from esper_growth.actions import Op
from esper_growth.lifecycle import SlotTable, legal_slots
from esper_growth.stages import Stage


def check_legal(
    actions: Mapping[str, Tensor],
    slots: SlotTable,
    active: Tensor,
    *,
    auto_advance: bool,
    blueprints: Sequence[bool],
    spec: ActionSpec,
    slot_ids: Sequence[str],
) -> None:
    """Refuse actions, int64 `[E]` per head, that are illegal in an active environment, bool `[E]`.

    Raises:
        EsperError: one is.
    """
    op, slot, blueprint = actions["op"], actions["slot"], actions["blueprint"]
    auto = torch.full_like(active, auto_advance)
    legal = legal_slots(slots.stage, slots.age, slots.mode, auto)[torch.arange(len(op)), op, slot]
    legal &= (op != Op.GERMINATE) | torch.tensor(blueprints)[blueprint]
    illegal = active & ~legal & (op != Op.WAIT)
    if illegal.any():
        env = int(illegal.nonzero()[0])
        name, slot_id = Op(int(op[env])).name, slot_ids[int(slot[env])]
        stage = Stage(int(slots.stage[env, int(slot[env])])).name
        label = spec.category("blueprint").labels[int(blueprint[env])]
        raise EsperError(
            f"Environment {env}: {name} on slot {slot_id} ({stage}, blueprint {label}) is illegal.",
            hint="Choose among the actions that the mask provider allows.",
        )


def check_finite(loss: Tensor, active: Tensor, instances: Sequence[int], epoch: Tensor) -> None:
    """Refuse validation losses `[E]` of active environments that are not finite; epochs trained before are `[E]`.

    Raises:
        EsperError: one is not.
    """
    diverged = active & ~loss.isfinite()
    if diverged.any():
        env = int(diverged.nonzero()[0])
        raise EsperError(
            f"The host of environment {env} (instance {instances[env]}) diverged: its validation loss is "
            f"{float(loss[env])} after epoch {int(epoch[env]) + 1}.",
            hint="Lower environment.host_lr or set environment.max_grad_norm.",
        )

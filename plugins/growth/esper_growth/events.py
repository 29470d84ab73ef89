"""The events of seeds and episodes, one dict each."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from esper_growth.actions import Algorithm
from esper_growth.lifecycle import Change, SlotTable
from esper_growth.stages import HAS_MODULE, Stage


def seed_event(
    change: Change, slots: SlotTable, parameters: Tensor, *, step: int, slot_id: str, blueprint: str
) -> dict[str, Any]:
    """Return the event of a change of a slot.

    Args:
        change: The change.
        slots: The slots after it.
        parameters: Of all seeds, int64 `[E, N]`.
        step: Epochs trained before it.
        slot_id: The slot's name.
        blueprint: Label of its seed, also of one that is no longer there.
    """
    env, slot, kind = change
    stage = int(slots.stage[env, slot])
    alive = stage in HAS_MODULE
    return {
        "env": env,
        "step": step,
        "type": kind,
        "slot": slot_id,
        "blueprint": blueprint,
        "stage": Stage(stage).name,
        "alpha": float(slots.alpha[env, slot]),
        "blend": Algorithm(int(slots.algorithm[env, slot])).name if alive else None,
        "parameters": int(parameters[env, slot]) if alive else None,
    }


def episode_event(env: int, slots: SlotTable, parameters: Tensor, **facts: Any) -> dict[str, Any]:
    """Return the event of the end of an episode.

    Args:
        env: The environment.
        slots: Its slots at the end, among others'.
        parameters: Of all seeds, int64 `[E, N]`.
        facts: More about it, among them `epochs`, and the accuracies `committed`, `static` and `full`.
    """
    fossil = slots.stage[env] == Stage.FOSSILIZED
    epochs, committed, static, full = (facts.pop(name) for name in ("epochs", "committed", "static", "full"))
    return {
        "env": env,
        "step": epochs - 1,
        "type": "episode",
        "length": epochs,
        "gain": committed - static,
        "committed_accuracy": committed,
        "static_accuracy": static,
        "full_accuracy": full,
        "uncommitted_gap": full - committed,
        "fossils": float(fossil.sum()),
        "added_parameters": float(parameters[env][fossil].sum()),
        **facts,
    }

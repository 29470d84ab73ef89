"""Actions, state and horizon, without torch: plans are made from this before anything is built."""

from __future__ import annotations

from esper_core import ActionSpec, EnvironmentDescription, Head, SlotConfig, StateField, StateSpec
from my_environment.config import MyEnvironmentConfig

OPS = WAIT, REPAIR = ("WAIT", "REPAIR")


def describe(config: MyEnvironmentConfig, slots: SlotConfig) -> EnvironmentDescription:
    """Return what is known of the environment before it is built; every slot is a machine."""
    return EnvironmentDescription(
        actions=ActionSpec(
            # The slot matters to REPAIR alone: the slot of a WAIT is neither learned from nor counted.
            heads=(Head("op", OPS), Head("slot", slots.slot_ids, ops=(REPAIR,))),
            root="op",
            slot="slot",
        ),
        state=StateSpec(
            (
                StateField("clock", ("E",), "float", "fraction", "how much of the episode is over"),
                StateField("wear", ("E", "N"), "float", "fraction", "wear of the machine; it stands still at 1"),
                StateField("worn", ("E", "N"), "bool", "", "the machine may be repaired"),
            )
        ),
        horizon=config.epochs,
    )

"""The life of a seed as data: stages, allowed transitions, and what each stage means for the forward pass."""

from __future__ import annotations

from enum import IntEnum


class Stage(IntEnum):
    """Stages with contiguous indices, the order of the stage one-hot."""

    UNKNOWN = 0
    DORMANT = 1
    GERMINATED = 2
    TRAINING = 3
    BLENDING = 4
    HOLDING = 5
    FOSSILIZED = 6
    PRUNED = 7
    EMBARGOED = 8
    RESETTING = 9


class AlphaMode(IntEnum):
    """What the alpha controller is doing."""

    HOLD = 0
    UP = 1
    DOWN = 2


TRANSITIONS: dict[Stage, tuple[Stage, ...]] = {
    Stage.UNKNOWN: (Stage.DORMANT,),
    Stage.DORMANT: (Stage.GERMINATED,),
    Stage.GERMINATED: (Stage.TRAINING, Stage.PRUNED),
    Stage.TRAINING: (Stage.BLENDING, Stage.PRUNED),
    Stage.BLENDING: (Stage.HOLDING, Stage.PRUNED),
    Stage.HOLDING: (Stage.FOSSILIZED, Stage.BLENDING, Stage.PRUNED),
    Stage.FOSSILIZED: (),
    Stage.PRUNED: (Stage.EMBARGOED,),
    Stage.EMBARGOED: (Stage.RESETTING,),
    Stage.RESETTING: (Stage.DORMANT,),
}

HAS_MODULE = (Stage.GERMINATED, Stage.TRAINING, Stage.BLENDING, Stage.HOLDING, Stage.FOSSILIZED)
"""Stages in which the slot holds a module."""

IN_FORWARD = (Stage.TRAINING, Stage.BLENDING, Stage.HOLDING, Stage.FOSSILIZED)
"""Stages in which the module takes part in the forward pass (at TRAINING without changing its value)."""

COOLDOWN: dict[Stage, int] = {Stage.PRUNED: 1, Stage.EMBARGOED: 5, Stage.RESETTING: 1}
"""Ticks spent in each stage between a prune and an empty slot."""

TRAIN_EPOCHS_BEFORE_BLENDING = 2
"""Gate G2."""

MIN_PRUNE_AGE = 5
"""Epochs a seed must have lived before PRUNE is legal."""

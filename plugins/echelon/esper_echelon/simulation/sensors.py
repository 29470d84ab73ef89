"""How well sensors work."""

from __future__ import annotations

import numpy as np

from esper_echelon.simulation.mechs import Flags, Floats, Mechs
from esper_echelon.simulation.tables import ECCM_GAIN, EWAR_RANGE, JAM_LOSS, QUALITY_RANGE


def quality(mechs: Mechs) -> Floats:
    """Return how well sensors work, `[M, A]`: 1, less where enemies jam, more near friends who counter it.

    Of several emitters the nearest counts. With reactors shut down, and for the dead, it is the least there is.
    """
    worst, best = QUALITY_RANGE
    gain = ECCM_GAIN * _nearness(mechs, mechs.eccm, mechs.roster.allied)
    loss = JAM_LOSS * _nearness(mechs, mechs.ecm, ~mechs.roster.allied)
    return np.where(mechs.alive & ~mechs.shut_down, np.clip(1 - loss + gain, worst, best), worst)


def _nearness(mechs: Mechs, emits: Flags, reached: Flags) -> Floats:
    """Return how near the nearest emitter is to each, from 1 (here) to 0 (EWAR_RANGE away); `reached` `[A, A]`."""
    emits = emits & mechs.alive
    emitters = np.flatnonzero(emits.any(0))
    if not len(emitters):
        return np.zeros(emits.shape)
    away = np.sqrt(square_distance(mechs.position, mechs.position[:, emitters]))
    near = np.maximum(1 - away / EWAR_RANGE, 0)
    near *= emits[:, None, emitters] & reached[:, emitters]
    nearest: Floats = near.max(2)
    return nearest


def square_distance(here: Floats, there: Floats) -> Floats:
    """Return squares of distances on the ground, `[M, A, B]`."""
    x = here[:, :, None, 0] - there[:, None, :, 0]
    y = here[:, :, None, 1] - there[:, None, :, 1]
    x *= x
    y *= y
    x += y
    return x

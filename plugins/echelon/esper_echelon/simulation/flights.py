"""Projectiles in the air."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from attrs import define, fields
from numpy.typing import NDArray

from esper_echelon.simulation.mechs import Flags, Floats


@define(eq=False)
class Flights:
    """All projectiles of all matches, a row each, those of a match in the order in which they were fired.

    Attributes:
        match, source, target: int64; who fired at whom, −1 for smoke, which is fired at nobody.
        weapon: int64, position in `esper_echelon.simulation.weaponry.WEAPONS`.
        position, velocity: `[P, 3]`.
        left: Seconds that it flies yet.
    """

    match: NDArray[np.int64]
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    weapon: NDArray[np.int64]
    position: Floats
    velocity: Floats
    left: Floats

    @classmethod
    def none(cls) -> Self:
        """Return an empty sky."""
        match, source, target, weapon = (np.zeros(0, np.int64) for _ in range(4))
        return cls(match, source, target, weapon, np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0))

    def __len__(self) -> int:
        return len(self.match)

    def add(self, *rows: Any) -> None:
        """Let projectiles start: columns in the order of the attributes."""
        for name, more in zip(_COLUMNS, rows, strict=True):
            setattr(self, name, np.concatenate((getattr(self, name), more)))

    def keep(self, those: Flags) -> None:
        """Let all others vanish."""
        if not those.all():
            for name in _COLUMNS:
                setattr(self, name, getattr(self, name)[those])

    def state(self) -> dict[str, Any]:
        """Return the columns, match by match, as JSON can hold them and numbers survive bit for bit."""
        order = np.argsort(self.match, kind="stable")
        return {name: getattr(self, name)[order].tolist() for name in _COLUMNS}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where `state()` was taken."""
        for name in _COLUMNS:
            now = getattr(self, name)
            setattr(self, name, np.array(state[name], now.dtype).reshape(-1, *now.shape[1:]))


_COLUMNS = tuple(part.name for part in fields(Flights))

"""The smoke over the matches."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from attrs import define
from numpy.typing import NDArray

from esper_echelon.simulation.tables import SMOKE_RADIUS, SMOKE_SECONDS

_SLOTS = 8
_GONE = 1e-9
"""Seconds that rounding may leave of a cloud that is gone."""

_Floats = NDArray[np.float64]


@define(eq=False)
class Clouds:
    """Clouds of M matches, in arrays `[M, K]`; K grows when a match has more of them.

    Attributes:
        x, y: Centre, metres from the centre of the map.
        left: Seconds that a cloud stays; 0 where none is.
    """

    x: _Floats
    y: _Floats
    left: _Floats

    @classmethod
    def none(cls, matches: int) -> Self:
        """Return clear skies."""
        return cls(*(np.zeros((matches, _SLOTS)) for _ in range(3)))

    def clear(self, match: int) -> None:
        """Take all clouds away from a match."""
        self.left[match] = 0

    def add(self, match: NDArray[np.int64], xy: _Floats) -> None:
        """Let fresh clouds appear: match `[R]`, centre `[R, 2]`; several in one match too."""
        if not len(match):
            return
        order = np.argsort(match, kind="stable")
        match, xy = match[order], xy[order]
        rank = np.arange(len(match)) - np.searchsorted(match, match)
        while (rank >= np.count_nonzero(self.left[match] <= 0, 1)).any():
            self.x, self.y, self.left = (
                np.pad(part, ((0, 0), (0, part.shape[1]))) for part in (self.x, self.y, self.left)
            )
        free = np.argsort(self.left[match] > 0, axis=1, kind="stable")
        slot = np.take_along_axis(free, rank[:, None], 1)[:, 0]
        self.x[match, slot], self.y[match, slot] = xy[:, 0], xy[:, 1]
        self.left[match, slot] = SMOKE_SECONDS

    def pass_time(self, seconds: float | _Floats) -> None:
        """Let clouds grow older, by as much everywhere or by `[M, 1]`."""
        np.subtract(self.left, seconds, out=self.left)
        self.left[self.left < _GONE] = 0

    def between(self, match: NDArray[np.int64], start: _Floats, end: _Floats) -> NDArray[np.bool_]:
        """Return whether smoke lies between two points, or around one of them: match `[R]`, points `[R, 2]`.

        The same for the way back, and for the opposite points under opposite clouds, to the last bit.
        """
        hidden = np.zeros(len(match), np.bool_)
        smoky = np.flatnonzero(self.left.max(1)[match] > 0)
        if not len(smoky):
            return hidden
        used = np.flatnonzero(self.left.max(0) > 0)[-1] + 1
        match, start, end = match[smoky], start[smoky], end[smoky]
        middle, half = (start + end) / 2, (end - start) / 2
        square = half[:, 0] * half[:, 0] + half[:, 1] * half[:, 1]
        x, y = self.x[match, :used] - middle[:, :1], self.y[match, :used] - middle[:, 1:]
        along = (x * half[:, :1] + y * half[:, 1:]) / np.where(square > 0, square, 1.0)[:, None]
        along = np.clip(along, -1, 1)
        x -= along * half[:, :1]
        y -= along * half[:, 1:]
        near = (x * x + y * y < SMOKE_RADIUS**2) & (self.left[match, :used] > 0)
        hidden[smoky] = near.any(1)
        return hidden

    def state(self) -> dict[str, Any]:
        """Return the clouds, as JSON can hold them and numbers survive bit for bit."""
        match, slot = np.nonzero(self.left > 0)
        # Where a cloud is kept depends on which were there before it; that is nobody's business.
        order = np.lexsort((self.y[match, slot], self.x[match, slot], self.left[match, slot], match))
        match, slot = match[order], slot[order]
        parts = {"x": self.x, "y": self.y, "left": self.left}
        return {"match": match.tolist(), **{name: part[match, slot].tolist() for name, part in parts.items()}}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where `state()` was taken."""
        self.left[...] = 0
        match = np.array(state["match"], np.int64)
        self.add(match, np.stack((np.array(state["x"], float), np.array(state["y"], float)), -1))
        self.left[self.left > 0] = np.array(state["left"], float)

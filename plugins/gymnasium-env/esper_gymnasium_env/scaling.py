"""Scaling of observations to numbers from −1 to 1, by the bounds that they are declared with; or none."""

from __future__ import annotations

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

WIDEST = 2.0**24
"""Wider ranges count as unbounded: mapped to −1..1, neighbouring integers would be one number in float32."""

FLOAT16_MAX = float(np.finfo(np.float16).max)
"""Means "no bound" in float16. The largest numbers of wider types lie beyond `WIDEST` in any case."""

HUGE = float(np.finfo(np.float64).max)

FARTHEST_SHOWN = float(np.finfo(np.float32).max)
"""What is not scaled may be as far from 0 as float32 can say."""

ROUNDING = 1e-4
"""Values outside their bounds by up to this share of half the range are rounding."""


@frozen(eq=False)
class Scaling:
    """How the entries of observations become the state's `observation`.

    Every entry is scaled by its own bounds:

    * within −1..1: as it is; wider: mapped to −1..1 in proportion.
    * unbounded on a side, or with bounds that are too wide: d / (1 + |d|), where d is its distance from the value
      nearest to 0 that it can take. That keeps the order and needs no guess at its size.
    * equal bounds: 0, since a constant carries no information.

    Values outside their bounds count as the nearest bound.

    Attributes:
        bottom, top: Bounds of the entries as declared, float64 `[D]`.
        unbounded: Which of them count as unbounded, bool `[D]`.
        centre, reach: A bounded value becomes (value − centre) / reach, float64 `[D]`.
        low, high: What scaled values lie between: 0, or −1 if one is ever negative, and 1.
    """

    bottom: NDArray[np.float64]
    top: NDArray[np.float64]
    unbounded: NDArray[np.bool_]
    centre: NDArray[np.float64]
    reach: NDArray[np.float64]
    low: float
    high: float
    _least: NDArray[np.float64]
    _most: NDArray[np.float64]
    _moved: bool
    _squeeze: NDArray[np.float64] | None

    @classmethod
    def of(cls, bottom: NDArray[np.float64], top: NDArray[np.float64]) -> Scaling:
        """Return the scaling of entries with these bounds, `[D]`."""
        with np.errstate(over="ignore", invalid="ignore"):
            span = top - bottom
            middle = bottom + span / 2
        constant, stays = span == 0, (bottom >= -1) & (top <= 1)
        unbounded = (span > WIDEST) | (bottom == -FLOAT16_MAX) | (top == FLOAT16_MAX)
        mapped = ~(unbounded | constant | stays)
        nearest = np.where(unbounded | constant, np.clip(0.0, bottom, top), 0.0)
        centre = np.where(mapped, middle, nearest)
        negative = mapped | (bottom < centre)
        return cls(
            bottom=bottom,
            top=top,
            unbounded=unbounded,
            centre=centre,
            reach=np.where(mapped, span / 2, 1.0),
            low=-1.0 if bool(negative.any()) else 0.0,
            high=1.0,
            least=np.maximum(bottom, -HUGE),
            most=np.minimum(top, HUGE),
            moved=bool(mapped.any() | centre.any()),
            squeeze=unbounded.astype(np.float64) if unbounded.any() else None,
        )

    @classmethod
    def none(cls, entries: int) -> Scaling:
        """Return what shows entries `[D]` as they are."""
        farthest = np.full(entries, FARTHEST_SHOWN)
        return cls(
            bottom=-farthest,
            top=farthest,
            unbounded=np.zeros(entries, np.bool_),
            centre=np.zeros(entries),
            reach=np.ones(entries),
            low=-FARTHEST_SHOWN,
            high=FARTHEST_SHOWN,
            least=-farthest,
            most=farthest,
            moved=False,
            squeeze=None,
        )

    def outside(self, values: NDArray[np.float64]) -> tuple[int, int] | None:
        """Return row and position of the first of the values `[n, D]` that lies outside its bounds, or None."""
        slack = ROUNDING * self.reach
        found = np.argwhere((values < self.bottom - slack) | (values > self.top + slack))
        return (int(found[0, 0]), int(found[0, 1])) if found.size else None

    def clipped(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values `[n, D]` within their bounds, newly made; they are the same if these were finite and within."""
        return np.minimum(np.maximum(values, self._least), self._most)

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the rows `[n, D]` of what `clipped` returned, which is overwritten."""
        if self._moved:
            values -= self.centre
            values /= self.reach
        if self._squeeze is not None:
            size = np.abs(values)
            size *= self._squeeze
            size += 1.0
            values /= size
        return values.astype(np.float32)

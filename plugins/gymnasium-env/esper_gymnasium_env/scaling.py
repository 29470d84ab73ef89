"""From an observation of any shape to a row of numbers from −1 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from attrs import frozen
from gymnasium.spaces.utils import flatten, flatten_space
from numpy.typing import NDArray


@frozen(eq=False)
class Scaling:
    """How observations become the state's `observation`.

    Categories are one-hot. An entry with bounds within −1..1 stays as it is, one with wider bounds is mapped to −1..1
    in proportion, and one without bounds becomes x / (1 + |x|), which loses no order and needs no guess at its size.

    Attributes:
        space: The observations.
        chosen: Entries of the flattened observation that are kept, int64 `[D]`.
        unbounded: Which of them lack a bound, bool `[D]`.
        centre, reach: Middle and half of the range that is mapped, float64 `[D]`; 0 and 1 where an entry stays.
        low: Smallest number that comes out: 0 where nothing is ever negative, else −1.
    """

    space: gymnasium.Space[Any]
    chosen: NDArray[np.int64]
    unbounded: NDArray[np.bool_]
    centre: NDArray[np.float64]
    reach: NDArray[np.float64]
    low: float

    @property
    def width(self) -> int:
        """Number of entries, D."""
        return len(self.chosen)

    @classmethod
    def of(cls, space: gymnasium.Space[Any], observe: Sequence[int]) -> Scaling:
        """Return the scaling of a space of which all entries are seen, or those named.

        Raises:
            ValueError: the space cannot be flattened, or an entry does not exist.
        """
        if not space.is_np_flattenable:
            raise ValueError(f"observations of {space} have no fixed number of entries")
        box = flatten_space(space)
        assert isinstance(box, gymnasium.spaces.Box)
        size = box.shape[0]
        beyond = [entry for entry in observe if not 0 <= entry < size]
        if beyond:
            raise ValueError(f"observe={beyond[0]} is no entry of an observation that has entries 0 to {size - 1}")
        chosen = np.array(observe or range(size), dtype=np.int64)
        low, high = (bound.astype(np.float64)[chosen] for bound in (box.low, box.high))
        unbounded = ~(np.isfinite(low) & np.isfinite(high))
        bounded = ~unbounded & ((low < -1) | (high > 1))
        bottom, top = np.where(bounded, low, -1.0), np.where(bounded, high, 1.0)
        centre, reach = bottom / 2 + top / 2, top / 2 - bottom / 2
        negative = bool((bounded | (low < 0)).any())
        return cls(space, chosen, unbounded, centre, reach, -1.0 if negative else 0.0)

    def __call__(self, observation: Any) -> NDArray[np.float32]:
        """Return the row `[D]` of an observation."""
        row = np.asarray(flatten(self.space, observation), dtype=np.float64)[self.chosen]
        row = np.where(self.unbounded, row / (1 + np.abs(row)), (row - self.centre) / self.reach)
        return row.astype(np.float32)

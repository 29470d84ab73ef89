"""Scaling of observations of any shape to a row of numbers from −1 to 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium
import numpy as np
from attrs import frozen
from gymnasium import spaces
from gymnasium.spaces.utils import flatten, flatten_space
from numpy.typing import NDArray

WIDEST = 2.0**24
"""Wider ranges count as unbounded: mapped to −1..1, neighbouring integers would be one number in float32."""

FLOAT16_MAX = float(np.finfo(np.float16).max)
"""Means "no bound" in float16. The largest numbers of wider types lie beyond `WIDEST` in any case."""

ROUNDING = 1e-4
"""Values outside their bounds by up to this share of half the range are rounding."""


@frozen(eq=False)
class Scaling:
    """How observations become the state's `observation`.

    Categories are one-hot. Every other entry is scaled by its own bounds:

    * within −1..1: as it is; wider: mapped to −1..1 in proportion.
    * unbounded on a side, or with bounds that are too wide: d / (1 + |d|), where d is its distance from the value
      nearest to 0 that it can take. That keeps the order and needs no guess at its size.
    * equal bounds: 0, since a constant carries no information.

    Values outside their bounds count as the nearest bound; infinite values become NaN.

    Attributes:
        space: The observations.
        chosen: Entries of the flattened observation that are kept, int64 `[D]`.
        bottom, top: Their bounds as declared, float64 `[D]`.
        unbounded: Which of them count as unbounded, bool `[D]`.
        origin, reach, shift: The scaled value is (value − origin) / reach + shift, float64 `[D]`.
        low: Smallest scaled value: 0 if none is ever negative, else −1.
    """

    space: gymnasium.Space[Any]
    chosen: NDArray[np.int64]
    bottom: NDArray[np.float64]
    top: NDArray[np.float64]
    unbounded: NDArray[np.bool_]
    origin: NDArray[np.float64]
    reach: NDArray[np.float64]
    shift: NDArray[np.float64]
    low: float

    @property
    def width(self) -> int:
        """Number of entries, D."""
        return len(self.chosen)

    @classmethod
    def of(cls, space: gymnasium.Space[Any], observe: Sequence[int]) -> Scaling:
        """Return the scaling of a space, of all its entries or of those named.

        Raises:
            ValueError: the space holds neither numbers nor categories, has no entries or invalid bounds, or lacks an
                entry that is named.
        """
        for leaf in _leaves(space):
            if not isinstance(leaf, spaces.Box | spaces.Discrete | spaces.MultiBinary | spaces.MultiDiscrete):
                raise ValueError(
                    f"its observations hold {leaf}; only Box, Discrete, MultiBinary and MultiDiscrete, and Tuple and "
                    "Dict of them, are supported"
                )
        box = flatten_space(space)
        assert isinstance(box, spaces.Box)
        size = box.shape[0]
        if size == 0:
            raise ValueError("its observations have no entries, so there is nothing to learn from")
        beyond = [entry for entry in observe if not 0 <= entry < size]
        if beyond:
            raise ValueError(f"observe={beyond[0]} is not an entry of an observation that has entries 0 to {size - 1}")
        chosen = np.array(observe or range(size), dtype=np.int64)
        bottom, top = (bound.astype(np.float64)[chosen] for bound in (box.low, box.high))
        for entry in np.flatnonzero((bottom == np.inf) | (top == -np.inf))[:1]:
            raise ValueError(f"entry {chosen[entry]} of its observation goes from {bottom[entry]:g} to {top[entry]:g}")
        with np.errstate(over="ignore"):
            span = top - bottom
        constant, stays = span == 0, (bottom >= -1) & (top <= 1)
        unbounded = (span > WIDEST) | (bottom == -FLOAT16_MAX) | (top == FLOAT16_MAX)
        mapped = ~(unbounded | constant | stays)
        origin = np.where(mapped, bottom, np.where(unbounded | constant, np.clip(0.0, bottom, top), 0.0))
        negative = mapped | (bottom < origin)
        return cls(
            space=space,
            chosen=chosen,
            bottom=bottom,
            top=top,
            unbounded=unbounded,
            origin=origin,
            reach=np.where(mapped, span / 2, 1.0),
            shift=np.where(mapped, -1.0, 0.0),
            low=-1.0 if bool(negative.any()) else 0.0,
        )

    def read(self, observation: Any) -> NDArray[np.float64]:
        """Return the unscaled entries `[D]` of an observation.

        Raises:
            ValueError: the observation does not fit its space, apart from bounds.
        """
        for leaf, part in _parts(self.space, observation):
            if isinstance(leaf, spaces.Discrete | spaces.MultiDiscrete):
                # Flattening would turn an unknown category into another one.
                if not _is_category(leaf, part):
                    raise ValueError(f"{part!r} is not a value of {leaf}")
            elif np.size(part) != np.prod(leaf.shape or ()):
                raise ValueError(f"{np.size(part)} entries are not a value of {leaf}")
        return np.asarray(flatten(self.space, observation), dtype=np.float64)[self.chosen]

    def outside(self, values: NDArray[np.float64]) -> int | None:
        """Return the position of the first of the values `[D]` that lies outside its bounds, or None."""
        slack = ROUNDING * self.reach
        found = np.flatnonzero((values < self.bottom - slack) | (values > self.top + slack))
        return int(found[0]) if found.size else None

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the row `[D]` of the values `[D]` that `read` returned."""
        finite = np.where(np.isfinite(values), values, np.nan)
        row = (np.clip(finite, self.bottom, self.top) - self.origin) / self.reach + self.shift
        return np.where(self.unbounded, row / (1 + np.abs(row)), row).astype(np.float32)


def split_rows(space: gymnasium.Space[Any], observations: Any) -> tuple[list[Any], bool]:
    """Return one observation of a space, or each of a batch whose leaves are `[E, *shape]`, and whether it is a batch.

    Raises:
        ValueError: neither fits the space, or the batch is empty.
    """
    fits, counts = [True, True], set()
    for leaf, part in _parts(space, observations):
        shape, found = tuple(leaf.shape or ()), np.shape(part)
        fits = [fits[0] and found == shape, fits[1] and found[1:] == shape and len(found) == len(shape) + 1]
        if not any(fits):
            raise ValueError(f"an array {list(found)} is neither a value of {leaf} nor a batch of them")
        counts.add(found[:1])
    if fits[0]:
        return [observations], False
    if len(counts) != 1 or counts == {(0,)}:
        raise ValueError("its parts are of different lengths" if len(counts) > 1 else "the batch is empty")
    ((count,),) = counts
    return [_row(space, observations, row) for row in range(count)], True


def _row(space: gymnasium.Space[Any], observations: Any, row: int) -> Any:
    """Return an observation of a batch."""
    if isinstance(space, spaces.Dict):
        return {name: _row(part, observations[name], row) for name, part in space.spaces.items()}
    if isinstance(space, spaces.Tuple):
        return tuple(_row(part, seen, row) for part, seen in zip(space.spaces, observations, strict=True))
    return observations[row]


def _leaves(space: gymnasium.Space[Any]) -> Iterator[gymnasium.Space[Any]]:
    """Yield the leaf spaces of a space."""
    if isinstance(space, spaces.Dict):
        for part in space.spaces.values():
            yield from _leaves(part)
    elif isinstance(space, spaces.Tuple):
        for part in space.spaces:
            yield from _leaves(part)
    else:
        yield space


def _parts(space: gymnasium.Space[Any], observation: Any) -> Iterator[tuple[gymnasium.Space[Any], Any]]:
    """Yield the leaf spaces of a space, each with its part of an observation."""
    if isinstance(space, spaces.Dict):
        for name, part in space.spaces.items():
            yield from _parts(part, observation[name])
    elif isinstance(space, spaces.Tuple):
        for part, seen in zip(space.spaces, observation, strict=True):
            yield from _parts(part, seen)
    else:
        yield space, observation


def _is_category(space: spaces.Discrete | spaces.MultiDiscrete, value: Any) -> bool:
    counts = space.n if isinstance(space, spaces.Discrete) else space.nvec
    index = np.asarray(value) - space.start
    return index.size == np.size(counts) and bool(((index >= 0) & (index < counts)).all())

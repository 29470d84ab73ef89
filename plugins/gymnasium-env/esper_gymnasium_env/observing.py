"""Observations of any supported space as rows of plain numbers, many at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium
import numpy as np
from attrs import frozen
from gymnasium import spaces
from gymnasium.spaces.utils import flatten_space
from numpy.typing import NDArray

from esper_gymnasium_env.images import Images, split
from esper_gymnasium_env.scaling import Scaling


@frozen(eq=False)
class Reader:
    """Flattens observations as `gymnasium.spaces.flatten` does, categories one-hot, and keeps some of their entries.

    Attributes:
        space: The observations.
        chosen: Entries of the flattened observation that are kept, int64 `[D]`.
        bottom, top: Their bounds as declared, float64 `[D]`.
        images: What is not flattened; None where everything is.
    """

    space: gymnasium.Space[Any]
    chosen: NDArray[np.int64]
    bottom: NDArray[np.float64]
    top: NDArray[np.float64]
    images: Images | None
    _everything: bool

    @property
    def width(self) -> int:
        """Number of entries, D."""
        return len(self.chosen)

    def scaling(self, by_bounds: bool) -> Scaling:
        """Return how entries are scaled: by their bounds, or not at all."""
        return Scaling.of(self.bottom, self.top) if by_bounds else Scaling.none(self.width)

    @classmethod
    def of(cls, space: gymnasium.Space[Any], observe: Sequence[int], flatten: bool = True) -> Reader:
        """Return the reader of a space, of all its entries or of those named; without `flatten` images are no entries.

        Raises:
            ValueError: the space holds neither numbers nor categories, has no entries or invalid bounds, lacks an
                entry that is named, or has no images although they are wanted.
        """
        images, space = (None, space) if flatten else split(space)
        for leaf in _leaves(space):
            if not isinstance(leaf, spaces.Box | spaces.Discrete | spaces.MultiBinary | spaces.MultiDiscrete):
                raise ValueError(
                    f"its observations hold {leaf}; only Box, Discrete, MultiBinary and MultiDiscrete, and Tuple and "
                    "Dict of them, are supported"
                )
        box = flatten_space(space)
        assert isinstance(box, spaces.Box)
        size = box.shape[0]
        if size == 0 and images is None:
            raise ValueError("its observations have no entries, so there is nothing to learn from")
        beyond = [entry for entry in observe if not 0 <= entry < size]
        if beyond:
            there = f"entries 0 to {size - 1}" if size else "no entries but its images"
            raise ValueError(f"observe={beyond[0]} is not an entry of an observation that has {there}")
        chosen = np.array(observe or range(size), dtype=np.int64)
        bottom, top = (bound.astype(np.float64)[chosen] for bound in (box.low, box.high))
        for entry in np.flatnonzero((bottom == np.inf) | (top == -np.inf))[:1]:
            raise ValueError(f"entry {chosen[entry]} of its observation goes from {bottom[entry]:g} to {top[entry]:g}")
        return cls(space, chosen, bottom, top, images, not observe)

    def __call__(self, observations: Sequence[Any]) -> NDArray[np.float64]:
        """Return the entries of n observations, newly made, `[n, D]`.

        Raises:
            Exception: an observation does not fit the space, apart from bounds; ValueError unless its type fails.
        """
        if not self.width:
            return np.zeros((len(observations), 0))
        if isinstance(self.space, spaces.Box):
            rows = np.array(observations, np.float64)
            if rows.shape[1:] == self.space.shape:
                rows = rows.reshape(len(rows), -1)
                return rows if self._everything else rows.take(self.chosen, axis=1)
        blocks = [_block(leaf, parts) for leaf, parts in _parts(self.space, observations)]
        rows = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
        rows = rows.astype(np.float64)
        return rows if self._everything else rows.take(self.chosen, axis=1)

    def name(self, entry: int) -> str:
        """Return what an entry is called in messages, such as `observation['a'][2]`."""
        return _names(self.space)[int(self.chosen[entry])]


def split_rows(space: gymnasium.Space[Any], observations: Any) -> tuple[list[Any], bool]:
    """Return one observation of a space, or each of a batch whose leaves are `[E, *shape]`, and whether it is a batch.

    Raises:
        ValueError: neither fits the space, or the batch is empty.
    """
    fits, counts = [True, True], set()
    for leaf, (part,) in _parts(space, [observations]):
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
    if isinstance(space, spaces.Dict | spaces.Tuple):
        for part in space.spaces.values() if isinstance(space, spaces.Dict) else space.spaces:
            yield from _leaves(part)
    else:
        yield space


def _parts(
    space: gymnasium.Space[Any], observations: Sequence[Any]
) -> Iterator[tuple[gymnasium.Space[Any], Sequence[Any]]]:
    """Yield the leaf spaces of a space, each with its part of every observation."""
    if isinstance(space, spaces.Dict):
        for name, part in space.spaces.items():
            yield from _parts(part, [seen[name] for seen in observations])
    elif isinstance(space, spaces.Tuple):
        for part, seen in zip(space.spaces, zip(*observations, strict=True), strict=True):
            yield from _parts(part, seen)
    else:
        yield space, observations


def _block(space: gymnasium.Space[Any], parts: Sequence[Any]) -> NDArray[Any]:
    """Return the flattened values of a leaf space, `[n, entries]`; raises ValueError where one is no value of it."""
    shape, count = space.shape or (), len(parts)
    if shape and all(type(part) is np.ndarray and part.shape == shape for part in parts):
        rows = np.concatenate(parts).reshape(count, -1)
    elif not shape and all(isinstance(part, int | float | np.integer | np.floating) for part in parts):
        rows = np.array(parts).reshape(count, 1)
    else:
        entries = math.prod(shape)
        for part in parts:
            if np.size(part) != entries:
                raise ValueError(f"{np.size(part)} entries are not a value of {space}")
        rows = np.array([np.ravel(part) for part in parts])
    if isinstance(space, spaces.Discrete):
        return _one_hot(space, rows - space.start, np.array([space.n]))
    if isinstance(space, spaces.MultiDiscrete):
        return _one_hot(space, rows - space.start.ravel(), space.nvec.ravel())
    return rows


def _one_hot(space: gymnasium.Space[Any], indices: NDArray[Any], counts: NDArray[Any]) -> NDArray[np.float64]:
    """Return categories `[n, k]`, each one of `counts [k]`, as `[n, Σ counts]`."""
    # An unknown category would become another one, and so would a part of one.
    if not ((indices >= 0) & (indices < counts) & (indices == np.floor(indices))).all():
        raise ValueError(f"a category is not a value of {space}")
    rows = np.zeros((len(indices), int(counts.sum())))
    first = np.cumsum(counts) - counts
    np.put_along_axis(rows, indices.astype(np.int64) + first, 1.0, axis=1)
    return rows


def _names(space: gymnasium.Space[Any], path: str = "observation") -> list[str]:
    """Return a name for every entry of the flattened observation."""
    if isinstance(space, spaces.Dict):
        return [name for key, part in space.spaces.items() for name in _names(part, f"{path}[{key!r}]")]
    if isinstance(space, spaces.Tuple):
        return [name for place, part in enumerate(space.spaces) for name in _names(part, f"{path}[{place}]")]
    places = [f"{path}{list(place) if place else ''}" for place in np.ndindex(space.shape or ())]
    if isinstance(space, spaces.Discrete):
        return [path] * int(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        return [name for name, count in zip(places, space.nvec.ravel(), strict=True) for _ in range(int(count))]
    return places

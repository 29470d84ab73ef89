"""Action spaces as heads: categories and numbers, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from attrs import frozen
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from esper_core.contracts.actions import ActionSpec, AnyHead, ContinuousHead, Head
from esper_core.contracts.errors import UserError
from esper_gymnasium_env.scaling import WIDEST

Arrays = tuple[NDArray[Any], ...]
"""Actions of n environments, one array per leaf of the action space, `[n, *shape]` in its dtype."""

_SUPPORTED = "Discrete, MultiDiscrete, MultiBinary, Box of a float dtype, and Dict and Tuple of them, are supported"


def action_spec(name: str, space: gymnasium.Space[Any], *, squash: bool) -> ActionSpec:
    """Return the table of an action space.

    A Discrete space is one head, a MultiDiscrete or MultiBinary space one head per entry, a Box one head of numbers.
    They are called `action`, or `action0`, `action1` and so on; parts of Dict and Tuple spaces by their keys.

    Args:
        name: The environment, for messages.
        space: Its action space.
        squash: Numbers are squashed into their bounds, not cut off at them.

    Raises:
        ValueError: a space that cannot be acted in; the message names it and what to use.
    """
    try:
        heads = tuple(head for path, leaf in _leaves(space) for head in _heads(path, leaf, squash=squash))
        if not heads:
            raise ValueError(f"{space} is empty, so there is nothing to decide; {_SUPPORTED}")
        return ActionSpec(heads)
    except ValueError as error:
        raise ValueError(f"the actions of {name} cannot be taken: {error}") from error


@frozen(eq=False)
class Actions:
    """Translates actions by head into those of an action space."""

    space: gymnasium.Space[Any]
    _parts: tuple[tuple[gymnasium.Space[Any], tuple[str, ...]], ...]
    _shapes: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, space: gymnasium.Space[Any]) -> Actions:
        """Return the translation of a space that `action_spec` has a table of."""
        parts = [(leaf, _heads(path, leaf, squash=False)) for path, leaf in _leaves(space)]
        heads = [head for _, found in parts for head in found]
        shapes = {head.name: () if isinstance(head, Head) else (len(head.dims),) for head in heads}
        return cls(space, tuple((leaf, tuple(head.name for head in found)) for leaf, found in parts), shapes)

    def arrays(self, actions: Mapping[str, Tensor], rows: int | None = None) -> Arrays:
        """Return what is to be executed, newly made, for int64 `[n]` or float32 `[n, numbers]` per head; n is `rows`.

        Raises:
            UserError: a head is missing or has another shape, or a number is NaN; an environment would be blamed for
                what follows.
        """
        try:
            if rows is None:
                rows = len(next(iter(actions.values()), ()))
            for head, shape in self._shapes.items():
                if actions[head].shape != (rows, *shape):
                    raise UserError(
                        f"The actions of head '{head}' have shape {list(actions[head].shape)}, not {[rows, *shape]}.",
                        hint="Give one action for each environment: an index, or as many numbers as the head has.",
                    )
            return tuple([_array(leaf, names, actions) for leaf, names in self._parts])
        except KeyError as error:
            heads = ", ".join(name for _, names in self._parts for name in names)
            raise UserError(
                f"The actions have no head {error}.", hint=f"Give one tensor for each head: {heads}."
            ) from error

    def blank(self) -> Arrays:
        """Return arrays of one row, `[1, *shape]` in their dtype, whose values mean nothing."""
        return tuple(np.zeros((1, *(leaf.shape or ())), leaf.dtype) for leaf, _ in self._parts)

    def rows(self, arrays: Arrays) -> list[Any]:
        """Return one action of the space per row."""
        return _rows(self.space, list(arrays))[0]

    def batch(self, arrays: Arrays) -> NDArray[Any]:
        """Return actions as one array, `[n, *shape]`; of a Dict or Tuple space an object per row."""
        if not isinstance(self.space, spaces.Dict | spaces.Tuple):
            return arrays[0]
        rows = self.rows(arrays)
        found = np.empty(len(rows), object)
        found[:] = rows
        return found


def _leaves(space: gymnasium.Space[Any], path: str = "") -> Iterator[tuple[str, gymnasium.Space[Any]]]:
    """Yield the leaf spaces of a space, each with its keys, joined by dots."""
    if isinstance(space, spaces.Dict):
        parts: Any = space.spaces.items()
    elif isinstance(space, spaces.Tuple):
        parts = enumerate(space.spaces)
    else:
        yield path, space
        return
    for key, part in parts:
        yield from _leaves(part, f"{path}.{key}" if path else str(key))


def _heads(path: str, space: gymnasium.Space[Any], *, squash: bool) -> list[AnyHead]:
    where = f" at '{path}'" if path else ""
    name, entry = path or "action", f"{path}." if path else "action"
    if isinstance(space, spaces.Discrete):
        return [_category(name, int(space.n), int(space.start))]
    if isinstance(space, spaces.MultiDiscrete):
        counts = zip(space.nvec.flatten().tolist(), space.start.flatten().tolist(), strict=True)
        return [_category(f"{entry}{place}", count, first) for place, (count, first) in enumerate(counts)]
    if isinstance(space, spaces.MultiBinary):
        return [_category(f"{entry}{place}", 2, 0) for place in range(int(np.prod(space.shape)))]
    if not isinstance(space, spaces.Box):
        raise ValueError(f"they hold {space}{where}; {_SUPPORTED}")
    if not np.issubdtype(space.dtype, np.floating):
        raise ValueError(
            f"they hold {space}{where}, whole numbers; declare them as Discrete or MultiDiscrete, which choose among "
            "whole numbers, or as a Box of a float dtype"
        )
    low, high = (bound.astype(np.float64).flatten() for bound in (space.low, space.high))
    with np.errstate(over="ignore"):
        free = high - low > WIDEST
    if squash and free.any():
        (place, *_) = np.flatnonzero(free)
        raise ValueError(
            f"number {place} of {space}{where} goes from {low[place]:g} to {high[place]:g}, and numbers without finite "
            "bounds cannot be squashed into them; use -o environment.squash=false, with which a number is what the "
            "policy draws, or let a wrapper such as gymnasium.wrappers.RescaleAction declare bounds"
        )
    return [ContinuousHead(name, tuple(map(str, range(low.size))), tuple(low), tuple(high), squash)]


def _category(name: str, count: int, first: int) -> Head:
    return Head(name, tuple(str(first + i) for i in range(count)))


def _array(space: Any, names: Sequence[str], actions: Mapping[str, Tensor]) -> NDArray[Any]:
    """Return the actions of a leaf space, `[n, *shape]` in its dtype."""
    if isinstance(space, spaces.Discrete):
        indices = actions[names[0]].cpu().numpy()
        return np.add(indices, space.start, dtype=space.dtype)
    if isinstance(space, spaces.Box):
        # In float32 a bound may be on the other side of the bound.
        numbers = actions[names[0]].cpu().numpy().reshape(-1, *space.shape).astype(space.dtype)
        if np.isnan(numbers).any():
            rows = np.flatnonzero(np.isnan(numbers).reshape(len(numbers), -1).any(axis=1))
            raise UserError(
                f"The action '{names[0]}' of environment {rows[0]} is NaN.", hint="Actions are numbers: find its cause."
            )
        np.maximum(numbers, space.low, out=numbers)
        return np.minimum(numbers, space.high, out=numbers)
    found = np.stack([actions[name].cpu().numpy() for name in names], axis=-1)
    start = space.start if isinstance(space, spaces.MultiDiscrete) else 0
    return (found.reshape(-1, *space.shape) + start).astype(space.dtype)


def _rows(space: gymnasium.Space[Any], arrays: list[NDArray[Any]]) -> tuple[list[Any], list[NDArray[Any]]]:
    """Return one action per row of the first arrays, as many as the space has leaves, and the other arrays."""
    if isinstance(space, spaces.Dict):
        columns = []
        for part in space.spaces.values():
            column, arrays = _rows(part, arrays)
            columns.append(column)
        return [dict(zip(space.spaces, row, strict=True)) for row in zip(*columns, strict=True)], arrays
    if isinstance(space, spaces.Tuple):
        columns = []
        for part in space.spaces:
            column, arrays = _rows(part, arrays)
            columns.append(column)
        return list(zip(*columns, strict=True)), arrays
    if isinstance(space, spaces.Box) and not space.shape:
        return [np.asarray(value) for value in arrays[0]], arrays[1:]
    return list(arrays[0]), arrays[1:]

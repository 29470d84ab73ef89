"""Action masks of Gymnasium environments, in any of the common forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from attrs import field, frozen
from gymnasium import spaces
from numpy.typing import NDArray

from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.errors import PluginError

MASK = "action_mask"
"""Key of the mask in `info`, or in an observation that is a dict."""

MASK_METHOD = "action_masks"
"""Method or attribute with the mask in environments made for sb3-contrib."""


@frozen
class Legality:
    """Reads masks of an environment. Without a mask everything is legal.

    Attributes:
        name: The environment's.
        sizes: Choices of each head that has any.
        total: Choices altogether, Σ K.
    """

    name: str
    sizes: Mapping[str, int]
    total: int = field(init=False)
    _first: tuple[int, ...] = field(init=False)

    def __attrs_post_init__(self) -> None:
        counts = tuple(self.sizes.values())
        object.__setattr__(self, "total", sum(counts))
        object.__setattr__(self, "_first", tuple(sum(counts[:place]) for place in range(len(counts))))

    @classmethod
    def of(cls, name: str, actions: ActionSpec) -> Legality:
        """Return that of an environment with an action table."""
        return cls(name, {head.name: head.size for head in actions.categorical})

    def table(self, said: Sequence[Any], ended: NDArray[np.bool_] | None = None) -> NDArray[np.bool_]:
        """Return what n masks of any form make legal, head after head, bool `[n, Σ K]`; None is no mask.

        Where an episode has `ended`, bool `[n]`, nothing has to be legal.

        Raises:
            PluginError: a mask does not fit the action table, or leaves a head without a legal choice.
        """
        found = self._alike(said)
        if found is None:
            found = np.array([self._flat(mask) for mask in said])
        legal: NDArray[np.bool_] = found != 0
        if found.dtype != np.bool_ and bool((legal & (found != 1)).any()):
            raise self._wrong("holds something else than 0 and 1")
        if not self.sizes:
            return legal
        dead = ~np.logical_or.reduceat(legal, self._first, axis=1)
        if dead.any():
            wrong = np.atleast_1d((dead if ended is None else dead[~ended]).any(axis=0))
            if wrong.any():
                names = [name for name, empty in zip(self.sizes, wrong.tolist(), strict=True) if empty]
                raise self._wrong(f"leaves no legal action for {', '.join(names)}")
        return legal

    def _alike(self, said: Sequence[Any]) -> NDArray[Any] | None:
        """Return masks that are all one array, or all one list of plain numbers, as `[n, Σ K]`; None for others."""
        kind = type(said[0]) if said else None
        if kind not in (np.ndarray, list) or any(type(mask) is not kind for mask in said):
            return None
        try:
            found = np.array(said)
        except ValueError:  # of different lengths
            return None
        return found if found.shape == (len(said), self.total) and found.dtype != np.object_ else None

    def _flat(self, said: Any) -> NDArray[Any]:
        """Return a mask that is one array, a row of one per head, or a table of one per head, as `[Σ K]`."""
        if said is None:
            return np.ones(self.total, np.bool_)
        sizes = self.sizes
        if isinstance(said, Mapping):
            if said.keys() != sizes.keys():
                raise self._wrong(f"has the keys {', '.join(map(str, said))}" if said else "has no keys")
            said = [said[name] for name in sizes]
        pieces = list(_pieces(said))
        entries = [piece.size for piece in pieces]
        if entries not in ([self.total], list(sizes.values())):
            raise self._wrong(f"has {' and '.join(map(str, entries)) or 'no'} entries")
        return np.concatenate(pieces)

    def _wrong(self, found: str) -> PluginError:
        table = ", ".join(f"{name} ({size})" for name, size in self.sizes.items())
        return PluginError(
            f"The action mask of {self.name} {found}; it needs 0 or 1 for each action of each head, at least one of "
            f"them 1. The heads are {table or 'numbers, which have no mask'}.",
            hint="Its author must give a valid mask in every state, or none where everything is legal.",
        )


def has_method(single: gymnasium.Env[Any, Any]) -> bool:
    """Return whether an environment has a method or attribute that says what is legal."""
    return bool(single.has_wrapper_attr(MASK_METHOD))


def ask_method(single: gymnasium.Env[Any, Any]) -> Any:
    """Return what it says, or None."""
    # Looked up at every step: a wrapper may exchange what it wraps.
    said = single.get_wrapper_attr(MASK_METHOD)
    return said() if callable(said) else said


def is_masked(space: gymnasium.Space[Any]) -> bool:
    """Return whether observations of a space contain a mask."""
    return isinstance(space, spaces.Dict) and MASK in space.spaces


def seen_space(space: gymnasium.Space[Any]) -> gymnasium.Space[Any]:
    """Return the space of observations without their mask."""
    if not is_masked(space):
        return space
    assert isinstance(space, spaces.Dict)
    return spaces.Dict({name: part for name, part in space.spaces.items() if name != MASK})


def _pieces(said: Any) -> Iterator[NDArray[Any]]:
    """Yield the arrays that a mask is made of, each as one row; a row of plain numbers is one."""
    if isinstance(said, tuple | list) and all(isinstance(part, tuple | list) or np.ndim(part) for part in said):
        for part in said:
            yield from _pieces(part)
    else:
        yield np.ravel(said)

"""Action masks of Gymnasium environments, in any of the common forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np
from attrs import frozen
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
    """Reads masks of one environment. Without a mask everything is legal.

    Attributes:
        name: The environment's.
        actions: Its action table.
    """

    name: str
    actions: ActionSpec

    def read(
        self, single: gymnasium.Env[Any, Any], observation: Any, info: Mapping[str, Any], *, ended: bool
    ) -> NDArray[np.bool_]:
        """Return what is legal, head after head, bool `[Σ K]`.

        `info` is asked first, then the observation, then the environment itself. Where the episode ended,
        nothing has to be legal.

        Raises:
            PluginError: the mask does not fit the action table, or leaves a head without a legal action.
        """
        return self.legal(self.said(single, observation, info), ended=ended)

    def legal(self, said: Any, *, ended: bool = False) -> NDArray[np.bool_]:
        """Return what a mask of any form makes legal, as `read` does; with None everything is."""
        sizes = self.actions.sizes
        if said is None:
            return np.ones(sum(sizes.values()), np.bool_)
        legal = self._flat(said)
        heads = np.split(legal, np.cumsum(list(sizes.values()))[:-1])
        dead = [name for name, head in zip(sizes, heads, strict=True) if not head.any()]
        if dead and not ended:
            raise self._wrong(f"leaves no legal action for {', '.join(dead)}")
        return legal

    def said(self, single: gymnasium.Env[Any, Any], observation: Any, info: Mapping[str, Any]) -> Any:
        """Return the mask as the environment gives it, or None."""
        if info.get(MASK) is not None:
            return info[MASK]
        if is_masked(single.observation_space):
            return observation[MASK]
        if single.has_wrapper_attr(MASK_METHOD):
            said = single.get_wrapper_attr(MASK_METHOD)
            return said() if callable(said) else said
        return None

    def _flat(self, said: Any) -> NDArray[np.bool_]:
        """Return a mask that is one array, a row of one per head, or a table of one per head, as `[Σ K]`."""
        sizes = self.actions.sizes
        if isinstance(said, Mapping):
            if said.keys() != sizes.keys():
                raise self._wrong(f"has the keys {', '.join(map(str, said))}")
            said = [said[name] for name in sizes]
        pieces = list(_pieces(said))
        entries = [piece.size for piece in pieces]
        if entries not in ([sum(sizes.values())], list(sizes.values())):
            raise self._wrong(f"has {' and '.join(map(str, entries))} entries")
        legal = np.concatenate(pieces)
        if not np.isin(legal, (0, 1)).all():
            raise self._wrong("holds something else than 0 and 1")
        return legal.astype(np.bool_)

    def _wrong(self, found: str) -> PluginError:
        table = ", ".join(f"{name} ({size})" for name, size in self.actions.sizes.items())
        return PluginError(
            f"The action mask of {self.name} {found}; it needs 0 or 1 for each action of each head, at least one of "
            f"them 1. The heads are {table}.",
            hint="Its author must give a valid mask in every state, or none where everything is legal.",
        )


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

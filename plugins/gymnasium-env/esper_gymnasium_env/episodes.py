"""What was done in the episodes that are being played, so that each can be played again from its seed."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Sequence

import numpy as np
from attrs import define, field
from numpy.typing import NDArray

from esper_gymnasium_env.actions import Arrays


@define(eq=False)
class Record:
    """The actions of E environments since their episodes began.

    Attributes:
        began: Place in the list at which each row's episode begins, int64 `[E]`.
    """

    envs: int
    began: NDArray[np.int64] = field(init=False)
    _taken: list[Arrays] = field(factory=list)
    _full: int = 1024

    def __attrs_post_init__(self) -> None:
        self.began = np.zeros(self.envs, np.int64)

    def begin(self, rows: NDArray[np.intp]) -> None:
        """Begin episodes in some rows; what is older than every episode is forgotten now and then."""
        self.began[rows] = len(self._taken)
        if len(self._taken) >= self._full:
            oldest = int(self.began.min())
            del self._taken[:oldest]
            self.began -= oldest
            self._full = 2 * len(self._taken) + 1024

    def add(self, actions: Arrays) -> None:
        """Add the actions of a step, one array `[E, *shape]` per leaf, of all rows; they must not change any more."""
        self._taken.append(actions)

    def of(self, row: int, length: int) -> list[str]:
        """Return the first `length` actions of a row's episode, one text per leaf of the action space; [] for none."""
        if not length:
            return []
        first = int(self.began[row])
        steps = self._taken[first : first + length]
        return [encoded(np.array([step[leaf][row] for step in steps])) for leaf in range(len(self._taken[0]))]

    def restore(self, episodes: Sequence[Arrays]) -> None:
        """Continue with E episodes, each `[T, *shape]` per leaf; a row whose T is smaller is filled up in front."""
        longest = max(len(arrays[0]) for arrays in episodes)
        self.began = np.array([longest - len(arrays[0]) for arrays in episodes])
        leaves = [
            np.stack([np.concatenate([np.zeros((longest - len(a), *a.shape[1:]), a.dtype), a]) for a in leaf])
            for leaf in zip(*episodes, strict=True)
        ]
        self._taken = [tuple(leaf[:, t].copy() for leaf in leaves) for t in range(longest)]


def encoded(values: NDArray[np.generic]) -> str:
    """Return an array as text, which `decoded` reads."""
    return base64.b64encode(zlib.compress(values.tobytes())).decode()


def decoded(text: str, like: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return the array `[T, *shape]` of a text, of the shape and dtype of an array `[1, *shape]`."""
    values = np.frombuffer(zlib.decompress(base64.b64decode(text)), like.dtype)
    return values.reshape(-1, *like.shape[1:])


def digest(*values: NDArray[np.generic]) -> str:
    """Return a short digest of arrays."""
    return hashlib.sha256(b"".join(array.tobytes() for array in values)).hexdigest()[:16]

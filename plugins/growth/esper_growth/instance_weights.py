"""Weights of instances: which kinds of world training draws less often."""

from __future__ import annotations

import re
from collections.abc import Sequence

from attrs import frozen

LEAST = 0.01
"""Smallest weight: of a pool in which every instance has it, a hundred are looked at for one that is played."""


@frozen
class InstanceWeights:
    """Chances by kind of world.

    Attributes:
        entries: Words that a kind must have, all of them, and its chance; the first that fits counts.
    """

    entries: tuple[tuple[frozenset[str], float], ...]

    @classmethod
    def of(cls, settings: Sequence[str]) -> InstanceWeights:
        """Read settings such as `digits capable=0.25`; raises ValueError."""
        entries = []
        for setting in settings:
            words, _, text = setting.rpartition("=")
            try:
                weight = float(text)
            except ValueError:
                weight = 0.0
            if not words.split() or not LEAST <= weight <= 1.0:
                raise ValueError(
                    f"the weight '{setting}' does not read KIND=NUMBER, with words such as 'digits capable' and a "
                    f"number from {LEAST} to 1"
                )
            entries.append((frozenset(words.split()), weight))
        return cls(tuple(entries))

    def weight(self, kind: Sequence[str]) -> float:
        """Return the chance of a kind, as words; 1 where nothing is said of it."""
        return next((weight for words, weight in self.entries if words <= set(kind)), 1.0)


def kind_of(task: str, host: str) -> tuple[str, str]:
    """Return the kind of a world, of the names of a task and a host: these without their sizes and seeds.

    `digits-100s7` and `pointwise-w16g8` are `digits` and `pointwise`.
    """
    first, second = (re.split(r"-[a-z]?\d", name)[0] for name in (task, host))
    return first, second

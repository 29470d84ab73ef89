"""Who drives the other team: an object per match, which may be the same for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from esper_core.contracts.protocols import BuildContext, Masks, Rule
from esper_echelon.matches.describe import HEAD, MAP_SIZE
from esper_echelon.perception.schema import SUITE
from esper_echelon.simulation.roster import Roster
from esper_echelon.simulation.tables import ACTIONS, PRIMARY, SCOUT, SECONDARY, SPECIAL, TERTIARY

Floats = NDArray[np.float64]


class Seen(NamedTuple):
    """What the other team of R matches perceives, as a learner would.

    Attributes:
        matches: Their numbers, int `[R]`.
        suite: float32 `[R, n, 706]`.
        map_size: Sides of their maps, float32 `[R]`, m.
        chance: Returns numbers in [0, 1) that depend on the match, the decision and the place alone, `[R, n, 9]`.
    """

    matches: NDArray[np.intp]
    suite: NDArray[np.float32]
    map_size: NDArray[np.float32]
    chance: Callable[[], Floats]


class Driver(Protocol):
    """Drives the other team of some matches. What it does in one depends on no other."""

    def begin(self, match: int) -> None:
        """Forget what was before a match."""

    def __call__(self, seen: Seen) -> Floats:
        """Return actions `[R, n, 9]`, in −1..1."""


class RuleDriver:
    """A rule as a driver; it is a deterministic function of the state."""

    def __init__(self, rule: Rule) -> None:
        self._rule, self._generator = rule, torch.Generator()

    def begin(self, match: int) -> None:
        """Keep no state."""

    def __call__(self, seen: Seen) -> Floats:
        """Return actions `[R, n, 9]`."""
        places = seen.suite.shape[1]
        suite = torch.from_numpy(np.ascontiguousarray(seen.suite.reshape(-1, seen.suite.shape[-1])))
        state = {SUITE: suite, MAP_SIZE: torch.from_numpy(seen.map_size.repeat(places))}
        actions = self._rule(state, Masks({}), self._generator)[HEAD]
        return actions.numpy().astype(np.float64).reshape(-1, places, len(ACTIONS))


class RandomDriver:
    """Drives at random."""

    def begin(self, match: int) -> None:
        """Keep no state."""

    def __call__(self, seen: Seen) -> Floats:
        """Return actions `[R, n, 9]`, uniform in −1..1."""
        return 2.0 * seen.chance() - 1.0


def driver_of(name: str, context: BuildContext) -> Driver:
    """Return the driver that an option names."""
    from esper_echelon.matches.config import LieutenantConfig
    from esper_echelon.rules.rules import Charge, Hold, Lieutenant

    if name == "random":
        return RandomDriver()
    if name == "lieutenant":
        return RuleDriver(Lieutenant(LieutenantConfig(), context))
    return RuleDriver({"hold": Hold, "charge": Charge}[name](None, context))


def weapons(roster: Roster) -> NDArray[np.bool_]:
    """Return which numbers of an action fire or paint, by place of the other team, `[n, 9]`; jamming does not."""
    fires = np.zeros((roster.team_size, len(ACTIONS)), np.bool_)
    fires[:, [PRIMARY, SECONDARY, TERTIARY, SPECIAL]] = True
    fires[roster.chassis[roster.team_size :] == SCOUT, SECONDARY] = False
    return fires

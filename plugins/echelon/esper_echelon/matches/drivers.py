"""Who drives the other team while no opponents are set, and what of their actions may be held back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from esper_core.contracts.protocols import BuildContext, State
from esper_core.contracts.sides import Driver
from esper_core.policy.drivers import RuleDriver
from esper_echelon.matches.describe import HEAD
from esper_echelon.matches.masks import EchelonMasks
from esper_echelon.simulation.roster import Roster
from esper_echelon.simulation.tables import ACTIONS, PRIMARY, SCOUT, SECONDARY, SPECIAL, TERTIARY


class RandomDriver:
    """Drives at random."""

    name = "random"

    def initial_memory(self, matches: int) -> Any:
        """Return nothing."""
        return ()

    def __call__(self, state: State, memory: Any, begins: Tensor, noise: Tensor) -> tuple[dict[str, Tensor], Any]:
        """Return actions `[R·n, 9]`, uniform in −1..1."""
        return {HEAD: (2.0 * noise - 1.0).float()}, ()


def driver_of(name: str, context: BuildContext, rows: int) -> Driver:
    """Return the driver that an option names, for teams of so many rows."""
    from esper_echelon.matches.config import LieutenantConfig
    from esper_echelon.rules.rules import Charge, Hold, Lieutenant

    if name == "random":
        return RandomDriver()
    plain = {"hold": Hold, "charge": Charge}
    rule = plain[name](None, context) if name in plain else Lieutenant(LieutenantConfig(), context)
    return RuleDriver(name, rule, EchelonMasks(None, context), rows)


def weapons(roster: Roster) -> NDArray[np.bool_]:
    """Return which numbers of an action fire or paint, by place of the other team, `[n, 9]`; jamming does not."""
    fires = np.zeros((roster.team_size, len(ACTIONS)), np.bool_)
    fires[:, [PRIMARY, SECONDARY, TERTIARY, SPECIAL]] = True
    fires[roster.chassis[roster.team_size :] == SCOUT, SECONDARY] = False
    return fires

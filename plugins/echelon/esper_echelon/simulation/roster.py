"""Who is in a team: packs of six, and with two packs a squad leader."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from esper_echelon.simulation.tables import HEAVY, LIGHT, MEDIUM, PACK_COMMAND, SCOUT, SQUAD_COMMAND

PACK = ("scout", "scout", "light", "medium", "heavy", "leader")
"""Roles in a pack."""

ROLES = ("scout", "light", "medium", "heavy", "leader", "squad-leader")
_CHASSIS = {"scout": SCOUT, "light": LIGHT, "medium": MEDIUM, "heavy": HEAVY, "leader": LIGHT, "squad-leader": MEDIUM}
SQUAD = -1
"""The pack of a squad leader, who belongs to all."""


@frozen
class Roster:
    """The places of two teams of at most `packs` packs; arrays are `[A]`, A = 2·n, the learner's team first.

    With two packs a team has a squad leader at its last place; where a match has one pack, only the first six play.
    """

    packs: int

    def __attrs_post_init__(self) -> None:
        if self.packs not in (1, 2):
            raise ValueError(f"a team has 1 or 2 packs, not {self.packs}")

    @property
    def team_size(self) -> int:
        """Places of one team, n."""
        return team_size(self.packs)

    @cached_property
    def roles(self) -> tuple[str, ...]:
        """Role by place of one team."""
        return PACK * self.packs + (("squad-leader",) if self.packs > 1 else ())

    @cached_property
    def team(self) -> NDArray[np.int64]:
        """0 for the learner's team, 1 for the other."""
        return np.repeat([0, 1], self.team_size)

    @cached_property
    def place(self) -> NDArray[np.int64]:
        """Place within the team."""
        return np.tile(np.arange(self.team_size), 2)

    @cached_property
    def chassis(self) -> NDArray[np.int64]:
        """Position in CHASSIS."""
        return np.tile([_CHASSIS[role] for role in self.roles], 2)

    @cached_property
    def suite(self) -> NDArray[np.int64]:
        """Position in SUITES: command wins over the class."""
        commands = {"leader": PACK_COMMAND, "squad-leader": SQUAD_COMMAND}
        return np.tile([commands.get(role, _CHASSIS[role]) for role in self.roles], 2)

    @cached_property
    def pack(self) -> NDArray[np.int64]:
        """Number of the pack, SQUAD for squad leaders."""
        packs = np.where(self.place < len(PACK) * self.packs, self.place // len(PACK), SQUAD)
        return packs

    @cached_property
    def leads(self) -> NDArray[np.bool_]:
        """Whether a place leads a pack or a squad."""
        return self.suite >= PACK_COMMAND

    @cached_property
    def allied(self) -> NDArray[np.bool_]:
        """Whether two are of one team, `[A, A]`; everybody is of their own."""
        return self.team[:, None] == self.team[None, :]

    @cached_property
    def shares_paint(self) -> NDArray[np.bool_]:
        """Whether two use each other's paint locks, `[A, A]`: of one pack, or one of them leads the squad."""
        pack = self.pack
        same = (pack[:, None] == pack[None, :]) | (pack[:, None] == SQUAD) | (pack[None, :] == SQUAD)
        return self.allied & same

    def present(self, packs: int) -> NDArray[np.bool_]:
        """Return who plays where a team has so many packs, `[A]`."""
        return self.place < team_size(packs)


def team_size(packs: int) -> int:
    """Return how many mechs a team of so many packs has."""
    return len(PACK) * packs + (packs > 1)

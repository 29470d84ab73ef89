"""Options of the environment and of the rules."""

from __future__ import annotations

from attrs import Factory, frozen

from esper_core import option
from esper_echelon.matches.curriculum import LARGEST_MAP, MOST_PACKS, SMALLEST_MAP, Course, CurriculumState, Ramp
from esper_echelon.simulation.tables import VISIBILITIES

OPPONENTS = ("lieutenant", "hold", "charge", "random")


@frozen
class EchelonConfig:
    """Options of the environment `echelon`."""

    opponent: str = option(
        "lieutenant",
        choices=OPPONENTS,
        matters=False,
        help="Who drives the other team: the rules lieutenant, hold or charge, or random numbers.",
    )
    visibility: str = option(
        "full", choices=VISIBILITIES, help="full: everybody alive is seen; partial: by radar, sight, heat or paint."
    )
    packs: int = option(
        1, low=1, high=MOST_PACKS, help="Packs of a team at most; rows are made for so many: 6 for one, 13 for two."
    )
    packs_per_team_range: tuple[int, ...] = option(
        (), converter=tuple, help="Least and most packs of a team, drawn per match; none said is always `packs`."
    )
    map_size_range: tuple[int, ...] = option(
        (40, 40),
        converter=tuple,
        help=f"Least and most of the map's side, m, drawn per match, from {SMALLEST_MAP} to {LARGEST_MAP}.",
    )
    weapon_prob: float = option(
        1.0, low=0.0, high=1.0, help="How likely a mech of the other team that wants to fire may, at each decision."
    )
    schedule: tuple[str, ...] = option(
        (),
        converter=tuple,
        help='What changes with the games played, such as ["weapon_prob=0.2..1.0@2000", '
        '"map_size_range=40..100@500..4000"]: NAME=FROM..TO@FIRST..LAST; a range reaches from FROM to where it stands.',
    )
    rewards: dict = option(  # noqa: RUF009
        Factory(dict), matters=False, help="Other weights of the reward by name, such as {approach=0.5, win=10}."
    )
    heat_maps: bool = option(
        True, matters=False, help="Report of every match where its deaths, damage and movement were."
    )
    workers: int = option(
        0, low=0, high=1024, matters=False, help="Processes that play matches side by side; 0 plays all in this one."
    )

    def __attrs_post_init__(self) -> None:
        self.course()

    def course(self) -> Course:
        """Return the curriculum at its beginning; raises ValueError where it cannot be."""
        packs = self.packs_per_team_range or (self.packs, self.packs)
        base = CurriculumState(self.weapon_prob, self.map_size_range, packs)  # type: ignore[arg-type]
        return Course(base, tuple(map(Ramp.of, self.schedule)), self.packs)


@frozen
class LieutenantConfig:
    """Options of the rule `lieutenant`."""

    weapon_prob: float = option(
        1.0, low=0.0, high=1.0, help="How likely a mech that wants to fire does, at each decision."
    )

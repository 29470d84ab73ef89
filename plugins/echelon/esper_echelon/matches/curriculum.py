"""What training makes of the matches it plays: the curriculum, and how it changes with the games that were played."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from numbers import Real
from operator import index
from typing import Any

from attrs import asdict, define, evolve, field, fields, frozen

SMALLEST_MAP, LARGEST_MAP = 24, 100
"""Sides of maps, m: smaller ones have no room for two teams and a zone."""

MOST_PACKS = 2
"""Packs that a team can have."""

_STREAM = 7
"""Which of the streams of a match's seed its size and packs are drawn from."""

_RAMP = re.compile(r"(\w+)=([\d.]+?)\.\.([\d.]+?)@(?:(\d+)\.\.)?(\d+)")
_EXAMPLE = "weapon_prob=0.2..1.0@2000"


def _pair(value: Any) -> tuple[int, int]:
    """Return a range as two whole numbers; raises ValueError or TypeError."""
    if isinstance(value, str) or len(value) != 2:
        raise ValueError
    first, last = value
    return index(first), index(last)


def _check_range(name: str, value: Any, low: int, high: int, what: str) -> tuple[int, int]:
    try:
        first, last = _pair(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} is {value!r}, not two whole numbers, the least and the most") from error
    if first > last:
        raise ValueError(f"{name} is {(first, last)}: its first number is above its last")
    if first < low or last > high:
        raise ValueError(f"{name} is {(first, last)}, but {what} {low} to {high}")
    return first, last


@frozen
class CurriculumState:
    """What matches are like.

    Attributes:
        weapon_prob: How likely a mech of the other team that wants to fire may, at each decision.
        map_size_range: Sides of maps, least and most, m; each match draws one.
        packs_per_team_range: Packs of a team, least and most; each match draws one, for both teams.

    Raises:
        ValueError: one of them cannot be; the message names it.
    """

    weapon_prob: float = 1.0
    map_size_range: tuple[int, int] = (40, 40)
    packs_per_team_range: tuple[int, int] = (1, 1)

    def __attrs_post_init__(self) -> None:
        likely: Any = self.weapon_prob
        if isinstance(likely, bool) or not isinstance(likely, Real) or not 0.0 <= float(likely) <= 1.0:
            raise ValueError(f"weapon_prob is {likely!r}, not a number from 0 to 1")
        for name, low, high, what in (
            ("map_size_range", SMALLEST_MAP, LARGEST_MAP, "the side of a map is"),
            ("packs_per_team_range", 1, MOST_PACKS, "a team has"),
        ):
            object.__setattr__(self, name, _check_range(name, getattr(self, name), low, high, what))
        object.__setattr__(self, "weapon_prob", float(likely))

    def merged(self, **changes: Any) -> CurriculumState:
        """Return it with some fields changed; None leaves one as it is.

        Raises:
            ValueError: there is no such field, or it cannot be what it is to become.
        """
        if unknown := sorted(changes.keys() - set(FIELDS)):
            raise ValueError(f"a curriculum has no {', '.join(unknown)}; it has {', '.join(FIELDS)}")
        return evolve(self, **{name: value for name, value in changes.items() if value is not None})

    def drawn(self, seed: int) -> tuple[int, int]:
        """Return the side of the map and the packs of a team in the match of a seed."""
        from numpy.random import default_rng

        generator = default_rng((seed, _STREAM))
        size, packs = (
            int(generator.integers(first, last + 1)) for first, last in (self.map_size_range, self.packs_per_team_range)
        )
        return size, packs


FIELDS = tuple(entry.name for entry in fields(CurriculumState))


@frozen
class Ramp:
    """One field that changes evenly with the games played, from `start` before the `first` to `end` at the `last`.

    A range reaches from the start to where it stands, so that what came first is still played.
    """

    name: str
    start: float
    end: float
    first: int
    last: int

    @classmethod
    def of(cls, text: str) -> Ramp:
        """Read one, such as `weapon_prob=0.2..1.0@500..2500`, or without `500..`; raises ValueError."""
        found = _RAMP.fullmatch(text.replace(" ", ""))
        if found is None:
            raise ValueError(f"'{text}' does not read NAME=FROM..TO@GAMES or NAME=FROM..TO@FIRST..LAST, as {_EXAMPLE}")
        name, start, end, first, last = found.groups()
        if name not in FIELDS:
            raise ValueError(f"'{text}' names '{name}'; a curriculum has {', '.join(FIELDS)}")
        try:
            ramp = cls(name, float(start), float(end), int(first or 0), int(last))
        except ValueError as error:
            raise ValueError(f"'{text}' holds what is not a number") from error
        if ramp.first >= ramp.last:
            raise ValueError(f"'{text}' ends after {ramp.last} games, not after the {ramp.first} at which it begins")
        if name != "weapon_prob" and (ramp.start % 1 or ramp.end % 1 or ramp.start > ramp.end):
            raise ValueError(f"'{text}': {name} goes from a whole number to a larger one")
        for games in (0, ramp.last):
            CurriculumState().merged(**{name: ramp.at(games)})
        return ramp

    def at(self, games: int) -> Any:
        """Return the field's value after so many games."""
        share = min(1.0, max(0, games - self.first) / (self.last - self.first))
        value = self.start + (self.end - self.start) * share
        return value if self.name == "weapon_prob" else (int(self.start), round(value))


@define
class Course:
    """The curriculum of a run.

    Attributes:
        base: What holds where no ramp says otherwise.
        ramps: What changes with the games played; a field that was set by hand changes no more.
        packs: Packs that a team can have at most.
        games: Games played.

    Raises:
        ValueError: a team would have more packs than that, or two ramps change one field.
    """

    base: CurriculumState
    ramps: Sequence[Ramp] = ()
    packs: int = MOST_PACKS
    games: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        names = [ramp.name for ramp in self.ramps]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"the schedule changes {', '.join(twice)} twice")
        for state in (self.base, self.now, self.final):
            self._check(state)

    @property
    def now(self) -> CurriculumState:
        """What the next match of training is like."""
        return self._after(self.games)

    @property
    def final(self) -> CurriculumState:
        """What matches are like in the end; it is under these that a policy is judged."""
        return self._after(max((ramp.last for ramp in self.ramps), default=0))

    def set(self, **changes: Any) -> None:
        """Change some fields; raises ValueError, and then nothing has changed."""
        base = self.base.merged(**changes)
        self._check(base)
        said = {name for name, value in changes.items() if value is not None}
        self.base, self.ramps = base, tuple(ramp for ramp in self.ramps if ramp.name not in said)

    def state(self) -> dict[str, Any]:
        """Return what `load_state` takes, JSON-able."""
        return {"games": self.games, "base": asdict(self.base), "ramps": [asdict(ramp) for ramp in self.ramps]}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `state()` was taken."""
        self.base, self.ramps = CurriculumState(**state["base"]), tuple(Ramp(**ramp) for ramp in state["ramps"])
        self.games = state["games"]

    def _after(self, games: int) -> CurriculumState:
        return self.base.merged(**{ramp.name: ramp.at(games) for ramp in self.ramps})

    def _check(self, state: CurriculumState) -> None:
        most = state.packs_per_team_range[1]
        if most > self.packs:
            raise ValueError(
                f"packs_per_team_range reaches {most}, but rows were made for {self.packs} pack"
                f"{'s' * (self.packs > 1)} a team; set environment.packs to {most}"
            )

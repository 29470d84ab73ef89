"""What a league remembers: matches, and what became of entries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from esper_league.glicko import Glicko2Rating


def _is_score(_: object, __: object, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"a score is {value}, not from 0 to 1")


@frozen
class Match:
    """One match.

    Attributes:
        first: Id of the entry that drove the learner's rows in this instance.
        second: Id of the entry that drove the other side.
        instance: 2 · seed + side.
        score: What the first scored: 1 for a victory, 0.5 for a draw, 0 for a defeat.
        outcome: What else came of it, JSON-able; outcomes of the environment by name.
        period: Number of the rating period in which it counted; None until it is rated.
        played_at: When it was recorded, ISO 8601 in UTC.
    """

    first: str
    second: str
    instance: int
    score: float = field(validator=_is_score)
    outcome: Mapping[str, Any] = field(factory=dict)
    period: int | None = None
    played_at: str = ""


@frozen
class Past:
    """What an entry's rating and kind were at the end of a rating period."""

    period: int
    closed_at: str
    entry: str
    rating: Glicko2Rating
    kind: str


@frozen
class Happening:
    """Something that became of an entry: `what` is 'added', 'promoted', 'retired' or 'reinstated'; `why` are facts."""

    at: str
    entry: str
    what: str
    why: Mapping[str, Any]


@frozen
class Period:
    """A rating period that was closed: its number, when, how many matches counted, and everybody's rating after it."""

    number: int
    closed_at: str
    matches: int
    ratings: Mapping[str, Glicko2Rating]

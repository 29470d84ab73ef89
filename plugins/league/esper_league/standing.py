"""What a learner knows of a league while it trains: who is in it, and how it did against them. Torch is not imported.

It is part of the run's checkpoints, so that a run goes on with the opponents that would have come next, whatever became
of the league meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import asdict, define, field, frozen

from esper_league.entry import CANDIDATE, COMMANDER, RULE, LeagueEntry
from esper_league.glicko import Glicko2Rating, rate
from esper_league.matchmaking import weigh

MEMORY_GAMES = 100.0
"""Matches against an opponent of which about two thirds of the weight of a score are the last: the learner changes."""


@frozen
class Rival:
    """An entry as it was when the league was last looked at."""

    id: str
    name: str
    kind: str
    rating: Glicko2Rating

    @classmethod
    def of(cls, entry: LeagueEntry) -> Rival:
        """Return what is known of an entry."""
        return cls(entry.id, entry.name, entry.kind, entry.rating)


@define
class Score:
    """Points and matches against an opponent; earlier ones fade."""

    points: float = 0.0
    games: float = 0.0

    def add(self, won: float) -> None:
        """Count a match."""
        kept = 1.0 - 1.0 / MEMORY_GAMES
        self.points, self.games = kept * self.points + won, kept * self.games + 1.0


@define
class Standing:
    """What a learner knows of a league.

    Attributes:
        learner: What the learner is rated by its matches against entries; each update is a rating period.
        rivals: All entries, by name, oldest first; None before the league was looked at.
        scores: How it did against them, by id.
        broken: Ids of those that cannot be played against.
    """

    learner: Glicko2Rating = field(factory=Glicko2Rating)
    rivals: dict[str, Rival] | None = None
    scores: dict[str, Score] = field(factory=dict)
    broken: set[str] = field(factory=set)

    def look(self, entries: Iterable[LeagueEntry]) -> None:
        """Take in who is in the league."""
        self.rivals = {entry.name: Rival.of(entry) for entry in entries}

    def playing(self, recent: int) -> list[Rival]:
        """Return who may be drawn, oldest first: rules, commanders, and the candidates that are the most `recent`."""
        able = [rival for rival in (self.rivals or {}).values() if rival.id not in self.broken]
        candidates = [rival.id for rival in able if rival.kind == CANDIDATE]
        met = set(candidates[-recent:] if recent else ())
        return [rival for rival in able if rival.kind in (RULE, COMMANDER) or rival.id in met]

    def weights(self, matchmaking: str, playing: Sequence[Rival]) -> list[float]:
        """Return the shares of the matches against those that are `playing`, of which there is one at least."""
        scores = [self.scores.get(rival.id, Score()) for rival in playing]
        ratings = [rival.rating for rival in playing]
        return weigh(matchmaking, self.learner, ratings, [one.points for one in scores], [one.games for one in scores])

    def played(self, matches: Sequence[tuple[str, float]]) -> None:
        """Take in the matches of an update: names of entries, and what the learner scored."""
        known = self.rivals or {}
        self.learner = rate(self.learner, [(known[name].rating, won) for name, won in matches])
        for name, won in matches:
            self.scores.setdefault(known[name].id, Score()).add(won)

    def state(self) -> dict[str, Any]:
        """Return all of it, as JSON can hold it."""
        rivals = None if self.rivals is None else [asdict(rival) for rival in self.rivals.values()]
        scores = {entry: [score.points, score.games] for entry, score in self.scores.items()}
        return {"learner": asdict(self.learner), "rivals": rivals, "scores": scores, "broken": sorted(self.broken)}

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Standing:
        """Return what `state()` was taken of; raises LookupError or TypeError for anything else."""
        rivals = state["rivals"] and [
            Rival(**{**rival, "rating": Glicko2Rating(**rival["rating"])}) for rival in state["rivals"]
        ]
        return cls(
            Glicko2Rating(**state["learner"]),
            None if rivals is None else {rival.name: rival for rival in rivals},
            {entry: Score(*score) for entry, score in state["scores"].items()},
            set(state["broken"]),
        )

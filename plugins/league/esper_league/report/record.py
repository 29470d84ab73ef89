"""What a league remembers, read once and in the order in which the page tells it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field

from esper_league.entry import RETIRED, LeagueEntry
from esper_league.league import League
from esper_league.match import Happening, Match, Past
from esper_league.matrix import Matrix, Triples, matrix_of, triples
from esper_league.retirement import ranking

if TYPE_CHECKING:
    from esper_core.registry.index import Index
    from esper_league.game import Game


@define(slots=False)  # so that properties may be cached
class Record:
    """A league at one moment.

    Attributes:
        path: Its directory.
        game: What is played.
        entries: Who plays, the best conservative rating first; then those who are retired, in the same order.
        history, matches, happenings: As `League` returns them, of these entries.
        broken: Why an entry cannot play, by id; only those who cannot.
    """

    path: Path
    game: Game
    entries: Sequence[LeagueEntry]
    history: Sequence[Past] = field(repr=False)
    matches: Sequence[Match] = field(repr=False)
    happenings: Sequence[Happening]
    broken: Mapping[str, str]

    @classmethod
    def read(cls, league: League, index: Index) -> Record:
        """Read a league; raises as its methods do."""
        # Whoever is named in these is among the entries, which are read last and never removed.
        history, matches, happenings = league.history(), league.matches(), league.happenings()
        entries = league.entries()
        playing = [entry for entry in entries if entry.plays]
        broken = {entry.id: why for entry in playing if (why := league.broken(entry, index))}
        ordered = ranking(playing) + ranking(entry for entry in entries if entry.kind == RETIRED)
        return cls(league.path, league.game, ordered, history, matches, happenings, broken)

    @cached_property
    def names(self) -> dict[str, str]:
        """Names of entries by id."""
        return {entry.id: entry.name for entry in self.entries}

    @cached_property
    def periods(self) -> dict[int, str]:
        """When each rating period was closed, by its number."""
        return {past.period: past.closed_at for past in self.history}

    @cached_property
    def matrix(self) -> Matrix:
        """Who scored what against whom, in the order of `entries`."""
        found = matrix_of(self.entries, self.matches)
        place = {name: number for number, name in enumerate(found.names)}
        order = [place[entry.name] for entry in self.entries]
        return Matrix(
            [entry.name for entry in self.entries],
            [[found.wins[i][j] for j in order] for i in order],
            [[found.games[i][j] for j in order] for i in order],
        )

    @cached_property
    def triples(self) -> Triples:
        """Who surely beats each other in a circle, and how many could."""
        return triples(self.matrix)

    @property
    def unrated(self) -> int:
        """Matches that no rating period has counted."""
        return sum(match.period is None for match in self.matches)

    def period_at(self, moment: str) -> int:
        """Return how many rating periods had been closed at a moment, ISO 8601 in UTC."""
        return bisect_left(sorted(self.periods.values()), moment)

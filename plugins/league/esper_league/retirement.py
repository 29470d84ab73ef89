"""Who is promoted and who is retired, as pure functions of entries.

Both rank by conservative rating, rating − 2·RD: what an entry is worth with some certainty. Of equals the older one
comes last, so that it goes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from esper_league.entry import CANDIDATE, COMMANDER, LeagueEntry
from esper_league.glicko import LARGEST_RD

KEEP_TOP, MIN_GAMES = 20, 20


def ranking(entries: Iterable[LeagueEntry]) -> list[LeagueEntry]:
    """Return entries by conservative rating, the best first; of equals the younger first."""
    youngest_first = sorted(entries, key=lambda entry: (entry.created_at, entry.id), reverse=True)
    return sorted(youngest_first, key=lambda entry: entry.rating.conservative, reverse=True)


def contenders(entries: Iterable[LeagueEntry]) -> list[LeagueEntry]:
    """Return commanders and rated candidates, the best first: who is as uncertain as a newcomer is not ranked."""
    return ranking(e for e in entries if e.kind == COMMANDER or (e.kind == CANDIDATE and e.rating.rd < LARGEST_RD))


def promotions(entries: Iterable[LeagueEntry], top: int = KEEP_TOP) -> list[LeagueEntry]:
    """Return the candidates that are among the first `top` contenders, the best first."""
    return [entry for entry in contenders(entries)[:top] if entry.kind == CANDIDATE]


def commanders(entries: Iterable[LeagueEntry]) -> list[LeagueEntry]:
    """Return the commanders, the best first."""
    return ranking(entry for entry in entries if entry.kind == COMMANDER)


def retirements(
    entries: Iterable[LeagueEntry], keep_top: int = KEEP_TOP, min_games: int = MIN_GAMES
) -> list[LeagueEntry]:
    """Return the commanders to retire, the worst first: outside the first `keep_top`, and with enough games.

    The first `keep_top` are kept whoever they are, so that newcomers, who are protected while they have fewer than
    `min_games` games, never displace the best: `keep_top` is what is kept at least, not a limit.
    """
    beyond = commanders(entries)[keep_top:]
    return [entry for entry in reversed(beyond) if entry.games >= min_games]


def reasons(ranked: Sequence[LeagueEntry], entry: LeagueEntry) -> dict[str, Any]:
    """Return the facts of a promotion or retirement: the rank, from 1 on, among those that were ranked, and why."""
    rank, rating = 1 + [other.id for other in ranked].index(entry.id), entry.rating
    return {"rank": rank, "of": len(ranked), "rating": rating.rating, "rd": rating.rd, "games": entry.games}

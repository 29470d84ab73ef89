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


def promotions(entries: Sequence[LeagueEntry], top: int = KEEP_TOP) -> list[LeagueEntry]:
    """Return the candidates that rank among the first `top` of commanders and candidates, the best first.

    Who is as uncertain as a newcomer, having never been rated, is not ranked.
    """
    known = [e for e in entries if e.kind == COMMANDER or (e.kind == CANDIDATE and e.rating.rd < LARGEST_RD)]
    return [entry for entry in ranking(known)[:top] if entry.kind == CANDIDATE]


def retirements(
    entries: Sequence[LeagueEntry], keep_top: int = KEEP_TOP, min_games: int = MIN_GAMES
) -> list[LeagueEntry]:
    """Return the commanders to retire, the worst first: outside the first `keep_top`, and with enough games.

    The first `keep_top` are kept whoever they are, so that newcomers, who are protected while they have fewer than
    `min_games` games, never displace the best: `keep_top` is what is kept at least, not a limit.
    """
    beyond = ranking(entry for entry in entries if entry.kind == COMMANDER)[keep_top:]
    return [entry for entry in reversed(beyond) if entry.games >= min_games]


def reasons(entries: Sequence[LeagueEntry], entry: LeagueEntry) -> dict[str, Any]:
    """Return the facts of an entry's promotion or retirement: its rank among commanders and itself, from 1 on."""
    ranked = ranking(other for other in entries if other.kind == COMMANDER or other.id == entry.id)
    rank = [other.id for other in ranked].index(entry.id) + 1
    rating = entry.rating
    return {"rank": rank, "of": len(ranked), "rating": rating.rating, "rd": rating.rd, "games": entry.games}

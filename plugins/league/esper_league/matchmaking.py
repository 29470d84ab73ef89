"""Whom a learner meets: weights of opponents, from ratings or from what it scored against them. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from esper_league.glicko import Glicko2Rating

MATCHMAKINGS = ("pfsp", "rating", "uniform")

WIDTH = 200.0
"""Standard deviation of the ratings that are met, points."""

HARDNESS = 2.0
"""Exponent of `pfsp`: the higher, the more are those met that are hard to beat."""

PRIOR_GAMES = 2.0
"""Games, half of them won, that everybody is taken to have played: none is written off, or feared, for one match."""


def weigh(
    matchmaking: str,
    learner: Glicko2Rating,
    opponents: Sequence[Glicko2Rating],
    wins: Sequence[float],
    games: Sequence[float],
) -> list[float]:
    """Return the share of matches against each of K opponents; they add up to 1.

    Args:
        matchmaking: One of `MATCHMAKINGS`.
        learner: The learner's rating.
        opponents: Theirs, `[K]`.
        wins: What the learner scored against each, points, `[K]`.
        games: Matches against each, `[K]`.

    Raises:
        ValueError: another word, or no opponent.
    """
    if not opponents:
        raise ValueError("there is no opponent")
    if matchmaking == "uniform":
        return uniform(len(opponents))
    if matchmaking == "rating":
        return by_rating(learner, opponents)
    if matchmaking == "pfsp":
        return prioritised(wins, games)
    raise ValueError(f"matchmaking is '{matchmaking}', not one of {', '.join(MATCHMAKINGS)}")


def uniform(count: int) -> list[float]:
    """Return equal shares."""
    return [1.0 / count] * count


def by_rating(learner: Glicko2Rating, opponents: Sequence[Glicko2Rating], width: float = WIDTH) -> list[float]:
    """Return shares by how near ratings are: exp(−Δ² / 2·width²)."""
    exponents = [-0.5 * ((opponent.rating - learner.rating) / width) ** 2 for opponent in opponents]
    largest = max(exponents)  # so that the nearest is met however far it is
    return _shares([math.exp(exponent - largest) for exponent in exponents])


def prioritised(wins: Sequence[float], games: Sequence[float], hardness: float = HARDNESS) -> list[float]:
    """Return shares by how hard opponents are to beat: (1 − p)^hardness, where p is what the learner scored per match.

    Prioritised fictitious self-play, f_hard of Vinyals et al. (2019), "Grandmaster level in StarCraft II using
    multi-agent reinforcement learning", Methods.
    """
    scored = [(won + 0.5 * PRIOR_GAMES) / (played + PRIOR_GAMES) for won, played in zip(wins, games, strict=True)]
    return _shares([(1.0 - share) ** hardness for share in scored])


def _shares(weights: Sequence[float]) -> list[float]:
    total = sum(weights)
    return [weight / total for weight in weights]

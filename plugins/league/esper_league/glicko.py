"""Glicko-2: ratings that know how uncertain they are.

Source: M. E. Glickman, "Example of the Glicko-2 system" (http://www.glicko.net/glicko/glicko2.pdf); the names of
functions and letters are his. Ratings are points, 1500 for a newcomer; inside, they are divided by `SCALE`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from attrs import Attribute, evolve, field, frozen

SCALE = 173.7178
"""Points of one unit inside."""

START, LARGEST_RD, START_VOL = 1500.0, 350.0, 0.06
"""What a newcomer begins with; nobody is ever less certain than a newcomer."""

TAU = 0.5
"""How fast volatilities may change."""

CLOSE_ENOUGH = 1e-12
"""Within which the logarithm of a variance is found; Glickman suggests 1e-6."""

MOST_STEPS = 200
"""Steps of a search at most; it needs about ten."""


def _is_finite(_: object, attribute: Attribute[float], value: float) -> None:
    if not math.isfinite(value):
        raise ValueError(f"{attribute.name} is {value}, not a finite number")


def _is_positive(_: object, attribute: Attribute[float], value: float) -> None:
    if not 0.0 < value < math.inf:
        raise ValueError(f"{attribute.name} is {value}, not a number above 0")


@frozen
class Glicko2Rating:
    """How strong somebody is.

    Attributes:
        rating: Points.
        rd: Rating deviation, points: one standard deviation of what is not known; at most 350.
        vol: Volatility: how much strength is expected to change from period to period.

    Raises:
        ValueError: a number that is not finite, or a deviation or volatility that is not above 0.
    """

    rating: float = field(default=START, validator=_is_finite)
    rd: float = field(default=LARGEST_RD, validator=_is_positive)
    vol: float = field(default=START_VOL, validator=_is_positive)

    @property
    def conservative(self) -> float:
        """Strength that it has with a probability of about 98 %: rating − 2·RD, points."""
        return self.rating - 2.0 * self.rd


def rate(player: Glicko2Rating, results: Iterable[tuple[Glicko2Rating, float]], *, tau: float = TAU) -> Glicko2Rating:
    """Return the rating after a period.

    Args:
        player: The rating before it.
        results: For every match of the period the opponent's rating before it, and the score: 1 for a victory, 0.5 for
            a draw, 0 for a defeat. Without any, only the deviation grows.
        tau: How fast the volatility may change.

    Raises:
        ValueError: a score that is not from 0 to 1.
    """
    played = list(results)
    if wrong := [score for _, score in played if not 0.0 <= score <= 1.0]:
        raise ValueError(f"a score is {wrong[0]}, not from 0 to 1")
    if not played:
        return idle(player)
    mu, phi = _inside(player)
    information, surprise = 0.0, 0.0
    for opponent, score in played:
        mu_j, phi_j = _inside(opponent)
        g, expected = _g(phi_j), _expected(mu, mu_j, phi_j)
        # Where the weaker has next to no chance, 1 − E is rounded to 0; E of the other side is not.
        information += g * g * expected * _expected(-mu, -mu_j, phi_j)
        surprise += g * (score - expected)
    v = 1.0 / information
    vol = _volatility(v * surprise, phi, v, player.vol, tau)
    before = phi * phi + vol * vol
    after = 1.0 / (1.0 / before + information)
    rating = START + SCALE * (mu + after * surprise)
    return Glicko2Rating(rating, min(SCALE * math.sqrt(after), LARGEST_RD), vol)


def idle(player: Glicko2Rating, periods: int = 1) -> Glicko2Rating:
    """Return the rating after periods without a match: less certain, as far as a newcomer at most."""
    _, phi = _inside(player)
    grown = math.sqrt(phi * phi + periods * player.vol * player.vol)
    return evolve(player, rd=max(player.rd, min(SCALE * grown, LARGEST_RD)))


def rate_all(
    ratings: Sequence[Glicko2Rating], results: Iterable[tuple[int, int, float]], *, tau: float = TAU
) -> list[Glicko2Rating]:
    """Return everybody's rating after a period, each found from all ratings before it, so that no order matters.

    Args:
        ratings: Those before it.
        results: For every match the numbers of both players in `ratings`, and the score of the first.
        tau: As for `rate`.
    """
    met: list[list[tuple[Glicko2Rating, float]]] = [[] for _ in ratings]
    for first, second, score in results:
        met[first].append((ratings[second], score))
        met[second].append((ratings[first], 1.0 - score))
    return [rate(player, played, tau=tau) for player, played in zip(ratings, met, strict=True)]


def expected_score(first: Glicko2Rating, second: Glicko2Rating) -> float:
    """Return what the first is expected to score against the second, from 0 to 1; both scores add up to 1.

    What is not known of either draws it towards 0.5.
    """
    (mu, phi), (mu_j, phi_j) = _inside(first), _inside(second)
    return _expected(mu, mu_j, math.hypot(phi, phi_j))


def _inside(player: Glicko2Rating) -> tuple[float, float]:
    return (player.rating - START) / SCALE, player.rd / SCALE


def _g(phi: float) -> float:
    return 1.0 / math.sqrt(1.0 + 3.0 * phi * phi / math.pi**2)


def _expected(mu: float, mu_j: float, phi_j: float) -> float:
    x = _g(phi_j) * (mu - mu_j)
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0.0 else math.exp(x) / (1.0 + math.exp(x))


def _volatility(delta: float, phi: float, v: float, vol: float, tau: float) -> float:
    """Return the new volatility: step 5, the Illinois variant of regula falsi, in a bounded number of steps."""
    a = math.log(vol * vol)
    known = phi * phi + v

    def f(x: float) -> float:
        variance = math.exp(x)
        spread = known + variance
        return variance * (delta * delta - spread) / (2.0 * spread * spread) - (x - a) / (tau * tau)

    low, high = a, a
    if delta * delta > known:
        high = math.log(delta * delta - known)
    else:
        for k in range(1, MOST_STEPS):
            high = a - k * tau
            if f(high) >= 0.0:
                break
    f_low, f_high = f(low), f(high)
    for _ in range(MOST_STEPS):
        if abs(high - low) <= CLOSE_ENOUGH or f_high == f_low:
            break
        x = low + (low - high) * f_low / (f_high - f_low)
        f_x = f(x)
        if f_x * f_high <= 0.0:
            low, f_low = high, f_high
        else:
            f_low /= 2.0
        high, f_high = x, f_x
    return math.exp(low / 2.0)

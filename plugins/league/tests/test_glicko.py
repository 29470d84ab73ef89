"""Ratings are Glickman's, to the last digit that matters, and behave where his examples do not go."""

from __future__ import annotations

import math
import random

import glicko2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from esper_league import Glicko2Rating, rate
from esper_league.glicko import LARGEST_RD, expected_score, idle, rate_all

ratings = st.builds(
    Glicko2Rating,
    st.floats(0.0, 3000.0),
    st.floats(20.0, LARGEST_RD),
    st.floats(0.02, 0.12),
)
results = st.lists(st.tuples(ratings, st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=12)


def test_glickmans_example() -> None:
    opponents = [(Glicko2Rating(1400, 30), 1.0), (Glicko2Rating(1550, 100), 0.0), (Glicko2Rating(1700, 300), 0.0)]
    after = rate(Glicko2Rating(1500, 200, 0.06), opponents)
    # Steps 3 to 7 of his paper in 40 digits (mpmath); he prints 1464.06, 151.52 and 0.05999, having rounded between.
    assert after.rating == pytest.approx(1464.050670539089, abs=1e-6)
    assert after.rd == pytest.approx(151.5165241243043, abs=1e-6)
    assert after.vol == pytest.approx(0.0599959844006778, abs=1e-8)
    assert after.conservative == after.rating - 2 * after.rd


class Other(glicko2.Player):  # type: ignore[misc]
    """The package's player, with φ² where its `_f` of version 2.1.0 has the square of the rating by mistake."""

    def _f(self, x: float, delta: float, v: float, a: float) -> float:
        spread = (self.rd / 173.7178) ** 2 + v + math.exp(x)
        return math.exp(x) * (delta**2 - spread) / (2 * spread**2) - (x - a) / self._tau**2


@given(ratings, results)
def test_the_package_glicko2_says_the_same(player: Glicko2Rating, played: list[tuple[Glicko2Rating, float]]) -> None:
    other = Other(player.rating, player.rd, player.vol)
    other.update_player([o.rating for o, _ in played], [o.rd for o, _ in played], [score for _, score in played])
    after = rate(player, played)
    # It finds the logarithm of the variance within 1e-6.
    assert after.rating == pytest.approx(other.rating, abs=1e-2)
    assert after.rd == pytest.approx(min(other.rd, LARGEST_RD), abs=1e-3)
    assert after.vol == pytest.approx(other.vol, rel=1e-5)


@given(st.builds(Glicko2Rating, st.floats(-5e3, 8e3), st.floats(1e-3, 350), st.floats(1e-9, 0.5)), results)
@settings(max_examples=200)
def test_whatever_was_played_a_rating_is_one(player: Glicko2Rating, played: list[tuple[Glicko2Rating, float]]) -> None:
    after = rate(player, played)  # its own validators refuse what is not finite
    assert after.rd <= LARGEST_RD
    again = rate(player, played[::-1])
    assert (again.rating, again.rd, again.vol) == pytest.approx((after.rating, after.rd, after.vol), rel=1e-6)


@given(ratings, ratings)
def test_both_expectations_add_up_to_one(first: Glicko2Rating, second: Glicko2Rating) -> None:
    assert expected_score(first, second) + expected_score(second, first) == pytest.approx(1.0)
    assert expected_score(first, second) >= 0.5 or first.rating < second.rating


def test_who_does_not_play_becomes_as_uncertain_as_a_newcomer_at_most() -> None:
    player = Glicko2Rating(1700, 50, 0.06)
    once = rate(player, [])
    assert once == idle(player) and once.rating == 1700 and once.rd == pytest.approx(math.hypot(50, 0.06 * 173.7178))
    assert idle(player, 2).rd == pytest.approx(idle(once).rd)
    assert idle(Glicko2Rating()).rd == idle(player, 10**6).rd == LARGEST_RD


def test_a_period_is_rated_from_what_was_before_it() -> None:
    a, b, c = (Glicko2Rating(rating, 100) for rating in (1400, 1500, 1600))
    after = rate_all([a, b, c], [(0, 1, 1.0), (1, 2, 0.5), (0, 1, 0.0)])
    assert after == [
        rate(a, [(b, 1.0), (b, 0.0)]),
        rate(b, [(a, 0.0), (c, 0.5), (a, 1.0)]),
        rate(c, [(b, 0.5)]),
    ]


def test_twelve_players_of_known_strength_are_put_in_order() -> None:
    draw = random.Random(7)
    strengths = [1000.0 + 90.0 * number for number in range(12)]
    players = [Glicko2Rating() for _ in strengths]
    for _ in range(10):  # periods of three games each
        played = []
        for _ in range(3):
            order = draw.sample(range(12), 12)
            for i, j in zip(order[::2], order[1::2], strict=True):
                chance = 1.0 / (1.0 + 10.0 ** ((strengths[j] - strengths[i]) / 400.0))
                played.append((i, j, float(draw.random() < chance)))
        players = rate_all(players, played)
    found = [player.rating for player in players]
    assert spearmanr(found, strengths).statistic >= 0.9
    assert sum(abs(p.rating - s) < 2 * p.rd for p, s in zip(players, strengths, strict=True)) >= 10


@pytest.mark.parametrize("said", [{"rating": math.nan}, {"rd": 0.0}, {"rd": math.inf}, {"vol": -0.1}])
def test_what_is_no_rating_is_refused(said: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(said))):
        Glicko2Rating(**said)


def test_a_score_is_from_0_to_1() -> None:
    with pytest.raises(ValueError, match="score is 2"):
        rate(Glicko2Rating(), [(Glicko2Rating(), 2.0)])

"""Shares of matches by hand."""

from __future__ import annotations

import math

import pytest

from esper_league import Glicko2Rating
from esper_league.matchmaking import MATCHMAKINGS, weigh

LEARNER = Glicko2Rating(1500)
THREE = [Glicko2Rating(rating) for rating in (1500, 1700, 1900)]


def test_uniform() -> None:
    assert weigh("uniform", LEARNER, THREE, [0, 0, 0], [0, 0, 0]) == [1 / 3] * 3


def test_rating_prefers_the_near() -> None:
    found = weigh("rating", LEARNER, THREE, [0, 0, 0], [0, 0, 0])
    assert found[1] / found[0] == pytest.approx(math.exp(-0.5)) and found[2] / found[0] == pytest.approx(math.exp(-2))
    assert weigh("rating", Glicko2Rating(-1e5), THREE, [], [])[0] > 0.99, "the nearest is met however far it is"


def test_pfsp_prefers_whom_the_learner_does_not_beat() -> None:
    # p is 0.9, 0.5 and 0.1 with one game won and one lost beforehand.
    found = weigh("pfsp", LEARNER, THREE, [8, 4, 0], [8, 8, 8])
    assert [share / found[1] for share in found] == pytest.approx([0.04, 1, 3.24])
    assert weigh("pfsp", LEARNER, THREE, [0, 0, 0], [0, 0, 0]) == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize("matchmaking", MATCHMAKINGS)
def test_shares_add_up_to_one(matchmaking: str) -> None:
    assert sum(weigh(matchmaking, LEARNER, THREE, [9999, 1, 0], [9999, 1, 0])) == pytest.approx(1)


def test_what_cannot_be_weighed() -> None:
    with pytest.raises(ValueError, match="'skill', not one of pfsp, rating, uniform"):
        weigh("skill", LEARNER, THREE, [], [])
    with pytest.raises(ValueError, match="no opponent"):
        weigh("uniform", LEARNER, [], [], [])

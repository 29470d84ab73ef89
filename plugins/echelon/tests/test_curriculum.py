"""What matches are like: checked, drawn from their seeds, and changed by the games that were played."""

from __future__ import annotations

import json
from typing import Any

import pytest

from esper_echelon.matches.config import EchelonConfig
from esper_echelon.matches.curriculum import SMALLEST_MAP, Course, CurriculumState, Ramp
from esper_echelon.simulation.ground import SMALLEST


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weapon_prob": 1.1}, "weapon_prob is 1.1"),
        ({"weapon_prob": float("nan")}, "weapon_prob is nan"),
        ({"weapon_prob": "often"}, "weapon_prob is 'often'"),
        ({"weapon_prob": [0.5]}, "weapon_prob is \\[0.5\\]"),
        ({"map_size_range": (60, 40)}, "map_size_range is \\(60, 40\\): its first number is above"),
        ({"map_size_range": (1, 1)}, "map_size_range is \\(1, 1\\), but the side of a map is 24 to 100"),
        ({"map_size_range": 60}, "map_size_range is 60, not two whole numbers"),
        ({"map_size_range": (40, 50.5)}, "map_size_range"),
        ({"packs_per_team_range": (0, 1)}, "packs_per_team_range is \\(0, 1\\), but a team has 1 to 2"),
        ({"packs_per_team_range": (1, 3)}, "packs_per_team_range"),
        ({"pace": 1}, "no pace; it has weapon_prob, map_size_range, packs_per_team_range"),
    ],
)
def test_what_cannot_be_is_refused_by_name(changes: dict[str, Any], said: str) -> None:
    state = CurriculumState()
    with pytest.raises(ValueError, match=said):
        state.merged(**changes)


def test_maps_are_as_small_as_the_ground_allows() -> None:
    assert SMALLEST_MAP == SMALLEST


def test_merging_changes_what_is_said_and_nothing_else() -> None:
    state = CurriculumState().merged(weapon_prob=0.5).merged(map_size_range=[60, 60], weapon_prob=None)
    assert state == CurriculumState(0.5, (60, 60), (1, 1))


def test_a_match_draws_from_its_seed_within_the_ranges() -> None:
    state = CurriculumState(1.0, (40, 60), (1, 2))
    drawn = [state.drawn(seed) for seed in range(200)]
    assert drawn == [state.drawn(seed) for seed in range(200)]
    assert {size for size, _ in drawn} <= set(range(40, 61)) and len({size for size, _ in drawn}) > 15
    assert {packs for _, packs in drawn} == {1, 2}
    assert CurriculumState(1.0, (60, 60)).drawn(3) == (60, 1)


def test_a_schedule_follows_the_games() -> None:
    texts = ("weapon_prob=0.2..1.0@100..500", "map_size_range=40..100@300", "packs_per_team_range=1..2@400")
    course = Course(CurriculumState(), [Ramp.of(text) for text in texts])
    seen = {}
    for course.games in (0, 100, 300, 500, 900):
        seen[course.games] = course.now
    assert seen[0] == CurriculumState(0.2, (40, 40), (1, 1))
    assert seen[100] == CurriculumState(0.2, (40, 60), (1, 1))
    assert seen[300].weapon_prob == pytest.approx(0.6)
    assert seen[500] == seen[900] == course.final == CurriculumState(1.0, (40, 100), (1, 2))
    course.games = 100
    again = Course(CurriculumState())
    again.load_state(json.loads(json.dumps(course.state())))
    assert (again.now, again.final) == (course.now, course.final)


def test_what_is_set_no_longer_follows_the_schedule() -> None:
    course = Course(CurriculumState(), [Ramp.of("weapon_prob=0.2..1.0@100")])
    course.set(weapon_prob=0.4)
    course.games = 50
    assert course.now.weapon_prob == course.final.weapon_prob == 0.4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"schedule": ["weapon_prob=0.2"]}, "does not read NAME=FROM..TO@GAMES"),
        ({"schedule": ["courage=0..1@10"]}, "names 'courage'"),
        ({"schedule": ["weapon_prob=0..1@10..10"]}, "ends after 10 games"),
        ({"schedule": ["weapon_prob=0..2@10"]}, "weapon_prob is 2.0"),
        ({"schedule": ["map_size_range=60..40@10"]}, "from a whole number to a larger one"),
        ({"schedule": ["weapon_prob=0..1@10", "weapon_prob=0..1@20"]}, "changes weapon_prob twice"),
        ({"schedule": ["packs_per_team_range=1..2@10"]}, "reaches 2, but rows were made for 1 pack"),
        ({"packs_per_team_range": [1, 2]}, "reaches 2, but rows were made for 1 pack"),
        ({"map_size_range": [60]}, "map_size_range is"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        EchelonConfig(**options)

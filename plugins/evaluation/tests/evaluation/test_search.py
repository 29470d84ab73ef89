"""The search for a fixed schedule: how much it plays, what it finds, and that it goes on where it was left."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from esper_evaluation.schedule import Schedule
from esper_evaluation.search import Search
from esper_testing.player import Separately, play
from esper_testing.reference.environment import HELD_OUT


def nothing(*_: Any) -> None:
    """Take anything in."""


@pytest.mark.parametrize("batches", [1, 2, 3, 7, 16, 40])
@pytest.mark.parametrize("envs", [1, 3, 8])
def test_it_plays_exactly_what_it_may_and_halves_down_to_one(lamps: Any, batches: int, envs: int) -> None:
    environment, masks = lamps(envs)
    search = Search(environment, masks, batches)
    assert sum(search.rounds) == batches and min(search.rounds) >= 1
    candidates = search.rounds[0] * envs
    if batches >= 7:
        assert candidates <= 2 ** len(search.rounds), "the last round has two left at most"
        assert len(search.rounds) == 1 or candidates > 2 ** (len(search.rounds) - 2)


def test_the_budget_is_spent_on_training_instances_alone(lamps: Any, begun: list[int]) -> None:
    search = Search(*lamps(), 10)
    lines: list[dict[str, Any]] = []
    found = search.run({}, lines.append, nothing)
    assert len(begun) == len(set(begun)) == search.episodes == 30 and max(begun) < HELD_OUT
    assert len(lines) == 10 and found.candidates == 3 * search.rounds[0]
    assert sum("schedules" in line for line in lines) == search.rounds[0]
    played = [value for line in lines for value in line["returns"]]
    assert found.episodes > 1 and min(played) <= found.score <= max(played)


@pytest.mark.parametrize("layout", ["slotted", "rooted", "flat"])
def test_what_it_finds_is_better_than_chance(lamps: Any, layout: str) -> None:
    environment, masks = lamps(8, layout)
    lines: list[dict[str, Any]] = []
    found = Search(environment, masks, 24).run({}, lines.append, nothing)
    chance = [value for line in lines if "schedules" in line for value in line["returns"]]
    fresh = []
    for seed in range(8):
        rules = [Schedule(environment.actions, found.rows) for _ in range(8)]
        fresh += play(environment, masks, Separately(rules, range(8)), seed=seed).returns()
    assert sum(fresh) / len(fresh) > sum(chance) / len(chance)


def test_it_goes_on_where_it_was_left(lamps: Any, begun: list[int]) -> None:
    search = Search(*lamps(), 9)
    whole: list[dict[str, Any]] = []
    expected = search.run({}, whole.append, nothing)
    for done in (0, 1, 4, 8, 9):
        more: list[dict[str, Any]] = []
        begun.clear()
        found = search.run(dict(enumerate(whole[:done])), more.append, nothing)
        assert found == expected and more == whole[done:] and len(begun) == 3 * (9 - done)


def test_a_candidate_is_played_as_it_was_recorded(lamps: Any) -> None:
    environment, masks = lamps()
    lines: list[dict[str, Any]] = []
    Search(environment, masks, 1).run({}, lines.append, nothing)
    (line,) = lines
    instances = list(environment.instances)
    rules = [Schedule(environment.actions, rows) for rows in line["schedules"]]
    again = play(environment, masks, Separately(rules, range(3)), options={"instances": instances})
    assert again.returns() == line["returns"]
    assert torch.equal(again.lengths, torch.full((3,), 6))

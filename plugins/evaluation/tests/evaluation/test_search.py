"""The search for a fixed schedule: how much it plays, what it finds, and that it goes on where it was left."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from esper_evaluation.schedule import Schedule, search_batch
from esper_evaluation.search import Found, Search
from esper_testing.player import Separately, play
from esper_testing.reference.environment import HELD_OUT


def found_by(environment: Any, masks: Any, batches: int, known: Any = (), lines: Any = None) -> Found:
    """Search, and put what batches bring into `lines`."""

    def play_batch(batch: int, chosen: Any) -> dict[str, Any]:
        line = search_batch(environment, masks, batch, chosen)
        if lines is not None:
            lines.append(line)
        return line

    return Search(batches, environment.num_envs).run(dict(enumerate(known)), play_batch)


@pytest.mark.parametrize("batches", [1, 2, 3, 7, 16, 40])
@pytest.mark.parametrize("envs", [1, 3, 8])
def test_it_plays_exactly_what_it_may_and_halves_down_to_one(batches: int, envs: int) -> None:
    search = Search(batches, envs)
    assert sum(search.rounds) == batches and min(search.rounds) >= 1
    candidates = search.rounds[0] * envs
    if batches >= 7:
        assert candidates <= 2 ** len(search.rounds), "the last round has two left at most"
        assert len(search.rounds) == 1 or candidates > 2 ** (len(search.rounds) - 2)


def test_the_budget_is_spent_on_training_instances_alone(lamps: Any, begun: list[int]) -> None:
    search = Search(10, 3)
    lines: list[dict[str, Any]] = []
    found = found_by(*lamps(), 10, lines=lines)
    assert len(begun) == len(set(begun)) == search.episodes == 30 and max(begun) < HELD_OUT
    assert len(lines) == 10 and found.candidates == 3 * search.rounds[0]
    assert sum("schedules" in line for line in lines) == search.rounds[0]
    played = [value for line in lines for value in line["returns"]]
    assert found.episodes > 1 and min(played) <= found.score <= max(played)


@pytest.mark.parametrize("layout", ["slotted", "rooted", "flat"])
def test_what_it_finds_is_better_than_chance(lamps: Any, layout: str) -> None:
    environment, masks = lamps(8, layout)
    lines: list[dict[str, Any]] = []
    found = found_by(environment, masks, 24, lines=lines)
    chance = [value for line in lines if "schedules" in line for value in line["returns"]]
    fresh = []
    for seed in range(8):
        rules = [Schedule(environment.actions, found.rows) for _ in range(8)]
        fresh += play(environment, masks, Separately(rules, range(8)), seed=seed).returns()
    assert sum(fresh) / len(fresh) > sum(chance) / len(chance)


def test_it_goes_on_where_it_was_left(lamps: Any, begun: list[int]) -> None:
    world = lamps()
    whole: list[dict[str, Any]] = []
    expected = found_by(*world, 9, lines=whole)
    for done in (0, 1, 4, 8, 9):
        more: list[dict[str, Any]] = []
        begun.clear()
        found = found_by(*world, 9, whole[:done], more)
        assert found == expected and more == whole[done:] and len(begun) == 3 * (9 - done)


def test_a_candidate_is_played_as_it_was_recorded(lamps: Any) -> None:
    environment, masks = lamps()
    lines: list[dict[str, Any]] = []
    found_by(environment, masks, 1, lines=lines)
    (line,) = lines
    instances = list(environment.instances)
    rules = [Schedule(environment.actions, rows) for rows in line["schedules"]]
    again = play(environment, masks, Separately(rules, range(3)), options={"instances": instances})
    assert again.returns() == line["returns"]
    assert torch.equal(again.lengths, torch.full((3,), 6))

"""Schedules, and random ways to act."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from esper_core.contracts.actions import ActionSpec, Head
from esper_core.contracts.protocols import Masks
from esper_core.policy.legality import find_illegal
from esper_evaluation.schedule import Matched, Schedule, Wandering, recorded
from esper_testing.player import Played, Separately, play

SPEC = ActionSpec((Head("op", ("WAIT", "GROW", "CUT")), Head("what", ("x", "y", "z", "none"), 3, ("GROW",))), root="op")


def masks(*ops: str) -> Masks:
    op = torch.tensor([[label in ops for label in SPEC.ops]])
    return Masks({"op": op, "what": torch.tensor([[True, True, True, False]])})


def ops_of(rule: Any, legal: list[Masks], seed: int = 0) -> list[str]:
    generator = torch.Generator().manual_seed(seed)
    rule.reset(1)
    return [SPEC.ops[int(rule({}, here, generator)["op"])] for here in legal]


FREE = masks("WAIT", "GROW", "CUT")


def test_matched_play_has_the_given_operations_in_another_order() -> None:
    ops = [0] * 10 + [1] * 6 + [2] * 4
    orders = [ops_of(Matched(SPEC, ops), [FREE] * 20, seed) for seed in range(5)]
    assert all(Counter(order) == {"WAIT": 10, "GROW": 6, "CUT": 4} for order in orders)
    assert len({tuple(order) for order in orders}) == 5
    assert orders[0] == ops_of(Matched(SPEC, ops), [FREE] * 20, 0)


def test_an_operation_that_is_illegal_is_deferred_and_nothing_else_is_lost() -> None:
    ops = [1, 1, 2, 0]
    calm = masks("WAIT")
    played = ops_of(Matched(SPEC, ops), [calm, calm, calm, *[FREE] * 3])
    assert played[:3] == ["WAIT"] * 3, "the one WAIT of its own, then because nothing else is legal"
    assert Counter(played[3:]) == {"GROW": 2, "CUT": 1}
    assert ops_of(Matched(SPEC, [1]), [FREE] * 3) == ["GROW", "WAIT", "WAIT"], "when all are used up it waits"
    first_legal = ops_of(Matched(SPEC, [1, 2, 2, 2]), [masks("WAIT", "GROW"), *[FREE] * 3])
    assert first_legal == ["GROW", "CUT", "CUT", "CUT"]


def test_all_else_about_an_operation_is_drawn_among_what_is_legal() -> None:
    rule, generator = Matched(SPEC, [1] * 300 + [2] * 30), torch.Generator().manual_seed(0)
    rule.reset(1)
    drawn = [rule({}, FREE, generator) for _ in range(330)]
    growing = Counter(int(a["what"]) for a in drawn if int(a["op"]) == 1)
    assert set(growing) == {0, 1, 2} and min(growing.values()) > 60
    assert {int(a["what"]) for a in drawn if int(a["op"]) == 2} == {3}, "neutral where it does not matter"


def test_a_schedule_does_what_it_says_where_that_is_legal_and_nothing_after_its_end() -> None:
    rule = Schedule(SPEC, [[1, 0], [1, 2], [2, 3]])
    rule.reset(1)
    generator = torch.Generator()
    done = [rule({}, here, generator) for here in (FREE, masks("WAIT", "CUT"), FREE, FREE)]
    assert [(int(a["op"]), int(a["what"])) for a in done] == [(1, 0), (0, 3), (2, 3), (0, 3)]
    rule.reset(1)
    assert int(rule({}, FREE, generator)["what"]) == 0


@pytest.mark.parametrize("layout", ["slotted", "rooted", "flat"])
def test_wandering_is_legal_and_now_busy_now_calm(lamps: Any, layout: str) -> None:
    environment, provider = lamps(4, layout, epochs=30)
    seen: list[Masks] = []
    waits = []
    for seed in range(4):
        rules = Separately([Wandering(environment.actions) for _ in range(4)], [10 * seed + i for i in range(4)])
        played = play(environment, lambda state: seen.append(provider(state)) or seen[-1], rules, seed=seed)
        for here, actions in zip(seen[-30:], played.actions, strict=True):
            illegal = find_illegal(environment.actions, here, dict(actions))
            assert not any(bool(where.any()) for where in illegal.values())
        waits += [played.column(environment.actions.names[0], env).count(0) / 30 for env in range(4)]
    assert layout == "flat" or min(waits) < 0.5 < 0.8 < max(waits)


def test_what_is_recorded_ends_with_the_episode() -> None:
    actions = [{"op": torch.tensor([1, 2]), "what": torch.tensor([0, 3])} for _ in range(3)]
    played = Played(actions, torch.tensor([3, 1]), [])
    assert recorded(SPEC, played, 0) == [[1, 0]] * 3
    assert recorded(SPEC, played, 1) == [[2, 3]]

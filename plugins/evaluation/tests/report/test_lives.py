"""Lives of things in slots from events."""

from __future__ import annotations

from esper_evaluation.report.lives import lives, stage_order
from plugins.evaluation.tests.report.conftest import episode, seed


def lived(*events):
    return lives([{"update": 1, **event} for event in events], "blueprint")


def test_a_life_goes_from_stage_to_stage_until_the_episode_ends():
    (life,) = lived(*seed(0, "r0c0", "norm", (2, "A", 9), (3, "B", 9), (7, "C", 9)), episode(0, 9))
    assert [(s.stage, s.start, s.end) for s in life.stretches] == [("A", 2, 3), ("B", 3, 7), ("C", 7, 10)]
    assert (life.start, life.end, life.stage, life.ending) == (2, 10, "C", None)


def test_a_slot_that_is_empty_again_ends_a_life_and_may_begin_another():
    first = seed(0, "r0c0", "norm", (0, "A", 9), (4, "GONE", None), (4, "GONE", None))
    found = lived(*first, *seed(0, "r0c0", "conv", (8, "A", 20)), episode(0, 9))
    assert [(life.content, life.start, life.end, life.ending) for life in found] == [
        ("norm", 0, 4, "GONE"),
        ("conv", 8, 10, None),
    ]


def test_an_event_that_keeps_the_stage_makes_no_new_stretch_and_a_stage_left_at_once_is_none():
    (life,) = lived(*seed(0, "s", "norm", (0, "A", 9), (2, "A", 9), (3, "B", 9), (3, "C", 9)), episode(0, 5))
    assert [(s.stage, s.start, s.end) for s in life.stretches] == [("A", 0, 3), ("C", 3, 6)]


def test_updates_environments_and_slots_are_kept_apart():
    events = [
        {"update": update, **event}
        for update in (1, 2)
        for env in (0, 1)
        for event in (*seed(env, "a", "norm", (0, "A", 9)), *seed(env, "b", "norm", (1, "A", 9)), episode(env))
    ]
    assert len(lives(events, "blueprint")) == 8
    assert all(life.end == 10 for life in lives(events, "blueprint"))


def test_stages_are_ordered_as_seeds_go_through_them():
    found = lived(
        *seed(0, "a", "n", (0, "Z", 1), (1, "M", 1), (2, "B", 1), (3, "M", 1)),
        *seed(0, "b", "n", (0, "Z", 1), (1, "M", 1), (2, "B", 1), (3, "A", 1)),
        episode(0),
    )
    assert stage_order(found) == ["Z", "M", "B", "A"]

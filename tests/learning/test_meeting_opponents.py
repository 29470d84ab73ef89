"""The trainer and opponents: who is asked when, what they are told, and that it is part of what a run goes on from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from esper_core.contracts.errors import PluginError
from tests.learning.conftest import Legal, ResumableWorld, Seen, World, make, train

NAMES = ("weak", "strong")


class Sided(ResumableWorld):
    """A world that says whom it was given, and that every match against them was won."""

    learner_side, opponents = np.zeros(4, np.int64), ()

    def __init__(self) -> None:
        super().__init__()
        self.given: list[tuple[tuple[str, ...], tuple[float, ...]]] = []

    def set_opponents(self, drivers: Any, weights: Any) -> None:
        self.given.append((tuple(drivers), tuple(weights)))

    def step(self, actions: Any) -> Any:
        *found, info = super().step(actions)
        told = {"type": "match", "opponent": "weak", "side": 0, "won": 1, "instance": 0}
        ended = [{**event, **told} for event in info["events"]]
        return *found, {"events": [*info["events"], *ended]}


class Chosen:
    """Opponents that are met by turns."""

    def __init__(self, said: Any = None) -> None:
        self.met, self.said = 0, said
        self.begun: list[Any] = []

    def begin(self, update: int, *learner: Any) -> Any:
        self.begun.append((update, *learner))
        self.met += 1
        return NAMES, (self.met % 2, 1)

    def played(self, update: int, events: Any) -> Any:
        assert {event["type"] for event in events} == {"match"}
        return self.said or {"games": len(events), "met": self.met, "unknown": float("nan")}

    def state(self) -> dict[str, Any]:
        return {"met": self.met}

    def load_state(self, state: Any) -> None:
        self.met = state["met"]


def test_opponents_are_chosen_before_every_rollout_and_told_how_its_matches_ended():
    world, opponents, seen, masks = Sided(), Chosen(), Seen(), Legal()
    trainer = make(world, features=seen, masks=masks, opponents=opponents)
    first, second = train(trainer, 2)
    assert opponents.begun == [(update, trainer.policy, seen, masks) for update in (1, 2)]
    assert world.given == [(NAMES, (1, 1)), (NAMES, (0, 1))]
    assert [(m["games"], m["met"], m["unknown"]) for _, _, m, _ in (first, second)] == [(4, 1, None), (4, 2, None)]
    assert [event["type"] for event in first[3]].count("match") == 4, "they are on record"


def test_a_run_goes_on_with_the_opponents_that_would_have_come_next():
    def build():
        return make(Sided(), opponents=Chosen())

    expected, half, other = train(build(), 4), build(), build()
    train(half, 2)
    other.load_state(half.state())
    assert train(other, 4) == expected[2:] and other.environment.given[0] == (NAMES, (1, 1))


def test_time_for_choosing_is_a_phase():
    (update,) = make(Sided(), opponents=Chosen()).run(1)
    assert "opponents" in update.timing["phases"]
    assert sum(update.timing["phases"].values()) == pytest.approx(update.timing["seconds"])


def test_what_does_not_keep_to_the_contract_is_named():
    with pytest.raises(PluginError, match=r"The environment breaks its contract: .* has no set_opponents"):
        train(make(World(), opponents=Chosen()), 1)
    with pytest.raises(PluginError, match=r"The opponents breaks its contract: its metric 'won' is 'all'"):
        train(make(Sided(), opponents=Chosen({"won": "all"})), 1)

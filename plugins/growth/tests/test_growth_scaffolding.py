"""Who helped a fossil: scripted episodes on hosts that are not there, whose interactions are chosen."""

import json

import pytest
import torch

from esper_core.learning.monitors import episode_metrics
from esper_growth.actions import Op
from esper_growth.runtime import Gradients, Validation
from esper_growth.scaffolding import Scaffolding, Seed

EPOCHS = 30


class ScriptedRuntime:
    """Hosts whose seeds contribute 0.1 each; `pairs` says at which step which slots interact how much."""

    name = "scripted"

    def __init__(self, num_envs, num_slots, pairs):
        self.shape, self.pairs, self.asked = (num_envs, num_slots), pairs, []

    def start(self, instances):
        self.seeds = torch.zeros(self.shape, dtype=torch.int64)
        self.step = -1

    def germinate(self, env, slot, label, algorithm):
        self.seeds[env, slot] = 10

    def remove(self, env, slot):
        self.seeds[env, slot] = 0

    def seed_parameters(self):
        return self.seeds.clone()

    def train_epoch(self, settings, active):
        self.step += 1
        zeros, no = torch.zeros(self.shape), torch.zeros(self.shape, dtype=torch.bool)
        return Gradients(zeros, zeros, no, no)

    def validate(self, settings, active, pairs, split="validation"):
        envs, slots = self.shape
        there = self.seeds > 0
        interactions = None
        if pairs:
            self.asked.append(self.step)
            both = there[:, :, None] & there[:, None, :] & ~torch.eye(slots, dtype=torch.bool)
            interactions = torch.where(both, 0.0, torch.nan)
            for (i, j), value in self.pairs.get(self.step, {}).items():
                assert both[:, i, j].all(), "only what is there can be measured"
                interactions[:, i, j] = interactions[:, j, i] = value
        contribution = torch.where(there, 0.1, torch.nan)
        return Validation(torch.ones(envs), torch.full((envs,), 0.5).double(), contribution, interactions)

    def snapshot(self, fossils=()):
        """Nothing here diverges, and there is nothing to free."""

    close = snapshot


@pytest.fixture
def script(make_environment, act):
    """Return a function that plays operations by step and returns the events."""

    def script(pairs, operations, envs=1):
        environment = make_environment(epochs=EPOCHS, envs=envs)
        runtime = environment.runtime = ScriptedRuntime(envs, 3, pairs)
        environment.reset()
        events = []
        for step in range(EPOCHS):
            events += environment.step(act(environment, **operations.get(step, {})))[4]["events"]
        assert runtime.asked == [4, 9, 14, 19, 24, 29], "pairs are measured every fifth epoch"
        return events

    return script


def grow(slot, blueprint):
    return {"op": Op.GERMINATE, "slot": slot, "blueprint": blueprint, "tempo": 0}


def fossilize(slot):
    return {"op": Op.FOSSILIZE, "slot": slot}


def fossils(events):
    return {event["slot"]: event["helpers"] for event in events if event["type"] == "fossilize"}


GROW_THREE = {0: grow(0, 1), 1: grow(1, 4), 2: grow(2, 3)}


def test_a_helper_that_is_alive(script):
    pairs = {4: {(0, 1): 0.02}, 9: {(0, 1): 0.05, (0, 2): -0.01}, 14: {(0, 1): 0.03, (1, 2): 0.04}}
    events = script(pairs, {**GROW_THREE, 17: fossilize(0), 18: fossilize(1)})
    helper = {"slot": "r0c1", "blueprint": "depthwise", "alive": True, "boost": 0.05, "measured": 9, "delay": 8}
    (of_first,) = fossils(events)["r0c0"]
    assert of_first == {**helper, "boost": pytest.approx(0.05)}
    assert [(h["slot"], h["boost"], h["measured"], h["delay"]) for h in fossils(events)["r0c1"]] == [
        ("r0c0", pytest.approx(0.05), 9, 9),
        ("r0c2", pytest.approx(0.04), 14, 4),
    ], "the greatest boost first; a fossil helps too"


def test_a_helper_that_was_pruned_before(script):
    pairs = {4: {(0, 1): 0.06}, 9: {(0, 1): 0.02}, 14: {(0, 2): 0.01}}
    operations = {**GROW_THREE, 11: {"op": Op.PRUNE, "slot": 1, "alpha_speed": 0}, 20: fossilize(0)}
    events = script(pairs, operations)
    (removed,) = (event["step"] for event in events if event["type"] == "removed")
    assert removed == 11
    first, second = fossils(events)["r0c0"]
    gone = {"slot": "r0c1", "blueprint": "depthwise", "alive": False, "measured": 4, "delay": 20 - 11}
    assert first == {**gone, "boost": pytest.approx(0.06)}
    assert (second["slot"], second["alive"], second["delay"]) == ("r0c2", True, 6)


def test_what_was_measured_later_or_is_not_positive_is_no_help(script):
    pairs = {9: {(0, 1): 0.0, (0, 2): -0.2}, 19: {(0, 1): 0.5, (0, 2): 0.5}}
    assert fossils(script(pairs, {**GROW_THREE, 17: fossilize(0)})) == {"r0c0": []}


def test_the_distribution_of_an_update(script):
    pairs = {9: {(0, 1): 0.05}, 14: {(1, 2): 0.03}}
    events = script(pairs, {**GROW_THREE, 16: fossilize(0), 18: fossilize(1)}, envs=2)
    metrics = episode_metrics(events)
    assert metrics["fossils"] == 2.0 and metrics["scaffold/fossils"] == 2.0
    assert metrics["scaffold/boost_mean"] == pytest.approx((0.05 + 0.05 + 0.03) / 3)
    assert metrics["scaffold/boost_max"] == pytest.approx(0.05)
    assert metrics["scaffold/delay_mean"] == pytest.approx((7 + 9 + 4) / 3) and metrics["scaffold/delay_max"] == 9.0
    assert json.loads(json.dumps(events)) == events
    none = episode_metrics(script({}, GROW_THREE))
    assert none["scaffold/fossils"] == 0.0
    assert [none[f"scaffold/{name}"] for name in ("boost_mean", "boost_max", "delay_mean")] == [None] * 3


def test_environments_that_have_ended_are_not_recorded():
    scaffolding = Scaffolding(2)
    for env in (0, 1):
        for slot in (0, 1):
            scaffolding.germinate(env, slot, Seed(f"r0c{slot}", "norm"))
    interactions = torch.full((2, 2, 2), 0.1)
    scaffolding.record(interactions, torch.tensor([4, 7]), torch.tensor([True, False]))
    for env in (0, 1):
        scaffolding.fossilize(env, 0, 10)
    assert [h["measured"] for h in scaffolding.helpers(0, 0)] == [4] and scaffolding.helpers(1, 0) == []

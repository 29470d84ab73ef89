"""Who helped a fossil: scripted episodes on hosts that are not there, whose interactions are chosen."""

import json

import pytest
import torch

from esper_core.learning.monitors import episode_metrics
from esper_growth.actions import Op
from esper_growth.runtime import Gradients, Validation
from esper_growth.scaffolding import Scaffolding, Seed
from esper_growth.stages import Stage

EPOCHS = 30


class ScriptedRuntime:
    """Hosts whose accuracy is 0.5 and whose seeds contribute 0.1 each; interactions come from a table.

    Args:
        pairs: Step → environment → (slot, slot) → interaction; measured only when asked for, of seeds that are there.
    """

    name = "scripted"

    def __init__(self, num_envs, num_slots, pairs):
        self.shape, self.pairs, self.asked = (num_envs, num_slots), pairs, []

    def start(self, instances):
        self.seeds = torch.zeros(self.shape, dtype=torch.int64)
        self.step = -1

    def germinate(self, env, slot, label, algorithm):
        self.seeds[env, slot] = 10

    def set_algorithm(self, env, slot, algorithm):
        """Nothing depends on it."""

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
            for env, table in enumerate(self.pairs.get(self.step, [{}] * envs)):
                for (i, j), value in table.items():
                    assert both[env, i, j], "only what is there can be measured"
                    interactions[env, i, j] = interactions[env, j, i] = value
        contribution = torch.where(there, 0.1, torch.nan)
        return Validation(torch.ones(envs), torch.full((envs,), 0.5).double(), contribution, interactions)

    def snapshot(self, fossils):
        """Nothing here diverges."""

    def close(self):
        """Nothing to free."""


@pytest.fixture
def script(make_environment, act):
    """Return a function that plays operations by step and returns the events."""

    def script(pairs, operations, envs=1):
        environment = make_environment(epochs=EPOCHS, envs=envs)
        runtime = ScriptedRuntime(envs, 3, {step: [table] * envs for step, table in pairs.items()})
        environment.runtime = runtime
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


def test_the_next_seed_of_a_slot_is_another_one(script):
    pairs = {9: {(0, 1): 0.06}, 24: {(0, 1): 0.02}}
    operations = {**GROW_THREE, 11: {"op": Op.PRUNE, "slot": 1, "alpha_speed": 0}, 19: grow(1, 1), 27: fossilize(0)}
    helpers = fossils(script(pairs, operations))["r0c0"]
    assert [(h["blueprint"], h["alive"], h["boost"], h["delay"]) for h in helpers] == [
        ("depthwise", False, pytest.approx(0.06), 16),
        ("conv_light", True, pytest.approx(0.02), 3),
    ]


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


def test_measured_on_real_hosts(make_environment, act):
    """Two seeds of the default host: what the event says is what the runtime measured."""
    environment = make_environment(epochs=16, samples=200, envs=1)
    environment.reset()
    measured, validate = {}, environment.runtime.validate

    def watch(settings, active, pairs):
        result = validate(settings, active, pairs)
        if pairs:
            measured[int(environment.progress.epoch[0])] = float(result.interactions[0, 0, 1])
        return result

    environment.runtime.validate = watch
    plan = {0: {"op": Op.GERMINATE, "blueprint": 1, "tempo": 0}, 1: {"op": Op.GERMINATE, "blueprint": 1, "slot": 1}}
    events = []
    for step in range(16):
        holding = int(environment.slots.stage[0, 0]) == Stage.HOLDING and step == 15
        operation = {"op": Op.FOSSILIZE} if holding else plan.get(step, {})
        events += environment.step(act(environment, **operation))[4]["events"]
    (event,) = (e for e in events if e["type"] == "fossilize")
    best = max((value, -step) for step, value in measured.items() if step < 15 and value == value)
    expected = [(pytest.approx(best[0]), -best[1])] if best[0] > 0 else []
    assert [(h["boost"], h["measured"]) for h in event["helpers"]] == expected

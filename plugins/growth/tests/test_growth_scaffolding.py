"""Who helped a fossil: scripted episodes whose contributions and interactions are chosen."""

import json

import pytest
import torch

from esper_core.learning.monitors import episode_metrics
from esper_growth.actions import Op
from esper_growth.scaffolding import Scaffolding, Seed

EPOCHS = 30
GROW_THREE = {
    step: {"op": Op.GERMINATE, "slot": step, "blueprint": blueprint, "tempo": 0}
    for step, blueprint in enumerate((1, 4, 3))
}


@pytest.fixture
def script(make_environment, follow):
    """Return a function that plays operations by step and returns the events.

    Seeds contribute 0.1 each; `pairs` says at which step which slots interact how much.
    """

    def script(pairs, operations, envs=1):
        environment = make_environment(epochs=EPOCHS, envs=envs, samples=20, governor=False)
        runtime, asked = environment.runtime, []
        measured = runtime.validate

        def validate(settings, active, pairs_too=False, **options):
            pairs_too = options.pop("pairs", pairs_too)
            found, there = measured(settings, active, pairs_too, **options), runtime.seed_parameters() > 0
            if pairs_too:
                asked.append(int(environment.progress.epoch[0]))
                found.interactions.fill_(torch.nan)
                for (i, j), value in pairs.get(asked[-1], {}).items():
                    assert there[:, [i, j]].all(), "only what is there can be measured"
                    found.interactions[:, i, j] = found.interactions[:, j, i] = value
            return found._replace(contribution=torch.where(there, 0.1, torch.nan))

        runtime.validate = validate
        environment.reset(seed=0)
        _, events = follow(environment, EPOCHS, operations)
        assert asked == [4, 9, 14, 19, 24, 29], "pairs are measured every fifth epoch"
        return events

    return script


def fossilize(slot):
    return {"op": Op.FOSSILIZE, "slot": slot}


def fossils(events):
    return {event["slot"]: event["helpers"] for event in events if event["type"] == "fossilize"}


def test_helpers_that_are_alive_the_greatest_boost_first(script):
    pairs = {4: {(0, 1): 0.02}, 9: {(0, 1): 0.05, (0, 2): -0.01}, 14: {(0, 1): 0.03, (1, 2): 0.04}}
    pairs[19] = dict.fromkeys([(0, 1), (0, 2), (1, 2)], 0.5)  # too late
    events = script(pairs, {**GROW_THREE, 17: fossilize(0), 18: fossilize(1)})
    helper = {"slot": "r0c1", "blueprint": "depthwise", "alive": True, "measured": 9, "delay": 8}
    assert fossils(events)["r0c0"] == [{**helper, "boost": pytest.approx(0.05)}]
    assert [(h["slot"], h["boost"], h["measured"], h["delay"]) for h in fossils(events)["r0c1"]] == [
        ("r0c0", pytest.approx(0.05), 9, 9),
        ("r0c2", pytest.approx(0.04), 14, 4),
    ], "a fossil helps too"


def test_a_helper_that_was_pruned_before(script):
    pairs = {4: {(0, 1): 0.06}, 9: {(0, 1): 0.02}, 14: {(0, 2): 0.01}}
    operations = {**GROW_THREE, 11: {"op": Op.PRUNE, "slot": 1, "alpha_speed": 0}, 20: fossilize(0)}
    first, second = fossils(script(pairs, operations))["r0c0"]
    gone = {"slot": "r0c1", "blueprint": "depthwise", "alive": False, "measured": 4, "delay": 20 - 11}
    assert first == {**gone, "boost": pytest.approx(0.06)}
    assert (second["slot"], second["alive"], second["delay"]) == ("r0c2", True, 6)


def test_the_distribution_of_an_update(script):
    pairs = {9: {(0, 1): 0.05}, 14: {(1, 2): 0.03}}
    events = script(pairs, {**GROW_THREE, 16: fossilize(0), 18: fossilize(1)}, envs=2)
    metrics = episode_metrics(events)
    assert metrics["fossils"] == metrics["scaffold/fossils"] == 2.0
    assert metrics["scaffold/boost_mean"] == pytest.approx((0.05 + 0.05 + 0.03) / 3)
    assert metrics["scaffold/boost_max"] == pytest.approx(0.05)
    assert metrics["scaffold/delay_mean"] == pytest.approx((7 + 9 + 4) / 3) and metrics["scaffold/delay_max"] == 9.0
    assert json.loads(json.dumps(events)) == events
    none = episode_metrics(script({}, GROW_THREE))
    assert none["scaffold/fossils"] == 0.0 and none["scaffold/boost_mean"] is none["scaffold/delay_mean"] is None


def test_environments_that_have_ended_are_not_recorded():
    scaffolding = Scaffolding(2)
    for env in (0, 1):
        for slot in (0, 1):
            scaffolding.germinate(env, slot, Seed(f"r0c{slot}", "norm"))
    scaffolding.record(torch.full((2, 2, 2), 0.1), torch.tensor([4, 7]), torch.tensor([True, False]))
    for env in (0, 1):
        scaffolding.fossilize(env, 0, 10)
    assert [h["measured"] for h in scaffolding.helpers(0, 0)] == [4] and scaffolding.helpers(1, 0) == []

"""Hosts on a GPU that is not there: nothing is made on another device, and no step waits for anything."""

from __future__ import annotations

import pytest
import torch

from esper_evaluation.rules import Random, Static
from esper_growth.actions import Algorithm
from esper_growth.config import GrowthConfig
from esper_growth.fused.runtime import FusedRuntime
from esper_growth.masks import LifecycleMasks
from esper_growth.model import SeedSetting
from esper_growth.one_by_one import LoopRuntime
from esper_growth.rules import Plateau
from esper_growth.stages import Stage
from esper_testing.fake_device import FakeDevice

SETTINGS = [
    {0: SeedSetting(Stage.HOLDING, 0.7, Algorithm.GATE, False), 2: SeedSetting(Stage.FOSSILIZED, 1.0, 0, False)},
    {0: SeedSetting(Stage.BLENDING, 0.3, Algorithm.GATE, True), 1: SeedSetting(Stage.TRAINING, 0.0, 0, False)},
    {0: SeedSetting(Stage.GERMINATED, 0.0, Algorithm.MULTIPLY, False)},
]
LABELS = ("conv_light", "attention", "norm")


@pytest.fixture
def device():
    with FakeDevice() as device:
        yield device


@pytest.mark.parametrize("kind", [LoopRuntime, FusedRuntime])
def test_an_epoch_waits_as_often_however_many_steps_it_has(make_runtime, device, kind):
    runtime, counts = make_runtime(kind, context={"samples": 40, "device": device.name}), []
    runtime.start([0, 1, 2])
    for env, seeds in enumerate(SETTINGS):
        for slot, setting in seeds.items():
            runtime.germinate(env, slot, LABELS[slot], setting.algorithm)
    for batch_size in (20, 10):
        runtime.config = GrowthConfig(batch_size=batch_size, max_grad_norm=1.0)
        device.crossings.clear()
        runtime.train_epoch(SETTINGS, [True, True, True])
        counts.append(len(device.crossings))
    assert 0 < counts[0] == counts[1]
    runtime.validate(SETTINGS, [True, False, True], pairs=True)
    runtime.set_algorithm(0, 0, Algorithm.ADD)
    runtime.remove(1, 1)
    assert (runtime.seed_parameters() > 0).tolist() == [[True, False, True], [True, False, False], [True, False, False]]


@pytest.mark.parametrize("rule", [Static, Random, Plateau])
def test_rules_act_where_the_masks_are(make_context, device, rule):
    context = make_context(device=device.name)
    kinds = {"float": torch.float32, "int": torch.int64, "bool": torch.bool}
    state = {
        field.name: torch.zeros(field.sizes(2, 3, 6), dtype=kinds[field.dtype], device=device.name)
        for field in context.state_spec.fields
    }
    acting = rule(None, context)
    acting.reset(2)
    chosen = acting(state, LifecycleMasks(None, context)(state), torch.Generator())
    assert {value.device.type for value in chosen.values()} == {device.name}


def test_a_birth_leaves_the_streams_of_gpus_alone(make_runtime, monkeypatch):
    """`torch.manual_seed` would restart them."""
    monkeypatch.setattr(torch, "manual_seed", lambda seed: pytest.fail("all devices were seeded"))
    runtime, before = make_runtime(LoopRuntime, context={"samples": 40}), torch.get_rng_state()
    runtime.start([0])
    runtime.germinate(0, 0, "conv_light", Algorithm.GATE)
    assert torch.equal(torch.get_rng_state(), before)

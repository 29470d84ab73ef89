"""The loop runtime: plain PyTorch when nothing is grown, and hosts that do not notice each other."""

import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from esper_growth.actions import Algorithm
from esper_growth.fused.runtime import FusedRuntime
from esper_growth.model import SeedSetting
from esper_growth.one_by_one import LoopRuntime
from esper_growth.runtime import EXPLODING, collect_validation, gradient_health, stable_seed
from esper_growth.stages import Stage

HOLD = SeedSetting(Stage.HOLDING, 1.0, Algorithm.ADD, False)
TRAIN = SeedSetting(Stage.TRAINING, 0.0, Algorithm.ADD, False)


@pytest.fixture
def make(make_runtime):
    return partial(make_runtime, LoopRuntime, batch_size=30)


def test_without_seeds_training_is_plain_pytorch_bit_for_bit(make, make_context):
    runtime, parts = make(), make_context().parts
    runtime.start([5])
    accuracies = []
    for _ in range(2):
        runtime.train_epoch([{}], [True])
        accuracies.append(float(runtime.validate([{}], [True], pairs=False).accuracy[0]))

    task = parts["task"]
    torch.manual_seed(stable_seed("host", 5))
    network = nn.Sequential(
        *(nn.Conv2d(1, 16, 1, bias=False), nn.GroupNorm(8, 16), nn.ReLU()),
        *(nn.Conv2d(16, 16, 1, bias=False), nn.GroupNorm(8, 16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 16, 1, bias=False), nn.GroupNorm(8, 16), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10)),
    )
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    order = torch.Generator().manual_seed(stable_seed("data", 5))
    plain = []
    for _ in range(2):
        for rows in torch.randperm(len(task.train.targets), generator=order).split(30):
            optimizer.zero_grad()
            functional.cross_entropy(network(task.train.inputs[rows]), task.train.targets[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            predicted = network(task.validation.inputs).argmax(1)
        plain.append(int((predicted == task.validation.targets).sum()) / len(task.validation.targets))
    ours = runtime.hosts[0].model.parameters()
    assert all(torch.equal(a, b) for a, b in zip(ours, network.parameters(), strict=True)) and accuracies == plain


@pytest.mark.parametrize(("bound", "algorithm"), [(0.0, Algorithm.GATE), (0.05, Algorithm.ADD)])
def test_a_seed_in_training_learns_and_moves_nothing_of_the_host(make, bound, algorithm):
    """Nor does it where gradients are bounded: the bounds of host and seed are separate."""

    def train(settings):
        runtime = make(max_grad_norm=bound)
        runtime.start([0])
        for slot, setting in settings.items():
            runtime.germinate(0, slot, "conv_heavy", setting.algorithm)
        before = runtime.weights(0)
        for _ in range(2):
            runtime.train_epoch([settings], [True])
        return before, runtime.weights(0)

    (_, plain), (before, after) = train({}), train({0: TRAIN._replace(algorithm=algorithm)})
    assert all(torch.equal(value, after.pop(name)) for name, value in plain.items())
    assert any(not torch.equal(before[name], value) for name, value in after.items())


@pytest.mark.parametrize("kind", [LoopRuntime, FusedRuntime])
def test_a_frozen_seed_keeps_its_weights_beside_one_that_learns(make_runtime, kind):
    runtime = make_runtime(kind)
    runtime.start([0, 1])
    for env in (0, 1):
        runtime.germinate(env, 0, "conv_light", Algorithm.ADD)
    runtime.train_epoch([{0: HOLD}] * 2, [True] * 2)
    before = runtime.weights(0)
    runtime.train_epoch([{0: HOLD._replace(frozen=True)}, {0: HOLD}], [True] * 2)
    after = runtime.weights(0)
    assert {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])} == {"host"}


def test_weights_of_a_seed_depend_on_instance_slot_and_count_only(make):
    runtime = make()

    def born():
        runtime.germinate(0, 1, "conv_light", Algorithm.ADD)
        return runtime.weights(0)["seeds.1.branch.0.weight"]

    runtime.start([7])
    first = born()
    runtime.remove(0, 1)
    assert not torch.equal(first, born())
    runtime.start([7])
    runtime.germinate(0, 0, "conv_heavy", Algorithm.GATE)
    runtime.train_epoch([{}], [True])
    assert torch.equal(first, born())


def test_contribution_is_accuracy_with_minus_without():
    accuracies = {(): 0.9, (0,): 0.7, (1,): 0.8, (0, 1): 0.5}
    found = collect_validation(1, 3, [(0, 1.0, accuracies)], pairs=True)
    assert found.accuracy.tolist() == [0.9] and found.loss.tolist() == [1.0]
    assert found.contribution[0, :2].tolist() == pytest.approx([0.9 - 0.7, 0.9 - 0.8])
    assert found.interactions[0, 0, 1] == found.interactions[0, 1, 0] == pytest.approx(0.9 - 0.7 - 0.8 + 0.5)
    assert found.contribution[0, 2].isnan() and found.interactions[0, 2].isnan().all()


def test_gradient_health_tells_vanishing_and_exploding():
    assert gradient_health([3.0, 4.0]) == (5.0, 1.0, False, False)
    assert gradient_health([0.0, 4.0]) == (4.0, 0.75, True, False)
    assert gradient_health([30.0, 40.0]) == (50.0, pytest.approx(0.2), False, True)
    assert gradient_health([math.nan, 1.0]) == (EXPLODING, 0.0, False, True)

"""Tasks that change during an episode, and the price of training FLOPs."""

from functools import cache

import pytest
import torch
from attrs import evolve
from torch.nn import functional

from esper_core import SlotConfig
from esper_core.contracts.errors import PluginError, UserError
from esper_core.contracts.protocols import BuildContext
from esper_growth.actions import Algorithm, Op
from esper_growth.config import DriftConfig, GrowthConfig, PointwiseConfig
from esper_growth.cost import BACKWARD, TrainingCost
from esper_growth.fused.runtime import FusedRuntime
from esper_growth.hosts.uniform import PointwiseHost
from esper_growth.lifecycle import SlotTable
from esper_growth.model import SeedSetting
from esper_growth.one_by_one import EngineRuntime, LoopRuntime
from esper_growth.problems import Problems
from esper_growth.protocols import Change, label_of
from esper_growth.runtime import stable_seed
from esper_growth.stages import Stage
from esper_growth.tasks.drift import CHANGES, DriftTask
from esper_growth.workers import Workers

SMALL = DriftConfig(earliest=2, latest=4, train_samples=60, samples=250)
KINDS = {"classes": 1, "permutation": 3, "order": 0}
"""By kind of change the first instance of it."""

FIRSTS = tuple(KINDS.values())


@cache
def parts(config=SMALL, dtype=torch.float32):
    context = BuildContext(SlotConfig.for_grid(1, 3), None, None, None, 0, 1.0, 1, 0, "cpu", dtype)
    return {"task": DriftTask(config, context), "host": PointwiseHost(PointwiseConfig(), context)}


def problem(instance):
    return Problems(*parts().values(), {}, 3).at(instance)


def change_of(instance):
    return problem(instance).phases[1].epoch


@pytest.fixture
def make(make_environment):
    def make(instances=FIRSTS, **options):
        options = {"epochs": 7, "batch_size": 20, "parts": parts(), **options}
        environment = make_environment(envs=len(instances), **options)
        environment.reset(options={"instances": list(instances)})
        return environment

    return make


def test_instances_change_in_every_way_and_at_every_epoch_there_is():
    drawn = [parts()["task"].draw(instance) for instance in range(30)]
    assert {task.changes[0].epoch for task in drawn} == {2, 3, 4}
    kinds = [task.name.split("@")[0].removeprefix("drift-") for task in drawn]
    assert {kind: kinds.index(kind) for kind in CHANGES} == KINDS
    assert [label_of(task) for task in drawn] == [f"drift-{kind}" for kind in kinds]
    for kind, task in zip(kinds, drawn, strict=True):
        after = task.changes[0].task
        for before, now in ((task.train, after.train), (task.validation, after.validation), (task.test, after.test)):
            rows = {tuple(row.sort().values.tolist()) for row in before.inputs.flatten(1)}
            known = {tuple(row.sort().values.tolist()) for row in now.inputs.flatten(1)}
            assert rows <= known, "the curves stay, each in its split"
            first, classes = before.targets.unique().tolist(), now.targets.unique().tolist()
            assert len(first) == 5 < len(classes) if kind == "classes" else first == classes
            assert (rows == known) == (kind != "classes")


def test_a_change_says_what_is_wrong_with_it():
    with pytest.raises(UserError, match="'drift' changes in one of classes, permutation, order"):
        parts(evolve(SMALL, changes=("classes", "colours")))
    with pytest.raises(ValueError, match="earliest=5 is after latest=4"):
        evolve(SMALL, earliest=5)
    task, host = parts().values()
    first = task.draw(0)
    for change, says in (
        (Change(0, first), "changes at epoch 0, not after epoch 0"),
        (Change(3, evolve(first, train=first.test)), "A change keeps shape, classes and sizes"),
    ):
        with pytest.raises(PluginError) as caught:
            Problems(evolve(first, changes=(change,)), host, {}, 3).at(0)
        assert says in f"{caught.value} {caught.value.hint}"


def test_an_episode_that_ends_before_the_change_is_refused(make):
    with pytest.raises(UserError, match="changes up to epoch 4, and an episode ends with epoch 3"):
        make(epochs=4)


@pytest.mark.parametrize("instance", KINDS.values(), ids=list(KINDS))
def test_a_host_is_ordinary_training_on_one_task_and_then_on_the_other(make_runtime, instance):
    """And every split that it is measured on is that of the epoch it was last trained in."""
    runtime = make_runtime(LoopRuntime, batch_size=20)
    runtime._problems = Problems(*parts().values(), {}, 3)
    runtime.start([instance])
    task = parts()["task"].draw(instance)
    own = Problems(*parts().values(), {}, 3).at(instance).builder.host(instance)
    optimizer = torch.optim.SGD(own.parameters(), lr=0.05, momentum=0.9)
    order = torch.Generator().manual_seed(stable_seed("data", instance))
    now = task
    for epoch in range(6):
        found = [runtime.validate([{}], [True], False, split) for split in ("validation", "test")]
        for split, measured in zip((now.validation, now.test), found, strict=True):
            right = int((own(split.inputs).argmax(1) == split.targets).sum())
            assert float(measured.accuracy) == right / len(split.targets)
        now = task if epoch < task.changes[0].epoch else task.changes[0].task
        runtime.train_epoch([{}], [True])
        for rows in torch.randperm(len(now.train.targets), generator=order).split(20):
            optimizer.zero_grad()
            functional.cross_entropy(own(now.train.inputs[rows]), now.train.targets[rows]).backward()
            optimizer.step()
    weights = runtime.weights(0)
    assert all(torch.equal(value, weights[f"host.{name}"]) for name, value in own.state_dict().items())


@pytest.mark.parametrize("kind", [EngineRuntime, FusedRuntime])
def test_every_runtime_changes_when_the_loop_does(blueprints, kind):
    """Hosts that change at various epochs side by side, one of which rests for an epoch; float64."""
    instances = list(KINDS.values())
    grown = [{1: SeedSetting(Stage.HOLDING, 0.7, Algorithm.ADD, False)}, {}, {}]

    def play(kind):
        made = parts(dtype=torch.float64)
        runtime = kind(
            GrowthConfig(batch_size=20), Problems(*made.values(), {"conv_light": blueprints["conv_light"]}, 3)
        )
        runtime.start(instances)
        runtime.germinate(0, 1, "conv_light", Algorithm.ADD)
        measured = []
        for epoch in range(6):
            runtime.train_epoch(grown, [True, True, epoch != 1])
            measured.append(runtime.validate(grown, [True] * 3, False).loss.tolist())
        return measured

    for found, right in zip(play(kind), play(LoopRuntime), strict=True):
        assert found == pytest.approx(right, abs=1e-6)


def test_workers_train_the_same(make, make_runtime):
    """Each host counts its own epochs, wherever it is trained."""

    def play(workers):
        environment = make(workers=workers)
        assert isinstance(environment.runtime, Workers) == (workers > 1)
        states = [environment.step(neutral(environment))[0] for _ in range(6)]
        return [state["loss"].tolist() for state in states], environment.outcomes()["test_accuracy"].tolist()

    assert play(1) == play(2)


def neutral(environment):
    return {head.name: torch.full((environment.num_envs,), head.neutral) for head in environment.actions.heads}


def test_waiting_returns_exactly_zero_whatever_changes_and_costs(make):
    """The static curve changes when the host does."""
    environment = make(curves=None, reward_flops=0.5)
    steps = [environment.step(neutral(environment)) for _ in range(7)]
    assert sum(step[1] for step in steps).tolist() == [0.0] * 3
    ends = [event for event in steps[-1][-1]["events"] if event["type"] == "episode"]
    assert all(event["committed_accuracy"] == event["static_accuracy"] == event["full_accuracy"] for event in ends)
    outcomes = environment.outcomes()
    assert torch.equal(outcomes["net_accuracy"], outcomes["test_accuracy"])


def test_nothing_tells_of_a_change_before_it_comes(make):
    """The same curves that change early and late look alike, to the last bit, until the first of them has changed."""
    drifts = [parts(evolve(SMALL, earliest=at, latest=at, changes=("order",))) for at in (3, 5)]
    early, late = (make(FIRSTS[:1], parts=drift) for drift in drifts)
    assert early.problems[0].phases[1].epoch == 3 and late.problems[0].phases[1].epoch == 5
    for epoch in range(6):
        ours, theirs = (environment.step(neutral(environment))[0] for environment in (early, late))
        same = all(torch.equal(value, theirs[name]) for name, value in ours.items())
        assert same == (epoch < 3), epoch


def test_contributions_and_what_is_handed_over_are_of_the_task_as_it_is(make):
    """A seed is there from the first epoch on, as in the arm `replay`; its contribution is that on the new task."""
    environment = make((KINDS["classes"],))
    topologies = [{"0": ("conv_light", "ADD", 1.0)}]
    environment.reset(options={"instances": [KINDS["classes"]], "topologies": topologies})
    for _ in range(7):
        state = environment.step(neutral(environment))[0]
    assert int(state["stage"][0, 0]) == Stage.FOSSILIZED
    grown, now = environment.grown(0), problem(KINDS["classes"]).phases[1].task.validation
    assert torch.equal(grown.inputs, now.inputs)
    assert grown.facts["validation_accuracy"] == pytest.approx(float(state["accuracy"][0]), abs=1e-6)
    without = environment.runtime.validate([{}], [True], False).accuracy
    assert float(state["contribution"][0, 0]) == pytest.approx(float(state["accuracy"][0] - without), abs=1e-6)


def test_the_fall_of_a_change_is_no_shock_of_a_blend(make, monkeypatch):
    """Where shares move in every epoch, that of the change does not count."""
    counted = []
    monkeypatch.setattr(SlotTable, "shares", lambda self: torch.rand(3, 3, 2))
    monkeypatch.setattr(TrainingCost, "blend", lambda self, moved, *_: counted.append(moved.tolist()))
    environment = make()
    for _ in range(7):
        environment.step(neutral(environment))
    assert counted == [[epoch != change_of(instance) for instance in FIRSTS] for epoch in range(7)]


@pytest.mark.parametrize("price", [0.0, 0.1])
def test_flops_are_paid_in_episodes_of_the_bare_host(make, act, price):
    """In all −price·(training FLOPs / those of the static host − 1), as the outcome says; rent and operations aside."""
    options = {"reward_flops": price, "rent": 0.0, "operation_cost": 0.0, "shaping": 0.0, "epochs": 9}
    environment = make(**options)
    paid = environment.step(act(environment, op=[Op.GERMINATE, Op.GERMINATE, Op.WAIT], blueprint=[1, 5, 0], tempo=0))[1]
    for _ in range(7):
        paid = paid + environment.step(neutral(environment))[1]
    # The last step pays the gain too.
    environment.step(neutral(environment))
    seeds = environment.cost.added
    epochs = torch.tensor([3 * 60 * p.builder.host_flops for p in environment.problems], dtype=torch.float64)
    assert BACKWARD == 2 and torch.allclose(environment.cost.flops, (9 + seeds) * epochs)
    assert float(seeds[0]) > float(seeds[1]) > 0.0 == float(seeds[2])
    light = environment.problems[0].builder
    forward = light.seed_flops(0, "conv_light", Algorithm.ADD) / light.host_flops
    assert float(seeds[0]) == pytest.approx(8 * forward), "every epoch but the one in which it is dormant"
    assert paid.tolist() == pytest.approx((-price / 9 * seeds * 7 / 8).tolist(), abs=1e-6)
    outcomes = environment.outcomes()
    assert ("net_accuracy" in outcomes) == (price > 0)
    if price:
        whole = price * (outcomes["training_flops"] / (9 * epochs) - 1)
        torch.testing.assert_close(outcomes["net_accuracy"], outcomes["test_accuracy"] - whole)

"""Families of tasks and hosts: what an instance trains, and the outcomes of its episode."""

from functools import cache

import pytest
import torch
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from esper_core import SlotConfig
from esper_core.contracts.errors import UserError
from esper_core.contracts.protocols import BuildContext
from esper_evaluation.rules import Static
from esper_growth import choice
from esper_growth.actions import Algorithm, Op
from esper_growth.config import GrowthConfig, MixedHostConfig, MixedTaskConfig
from esper_growth.cost import TrainingCost
from esper_growth.engine.graph import Unknown
from esper_growth.environment import HELD_OUT
from esper_growth.fused.runtime import FusedRuntime
from esper_growth.hosts.mixed import MixedHost
from esper_growth.model import SeedSetting
from esper_growth.one_by_one import EngineRuntime, LoopRuntime
from esper_growth.problems import Problems
from esper_growth.protocols import label_of
from esper_growth.rules import AllOn
from esper_growth.stages import MIN_PRUNE_AGE, Stage
from esper_growth.tasks.mixed import MixedTask

# Few samples, and instances with small hosts: the large ones take a hundred times as long.
SMALL = MixedTaskConfig(train_samples=(40, 60), samples=200)
CURVES = [7, 12]
VARIOUS = [1, 3, 5, 7, 8, 11]


@cache
def families(dtype=torch.float32):
    context = BuildContext(SlotConfig.for_grid(1, 3), None, None, None, 0, 1.0, 1, 0, "cpu", dtype)
    return {"task": MixedTask(SMALL, context), "host": MixedHost(MixedHostConfig(), context)}


@cache
def problems():
    """Return the problems of the families, each of which is built once."""
    return Problems(*families().values(), {}, 3)


@pytest.fixture
def make(make_environment):
    def make(instances=CURVES, **options):
        options = {"epochs": 14, "batch_size": 20, **options}
        return make_environment(envs=len(instances), parts=families(), **options)

    return make


def test_a_family_draws_every_kind_of_problem():
    drawn = [problems().at(instance) for instance in range(40)]
    assert {problem.builder.name.split("-")[0] for problem in drawn} == {"pointwise", "narrow", "capable"}
    assert {problem.task.name.rsplit("-", 1)[0] for problem in drawn} == {"digits", "mnist1d", "mnist1d-shuffled"}
    assert {len(problem.task.train.targets) for problem in drawn} == {40, 60}
    assert len({problem.task.name for problem in drawn}) == len(drawn), "every instance has data of its own"


def test_capable_hosts_of_a_family_may_be_narrower():
    context = BuildContext(SlotConfig.for_grid(1, 3), None, None, None, 0, 1.0, 1, 0, "cpu", torch.float32)
    family = MixedHost(MixedHostConfig(hosts=("capable", "narrow"), capable_width=8), context)
    drawn = {family.draw(instance).name for instance in range(20)}
    assert drawn == {"capable-w8g8", "narrow-w6g2"} and family.name == "mixed-capable-w8g8+narrow-w6g2"
    with pytest.raises(ValueError, match="capable_width=12 is no multiple of 8"):
        MixedHostConfig(capable_width=12)


@pytest.mark.parametrize("members", [("mnist2d",), ()])
def test_an_unknown_member_is_refused(members):
    with pytest.raises(UserError, match="draws from digits, mnist1d, mnist1d-shuffled alone"):
        MixedTask(MixedTaskConfig(tasks=members), None)
    with pytest.raises(UserError, match="draws from pointwise, narrow, capable alone"):
        MixedHost(MixedHostConfig(hosts=members), None)


def test_a_runtime_is_chosen_by_what_the_hosts_of_a_family_take_together(monkeypatch, tmp_path):
    engine = {"pointwise": 1.0, "narrow": 1.0, "capable": 2.0}
    measured = []

    def measure(config, problem):
        name = problem.builder.name.split("-")[0]
        measured.append((name, tuple(problem.task.train.inputs.shape[1:])))
        if name == "narrow":
            raise Unknown("a layer")
        return {"engine": engine[name], "loop": 1.5}

    monkeypatch.setattr(choice, "_measure", measure)
    for folder, pointwise, runtime in (("one", 0.1, EngineRuntime), ("other", 3.0, LoopRuntime)):
        monkeypatch.setenv("ESPER_CACHE", str(tmp_path / folder))
        engine["pointwise"] = pointwise
        assert choice.choose(GrowthConfig(), problems(), "float32") is runtime
    known = [host for host in measured if host[0] != "narrow"]
    assert len(known) == 2 * len(set(known)) == 8, "each architecture once"


@pytest.mark.parametrize("size", [0, 1, 2])
def test_a_host_computes_the_same_in_any_company(make_context, size):
    parts = {**make_context().parts, **families()}
    config = GrowthConfig(batch_size=20, hosts_per_group=size)
    seeds = {1: SeedSetting(Stage.BLENDING, 0.6, Algorithm.ADD, False)}

    def losses(instances):
        runtime = FusedRuntime(config, Problems(parts["task"], parts["host"], parts["blueprint"], 3))
        runtime.start(instances)
        for env in range(len(instances)):
            runtime.germinate(env, 1, "conv_light", Algorithm.ADD)
        active, settings = [True] * len(instances), [seeds] * len(instances)
        runtime.train_epoch(settings, active)
        measured = (runtime.validate(settings, active, False, split).loss for split in ("validation", "test"))
        return dict(zip(instances, torch.stack([*measured], dim=1).tolist(), strict=True))

    together = losses(VARIOUS)
    assert len({loss for pair in together.values() for loss in pair}) == 2 * len(VARIOUS)
    assert all(losses([instance])[instance] == together[instance] for instance in VARIOUS[::2])


def test_what_every_environment_trains_is_published(make):
    made = make(VARIOUS, epochs=1)
    state, _ = made.reset(options={"instances": VARIOUS})
    for env, problem in enumerate(made.problems):
        host = problem.builder.host(made.instances[env])
        inputs = problem.task.train.inputs
        assert int(state["host_parameters"][env]) == sum(p.numel() for p in host.parameters())
        assert int(state["train_samples"][env]) == len(inputs)
        assert int(state["axes"][env]) == inputs[0].dim() - 1
        assert state["channels"][env].tolist() == [len(segment(inputs[:1])[0]) for segment in host.segments[:1]] * 3
    assert all(len(state[name].unique()) > 1 for name in ("host_parameters", "train_samples", "axes", "channels"))


def test_what_is_kept_for_evaluation_is_never_trained_on(make):
    with pytest.raises(UserError, match="reach beyond instance 999,999"):
        make(first_instance=HELD_OUT - 15)
    made = make(first_instance=HELD_OUT - 16)
    assert made.held_out(3) == [HELD_OUT, HELD_OUT + 1, HELD_OUT + 2] and made.held_out(5)[:3] == made.held_out(3)


def test_episodes_are_told_apart_by_kind_and_not_by_what_is_drawn(make, play):
    *_, events = play(make(epochs=2, batch_size=60, instances=[7, 12, 3, 8]), Static, instances=[7, 12, 3, 8])
    told = {event["task"] for event in events if event["type"] == "episode"}
    task = problems().at(7).task
    assert label_of(evolve(task, label="")) == task.name != label_of(task), "without a label it is the name"
    assert told and told <= {f"{task}-{n}" for task in SMALL.tasks for n in SMALL.train_samples}


def test_outcomes_of_a_host_that_is_left_alone(make, play, monkeypatch):
    made = make()
    read, validate = [], made.runtime.validate

    def watched(*arguments, split="validation", **options):
        read.append(split)
        return validate(*arguments, split=split, **options)

    monkeypatch.setattr(made.runtime, "validate", watched)
    play(made, Static, instances=CURVES)
    assert set(read) == {"validation"}, "the test split is read for outcomes alone"
    outcomes = made.outcomes()
    assert read.count("test") == 1
    assert torch.equal(outcomes["test_accuracy"], validate([{}, {}], [True, True], False, split="test").accuracy)
    costs = [len(p.task.train.targets) * p.builder.host_flops for p in made.problems]
    assert outcomes["training_flops"].tolist() == [3 * 14 * cost for cost in costs]
    assert outcomes["added_parameters"].tolist() == outcomes["alpha_shock"].tolist() == [0, 0]
    assert made.topologies() == [{}, {}]


def test_a_topology_is_there_from_the_first_epoch_on_and_seeds_are_counted_while_they_take_part(make, play):
    made = make()
    play(made, AllOn, instances=CURVES)
    topologies, grown = made.topologies(), made.outcomes()
    assert any(topologies), "nothing was made permanent, so nothing is tested"
    for env, problem in enumerate(made.problems):
        samples, builder = len(problem.task.train.targets), problem.builder
        # Slot i is germinated at step i; it takes part from the step after, once gate G1 has passed.
        epochs = {slot: 14 - slot - 1 for slot in range(3)}
        seeds = sum(builder.seed_flops(slot, "conv_light", Algorithm.ADD) * count for slot, count in epochs.items())
        assert grown["training_flops"][env] == 3 * samples * (14 * builder.host_flops + seeds)
    *_, events = play(made, Static, instances=CURVES, topologies=topologies)
    assert made.topologies() == topologies
    replayed = made.outcomes()
    assert torch.equal(replayed["added_parameters"], grown["added_parameters"])
    assert replayed["alpha_shock"].tolist() == [0, 0]
    for env, (problem, topology) in enumerate(zip(made.problems, topologies, strict=True)):
        builder = problem.builder
        fossils = sum(builder.seed_flops(int(i), label, Algorithm[how]) for i, (label, how, _) in topology.items())
        samples = len(problem.task.train.targets)
        assert replayed["training_flops"][env] == 3 * 14 * samples * (builder.host_flops + fossils)
    assert {event["type"] for event in events} == {"episode"}
    assert [event["fossils"] for event in events] == [len(topology) for topology in topologies]


def test_flops_are_those_of_the_layers_by_hand(make_context):
    found = Problems(*families().values(), make_context().parts["blueprint"], 3)
    builder = found.at(8).builder
    # 1 → 16 → 16 → 16 channels, 40 points, pooled to 20 behind the second block; 16 → 10 classes.
    assert builder.host_flops == 2 * (40 * 16 + 40 * 16 * 16 + 20 * 16 * 16 + 16 * 10)
    assert builder.seed_flops(0, "conv_light", Algorithm.ADD) == 2 * 40 * 16 * 16 * 3
    # A gate has two linear layers, 16 → 8 → 1, for the whole sample.
    assert builder.seed_flops(0, "norm", Algorithm.ADD) == builder.seed_flops(0, "norm", Algorithm.MULTIPLY) == 0
    assert builder.seed_flops(0, "norm", Algorithm.GATE) == 2 * (16 * 8 + 8)


def test_the_shock_is_the_largest_fall_in_an_epoch_in_which_an_alpha_moved():
    cost = TrainingCost.none(4)
    for values in (
        ([True, True, False, True], [0.5, 0.5, 1.0, 0.25], [0.25, 0.75, 0.0, 0.5]),
        ([True, True, True, True], [0.5, 0.5, 0.5, 0.25], [0.375, 0.375, 0.0, float("nan")]),
    ):
        cost.blend(*map(torch.tensor, values))
    assert cost.shock.tolist() == [0.25, 0.125, 0.5, 0.0]


ADD, MULTIPLY, FAST = 2, 1, 1
FULL = {"op": Op.SET_ALPHA_TARGET, "alpha_target": 2}
PRUNE = {"op": Op.PRUNE, "alpha_speed": FAST}


@pytest.mark.parametrize(
    ("heads", "epochs", "moved"),
    [({**FULL, "style": ADD}, 3, []), ({**FULL, "style": MULTIPLY}, 3, [0]), (PRUNE, 5, [0, 1, 2])],
)
def test_a_fall_is_a_shock_where_a_seed_was_changed_and_nowhere_else(make_environment, act, heads, epochs, moved):
    environment, found = make_environment(epochs=30, envs=1, samples=20), []
    environment.reset(seed=0)
    environment.step(act(environment, op=Op.GERMINATE, blueprint=1, tempo=0, style=ADD))
    while int(environment.slots.stage[0, 0]) != Stage.HOLDING or int(environment.slots.age[0, 0]) < MIN_PRUNE_AGE:
        environment.step(act(environment))
    for epoch in range(epochs):
        environment.cost.shock.zero_()
        environment.progress.accuracy[0] = 1.0  # so that every epoch is a fall
        environment.step(act(environment, **heads) if epoch == 0 else act(environment))
        found += [epoch] * bool(environment.cost.shock[0] > 0)
    assert found == moved


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 11), min_size=1, max_size=24), st.integers(1, 6))
def test_shares_cost_about_as_much_and_keep_together_what_is_alike(instances, count):
    count = min(count, len(instances))
    shares = problems().shares(instances, count)
    assert sorted(position for share in shares for position in share) == list(range(len(instances)))
    assert len(shares) == count and all(shares)
    known = [problems().at(instance) for instance in instances]
    cut = [{known[position].alike for position in share} for share in shares]
    assert sum(map(len, cut)) <= len(set().union(*cut)) + count - 1, "more groups are cut than there are cuts"
    costs = [sum(known[position].cost for position in share) for share in shares]
    if all(len(share) > 1 for share in shares):
        assert max(costs) <= sum(costs) / count + max(problem.cost for problem in known)

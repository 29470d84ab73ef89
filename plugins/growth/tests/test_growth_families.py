"""Families of tasks and hosts: what an instance trains, and what came of it."""

from functools import cache

import pytest
import torch
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from esper_core import SlotConfig
from esper_core.contracts.errors import UserError
from esper_core.contracts.protocols import BuildContext
from esper_growth.actions import Algorithm, Op
from esper_growth.config import GrowthConfig, MixedHostConfig, MixedTaskConfig
from esper_growth.cost import TrainingCost
from esper_growth.describe import describe
from esper_growth.environment import HELD_OUT
from esper_growth.fused.runtime import FusedRuntime
from esper_growth.hosts.mixed import MixedHost
from esper_growth.loop import LoopRuntime
from esper_growth.make import growth
from esper_growth.masks import LifecycleMasks
from esper_growth.model import SeedSetting
from esper_growth.problems import Problems
from esper_growth.rules import AllOn, AllOnHeavy, Periodic, Static, UniformLegal
from esper_growth.stages import MIN_PRUNE_AGE, Stage
from esper_growth.tasks.mixed import MixedTask

SMALL = MixedTaskConfig(train_samples=(40, 60), samples=200)


@cache
def small_problems():
    """Return problems of the families, of which every instance is built once."""
    slots = SlotConfig.for_grid(1, 3)
    known = describe(GrowthConfig(), slots)
    context = BuildContext(slots, known.actions, known.state, None, 0, 1.0, 1, 0, "cpu", torch.float32)
    return Problems(MixedTask(SMALL, context), MixedHost(MixedHostConfig(), context), {}, 3)


@pytest.fixture
def mixed(make_context):
    """Return a factory of contexts whose task and host are families."""

    def make(config=None, **options):
        context = make_context(config, **options)
        parts = {"task": MixedTask(SMALL, context), "host": MixedHost(MixedHostConfig(), context)}
        return evolve(context, parts={**context.parts, **parts})

    return make


@pytest.fixture
def environment(mixed):
    made = []

    def make(instances=None, **options):
        config = GrowthConfig(**{"epochs": 14, "batch_size": 20, "workers": 1, **options})
        made.append(growth(config, mixed(config, envs=len(instances or (0, 1)))))
        return made[-1]

    yield make
    for one in made:
        one.close()


def play(environment, rule, **options):
    """Let a rule play one episode; return the operations of every step and the events."""
    masks, generator = LifecycleMasks(None, environment.context), torch.Generator().manual_seed(0)
    state, _ = environment.reset(seed=0, options=options)
    rule.reset(environment.num_envs)
    actions, events = [], []
    for _ in range(environment.horizon):
        actions.append(rule(state, masks(state), generator))
        state, *_, info = environment.step(actions[-1])
        events += info["events"]
    return actions, events


def with_context(environment, context):
    environment.context = context
    return environment


def test_a_family_draws_every_kind_of_problem(mixed):
    context = mixed()
    problems = Problems(context.parts["task"], context.parts["host"], context.parts["blueprint"], 3)
    drawn = [problems.at(instance) for instance in range(60)]
    assert {problem.nursery.name.split("-")[0] for problem in drawn} == {"pointwise", "narrow", "capable"}
    assert {problem.task.name.rsplit("-", 1)[0] for problem in drawn} == {"digits", "mnist1d", "mnist1d-shuffled"}
    assert {len(problem.task.train.targets) for problem in drawn} == {40, 60}
    assert len({problem.task.name for problem in drawn}) == len(drawn), "every instance has data of its own"


def test_training_and_evaluation_share_no_sample_of_curves(mixed):
    task = mixed().parts["task"]

    def samples(instances):
        tasks = (task.draw(instance) for instance in instances)
        curves = [t for t in tasks if t.name.startswith("mnist1d")]
        assert curves
        splits = (split for t in curves for split in (t.train, t.validation, t.test))
        return {sample.numpy().tobytes() for split in splits for sample in split.inputs}

    assert not samples(range(12)) & samples(range(HELD_OUT, HELD_OUT + 12))


@pytest.mark.parametrize(("option", "value"), [("tasks", ("mnist2d",)), ("tasks", ())])
def test_an_unknown_member_is_refused(make_context, option, value):
    with pytest.raises(UserError, match="draws from digits, mnist1d, mnist1d-shuffled alone"):
        MixedTask(MixedTaskConfig(**{option: value}), make_context())
    with pytest.raises(UserError, match="draws from pointwise, narrow, capable alone"):
        MixedHost(MixedHostConfig(hosts=value), make_context())


SEEDS = {1: SeedSetting(Stage.BLENDING, 0.6, Algorithm.ADD, False)}


@pytest.mark.parametrize("size", [0, 1, 2])
def test_a_host_computes_the_same_in_any_company(mixed, size):
    parts = mixed().parts
    config = GrowthConfig(batch_size=20, workers=1, hosts_per_group=size)

    def accuracy(instances):
        runtime = FusedRuntime(config, parts["task"], parts["host"], parts["blueprint"], 3)
        runtime.start(instances)
        for env in range(len(instances)):
            runtime.germinate(env, 1, "conv_light", Algorithm.ADD)
        active, settings = [True] * len(instances), [SEEDS] * len(instances)
        for _ in range(2):
            runtime.train_epoch(settings, active)
        return {
            split: dict(zip(instances, runtime.validate(settings, active, False, split).loss.tolist(), strict=True))
            for split in ("validation", "test")
        }

    together = accuracy(list(range(9)))
    for split, losses in together.items():
        assert len(set(losses.values())) == len(losses)
        for instance in (0, 4, 8):
            assert accuracy([instance])[split][instance] == losses[instance]


def test_fused_and_loop_train_the_same_problems(mixed):
    context = mixed(dtype=torch.float64)
    parts, config, losses = context.parts, GrowthConfig(batch_size=20, workers=1), []
    for kind in (FusedRuntime, LoopRuntime):
        runtime = kind(config, parts["task"], parts["host"], parts["blueprint"], 3)
        runtime.start(range(8))
        runtime.train_epoch([{}] * 8, [True] * 8)
        found = [runtime.validate([{}] * 8, [True] * 8, False, split).loss for split in ("validation", "test")]
        losses.append(found)
    for ours, theirs in zip(*losses, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_what_every_environment_trains_is_published(environment):
    made = environment(list(range(6)))
    state, _ = made.reset(options={"instances": list(range(6))})
    for env, problem in enumerate(made.problems):
        host = problem.nursery.host(made.instances[env])
        inputs = problem.task.train.inputs
        assert int(state["host_parameters"][env]) == sum(p.numel() for p in host.parameters())
        assert int(state["train_samples"][env]) == len(inputs)
        assert int(state["axes"][env]) == inputs[0].dim() - 1
        assert state["channels"][env].tolist() == [len(segment(inputs[:1])[0]) for segment in host.segments[:1]] * 3
    assert all(len(state[name].unique()) > 1 for name in ("host_parameters", "train_samples", "axes", "channels"))


def test_what_is_kept_for_evaluation_is_never_trained_on(mixed):
    config = GrowthConfig(workers=1, first_instance=HELD_OUT - 3, instances=4)
    with pytest.raises(UserError, match="reach beyond instance 999,999"):
        growth(config, mixed(config))
    with_room = GrowthConfig(workers=1, first_instance=HELD_OUT - 4, instances=4)
    made = growth(with_room, mixed(with_room))
    assert made.held_out(3) == [HELD_OUT, HELD_OUT + 1, HELD_OUT + 2] and made.held_out(5)[:3] == made.held_out(3)
    made.close()


def test_outcomes_of_a_host_that_is_left_alone(environment, mixed):
    made = with_context(environment(), mixed())
    instances = made.held_out(2)
    play(made, Static(None, made.context), instances=instances)
    outcomes = made.outcomes()
    for env, problem in enumerate(made.problems):
        samples = len(problem.task.train.targets)
        assert outcomes["training_flops"][env] == 3 * 14 * samples * problem.nursery.host_flops
        right = made.runtime.validate([{}, {}], [True, True], False, split="test").accuracy[env]
        assert outcomes["test_accuracy"][env] == right
    assert outcomes["added_parameters"].tolist() == outcomes["alpha_shock"].tolist() == [0, 0]
    assert made.topologies() == [{}, {}]


def test_the_flops_of_a_seed_are_counted_while_it_takes_part(environment, mixed):
    made = with_context(environment(), mixed())
    play(made, AllOn(None, made.context), instances=[3, 4])
    grown = made.outcomes()["training_flops"]
    for env, problem in enumerate(made.problems):
        samples, nursery = len(problem.task.train.targets), problem.nursery
        # Slot i is germinated at step i; it takes part from the step after, once gate G1 has passed.
        epochs = {slot: 14 - slot - 1 for slot in range(3)}
        seeds = sum(nursery.seed_flops(slot, "conv_light", Algorithm.ADD) * count for slot, count in epochs.items())
        assert grown[env] == 3 * samples * (14 * nursery.host_flops + seeds)


def test_flops_are_those_of_the_layers_by_hand(mixed):
    context = mixed()
    problems = Problems(context.parts["task"], context.parts["host"], context.parts["blueprint"], 3)
    found = (problems.at(i).nursery for i in range(40))
    nursery = next(n for n in found if n.name.startswith("pointwise") and len(n.slot_shapes[0]) == 2)
    # 1 → 16 → 16 → 16 channels, 40 points, pooled to 20 behind the second block; 16 → 10 classes.
    assert nursery.host_flops == 2 * (40 * 16 + 40 * 16 * 16 + 20 * 16 * 16 + 16 * 10)
    assert nursery.seed_flops(0, "conv_light", Algorithm.ADD) == 2 * 40 * 16 * 16 * 3
    # A gate has two linear layers, 16 → 8 → 1, for the whole sample.
    assert nursery.seed_flops(0, "norm", Algorithm.ADD) == nursery.seed_flops(0, "norm", Algorithm.MULTIPLY) == 0
    assert nursery.seed_flops(0, "norm", Algorithm.GATE) == 2 * (16 * 8 + 8)


def test_the_shock_is_the_largest_fall_in_an_epoch_in_which_an_alpha_moved():
    cost = TrainingCost.none(4)
    for moved, before, after in (
        ([True, True, False, True], [0.5, 0.5, 1.0, 0.25], [0.25, 0.75, 0.0, 0.5]),
        ([True, True, True, True], [0.5, 0.5, 0.5, 0.25], [0.375, 0.375, 0.0, float("nan")]),
    ):
        cost.blend(torch.tensor(moved), torch.tensor(before), torch.tensor(after))
    assert cost.shock.tolist() == [0.25, 0.125, 0.5, 0.0]


INSTANT, FAST, HALF, FULL, ADD, MULTIPLY, GATE = 0, 1, 0, 2, 2, 1, 3
HALVE = {"op": Op.SET_ALPHA_TARGET, "alpha_target": HALF, "alpha_speed": INSTANT}


@pytest.mark.parametrize(
    ("heads", "epochs", "moved"),
    [
        ({"op": Op.WAIT}, 3, []),
        (HALVE, 3, [0]),
        ({"op": Op.SET_ALPHA_TARGET, "alpha_target": FULL, "style": ADD}, 3, []),
        ({"op": Op.SET_ALPHA_TARGET, "alpha_target": FULL, "style": MULTIPLY}, 3, [0]),
        ({**HALVE, "alpha_speed": FAST}, 4, [0, 1, 2]),
        ({"op": Op.PRUNE, "alpha_speed": INSTANT}, 3, [0]),
        ({"op": Op.PRUNE, "alpha_speed": FAST}, 5, [0, 1, 2]),
    ],
)
def test_a_fall_is_a_shock_where_a_seed_was_changed_and_nowhere_else(make_environment, act, heads, epochs, moved):
    environment = make_environment(epochs=30, envs=1, auto_advance=True)
    environment.reset(seed=0)
    measured, falls = environment.runtime.validate, 0.0

    def validate(*arguments, **said):
        return measured(*arguments, **said)._replace(accuracy=torch.tensor([0.9 - falls], dtype=torch.float64))

    environment.runtime.validate = validate
    environment.step(act(environment, op=Op.GERMINATE, blueprint=1, tempo=0, style=ADD))
    while int(environment.slots.stage[0, 0]) != Stage.HOLDING or int(environment.slots.age[0, 0]) < MIN_PRUNE_AGE:
        environment.step(act(environment))
    found = []
    for epoch in range(epochs):
        environment.cost.shock.zero_()
        falls = 0.1 * (epoch + 1)
        environment.step(act(environment, **heads) if epoch == 0 else act(environment))
        if float(environment.outcomes()["alpha_shock"][0]) > 0:
            found.append(epoch)
    assert found == moved


def test_the_gate_of_a_seed_is_counted(make_environment, act):
    def flops(style):
        environment = make_environment(epochs=3, envs=1)
        environment.reset(seed=0)
        environment.step(act(environment, op=Op.GERMINATE, blueprint=2, style=style))
        for _ in range(2):
            environment.step(act(environment))
        return float(environment.outcomes()["training_flops"][0])

    gate = 2 * (16 * 8 + 8)
    assert flops(GATE) - flops(ADD) == 3 * 100 * 2 * gate, "100 samples in two epochs, forward and backward"


def test_a_topology_is_there_from_the_first_epoch_on(environment, mixed):
    made = with_context(environment(epochs=20), mixed())
    play(made, AllOn(None, made.context), instances=[3, 4])
    topologies, grown = made.topologies(), made.outcomes()
    assert any(topologies), "nothing was made permanent, so nothing is tested"
    _, events = play(made, Static(None, made.context), instances=[3, 4], topologies=topologies)
    assert made.topologies() == topologies
    replayed = made.outcomes()
    assert torch.equal(replayed["added_parameters"], grown["added_parameters"])
    assert replayed["alpha_shock"].tolist() == [0, 0]
    for env, (problem, topology) in enumerate(zip(made.problems, topologies, strict=True)):
        fossils = sum(
            problem.nursery.seed_flops(int(slot), label, Algorithm[how]) for slot, (label, how, _) in topology.items()
        )
        flops = 3 * 20 * len(problem.task.train.targets) * (problem.nursery.host_flops + fossils)
        assert replayed["training_flops"][env] == flops
    assert {event["type"] for event in events} == {"episode"}
    assert [event["fossils"] for event in events] == [len(topology) for topology in topologies]


def test_a_diverged_host_keeps_the_fossils_it_was_given(environment, mixed):
    made = with_context(environment(governor_loss=0.0, governor_patience=1), mixed())
    topology = {"0": ("conv_light", "ADD", 1.0)}
    made.reset(seed=0, options={"instances": [3, 4], "topologies": [topology, {}]})
    made.governor.history.fill_(1e-6)
    made.step({head.name: torch.full((2,), head.neutral) for head in made.actions.heads})
    assert made.topologies() == [topology, {}]


def test_all_on_grows_everywhere_at_once(environment, mixed):
    made = with_context(environment(epochs=20), mixed())
    for rule, label in ((AllOn, "conv_light"), (AllOnHeavy, "conv_heavy")):
        actions, events = play(made, rule(None, made.context), instances=[3, 4])
        assert [a["op"].tolist() for a in actions[:4]] == [[Op.GERMINATE] * 2] * 3 + [[Op.WAIT] * 2]
        born = [event for event in events if event["type"] == "germinate"]
        assert len(born) == 6 and {event["blueprint"] for event in born} == {label}


def test_periodic_grows_one_slot_after_the_other(environment, mixed):
    made = with_context(environment(epochs=20), mixed())
    _, events = play(made, Periodic(None, made.context), instances=[3, 4])
    steps = [event["step"] for event in events if event["type"] == "germinate" and event["env"] == 0]
    assert steps == [0, 6, 12]


def test_the_test_split_is_read_for_outcomes_alone(environment, mixed, monkeypatch):
    made = with_context(environment(), mixed())
    read, validate = [], made.runtime.validate
    monkeypatch.setattr(
        made.runtime,
        "validate",
        lambda *a, split="validation", **k: (read.append(split), validate(*a, split=split, **k))[1],
    )
    play(made, UniformLegal(None, made.context), instances=[3, 4])
    assert set(read) == {"validation"}
    made.outcomes()
    assert read.count("test") == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 11), min_size=1, max_size=24), st.integers(1, 6))
def test_shares_cost_about_as_much_and_keep_together_what_is_alike(instances, count):
    problems = small_problems()
    count = min(count, len(instances))
    shares = problems.shares(instances, count)
    assert sorted(position for share in shares for position in share) == list(range(len(instances)))
    assert len(shares) == count and all(shares)
    cut = [{problems.at(instances[position]).alike for position in share} for share in shares]
    kinds = set().union(*cut)
    assert sum(map(len, cut)) <= len(kinds) + count - 1, "more groups are cut than there are cuts"
    costs = [sum(problems.at(instances[position]).cost for position in share) for share in shares]
    largest = max(problems.at(instance).cost for instance in instances)
    if all(len(share) > 1 for share in shares):
        assert max(costs) <= sum(costs) / count + largest


def test_shares_of_equal_hosts_are_equal_and_in_order():
    problems = small_problems()
    assert problems.shares([5] * 8, 2) == [[0, 1, 2, 3], [4, 5, 6, 7]]

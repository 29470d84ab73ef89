"""Which instances training draws, what critics alone are told of them, and the teacher for each kind."""

from types import SimpleNamespace

import pytest
import torch

import esper_core as esper
from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.composition.recipes import Recipes
from esper_core.contracts.errors import ConfigError, IncompatiblePlan
from esper_core.learning.session import open_session
from esper_core.registry.loading import load_index
from esper_evaluation.rules import Random
from esper_growth.by_kind import ByKind
from esper_growth.config import ByKindConfig, GrowthConfig, MixedHostConfig, MixedTaskConfig
from esper_growth.instance_weights import InstanceWeights, kind_of
from esper_growth.privileged import AHEAD, MEANINGS, Privileged, signs
from esper_growth.rules import AllOn, Plateau


def drawn(environment, resets=1, seed=3):
    """Return the instances of each of some resets, without training anything."""
    environment._draws.restart(seed)
    found = []
    for _ in range(resets):
        found.append(environment._draws.next())
        environment._draws.pass_one()
    return found


def test_repeats_lie_side_by_side_and_leave_the_stream_of_draws_as_it_is(make_environment):
    environment = make_environment(envs=8, instances=50)
    plain = drawn(environment, 3)
    environment.config = GrowthConfig(instances=50, repeats=4)
    again = drawn(make_environment(envs=8, instances=50, repeats=4), 3)
    assert [[row[i] for i in (0, 4)] for row in again] == [row[:2] for row in plain]
    assert all(row[0] == row[3] != row[4] == row[7] for row in again)


def test_instances_of_a_kind_are_drawn_as_often_as_its_weight_says_and_again_the_same(make_environment):
    kinds = [
        SimpleNamespace(task=SimpleNamespace(name="digits-9s1"), builder=SimpleNamespace(name=name))
        for name in ("pointwise-w16g8", "capable-w32g8")
    ]

    def environment():
        made = make_environment(envs=32, instances=200, instance_weights=("digits capable=0.25",))
        made._draws._problems = SimpleNamespace(at=lambda instance: kinds[instance % 2])
        return made

    found = drawn(environment(), 40)
    assert found == drawn(environment(), 40), "draws follow from seed and number of the episode"
    assert all(len(set(row)) == 32 for row in found)
    share = sum(number % 2 for row in found for number in row) / (40 * 32)
    assert share == pytest.approx(0.2, abs=0.04)


@pytest.mark.parametrize("wrong", ["capable", "capable=0", "capable=2", "=0.5", "capable=x"])
def test_weights_that_cannot_be_read_are_told(wrong):
    with pytest.raises(ValueError, match="KIND=NUMBER"):
        GrowthConfig(instance_weights=(wrong,))


def test_the_first_weight_whose_words_fit_counts():
    weights = InstanceWeights.of(["mnist1d narrow=0.5", "narrow=0.1"])
    assert [weights.weight(kind) for kind in (("mnist1d", "narrow"), ("digits", "narrow"), ("mnist1d", "capable"))] == [
        0.5,
        0.1,
        1.0,
    ]
    assert kind_of("mnist1d-shuffled-200of2500n0.25s7", "pointwise-w16g8") == ("mnist1d-shuffled", "pointwise")
    assert kind_of("mine", "ours") == ("mine", "ours")


def test_critics_are_told_the_static_curve_ahead_and_the_kind():
    told = Privileged([[0.1, 0.2, 0.4, 0.8]], [("digits-1s1", "narrow-w6g2")], "cpu")
    start, third = (dict(zip(MEANINGS, told.at(torch.tensor([e]))[0].tolist(), strict=True)) for e in (0, 3))
    ahead = [f"static_ahead_{k}" for k in AHEAD]
    assert [start[name] for name in ("static_final", *ahead[:2], "static_left")] == pytest.approx(
        [0.6, -0.8, -0.2, 0.7]
    )
    assert [third[name] for name in (*ahead, "static_left")] == pytest.approx([0.6] * 5 + [0.4])
    kinds = {tuple(signs(task, host)) for task in set(MixedTaskConfig().tasks) for host in set(MixedHostConfig().hosts)}
    assert len(kinds) == 9, "every kind of the mixed family has signs of its own"


def test_what_is_told_comes_with_every_state_and_is_no_part_of_it(make_environment, act):
    environment = make_environment(epochs=3, samples=20, batch_size=20)
    state, info = environment.reset(seed=0)
    after, *_, stepped = environment.step(act(environment))
    for shown, told in ((state, info), (after, stepped)):
        assert told["privileged"].shape == (environment.num_envs, len(MEANINGS)) and not MEANINGS.keys() & shown.keys()


def test_without_discount_the_rewards_of_an_episode_are_its_return(make_environment, play):
    """The potential telescopes to nothing."""
    environment = make_environment(epochs=12, samples=20, batch_size=20, envs=3)
    environment.gamma = 1.0
    _, _, rewards, events = play(environment, Random)
    episodes = {event["env"]: event["return"] for event in events if event["type"] == "episode"}
    assert torch.stack(list(rewards)).sum(0).tolist() == pytest.approx([episodes[env] for env in range(3)], abs=1e-6)


def test_by_kind_does_what_the_rule_of_each_kind_does(make_environment, play):
    parameters = {}

    class Chosen(ByKind):
        def __init__(self, config, context):
            super().__init__(ByKindConfig(rules=(f"axes=2 host_parameters={parameters['here']}: all-on",)), context)

    class Elsewhere(ByKind):
        def __init__(self, config, context):
            super().__init__(ByKindConfig(rules=("axes=1: all-on",), otherwise="plateau"), context)

    environment = make_environment(epochs=8, samples=50)
    parameters["here"] = int(environment.reset(seed=0)[0]["host_parameters"][0])
    for mixed, single in ((Chosen, AllOn), (Elsewhere, Plateau)):
        found, expected = (play(make_environment(epochs=8, samples=50), rule)[1] for rule in (mixed, single))
        assert all(torch.equal(a[name], b[name]) for a, b in zip(found, expected, strict=True) for name in a)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (("axes=1: all-of",), "all-on"),
        (("axis=1: all-on",), "axes"),
        (("axes: all-on",), "FIELD=NUMBER"),
        (("all-on",), "FIELD=NUMBER"),
    ],
)
def test_a_teacher_that_cannot_be_read_is_told_with_what_there_is(make_environment, rules, said):
    environment = make_environment()
    context = SimpleNamespace(actions=environment.actions, state_spec=environment.state_spec)
    with pytest.raises(ConfigError, match=said):
        ByKind(ByKindConfig(rules=rules), context)


def plan(*options, envs=8, **request):
    index, given = load_index(), ["environment.epochs=4", "environment.workers=1", *options]
    return make_plan(PlanRequest(policy="lstm-v1", options=given, envs=envs, **request), index, Recipes()), index


@pytest.mark.parametrize(
    ("options", "envs", "said"),
    [
        (["environment.repeats=3"], 8, "--envs is 8.*3 rows"),
        (["train.leave_one_out=true"], 8, "each in 1"),
        (["environment.repeats=8", "train.leave_one_out=true"], 8, "--envs is 8"),
    ],
)
def test_what_cannot_be_compared_is_not_planned(options, envs, said):
    with pytest.raises(IncompatiblePlan, match=said):
        plan(*options, envs=envs)


def test_what_was_chosen_reaches_the_trainer():
    options = ["critic.privileged=true", "environment.repeats=4", "train.leave_one_out=true", "train.gamma=1"]
    options += ["train.teacher_alone=2", "train.critic_alone=1", "train.teacher_softness=0.2"]
    options += ["train.teacher_entropy=0.3", 'rule.rules=["axes=2: all-on"]']
    made, index = plan(*options, uses={"rule": "by-kind"})
    assert made.component("environment").config["repeats"] == 4, "the plan records it"
    trainer = open_session(made, index)
    trainer.environment.close()
    teacher = trainer.teacher
    assert (teacher.alone, teacher.pause, teacher.softness, teacher.entropy) == (2, 1, 0.2, 0.3)
    assert trainer.others.repeats == 4 and trainer.policy.privileged == len(MEANINGS)
    assert trainer.environment.gamma == trainer.config.gamma == 1 and isinstance(teacher.rule, ByKind)


def test_a_policy_acts_without_what_its_critic_was_told_and_its_values_take_it_in(tmp_path):
    made, _ = plan("critic.privileged=true", "train.lr=0.1", envs=2, slots="2")
    run = esper.train(made, updates=1, out=tmp_path, tensorboard=False, progress=False)
    player = esper.load(run.path)
    environment = player.make_environment(envs=2)
    state, info = environment.reset(seed=1)
    player.reset(2)
    told, untold = player.values(state, info["privileged"]), player.values(state)
    assert bool((told != untold).all())
    assert torch.equal(player.values(state, torch.zeros_like(info["privileged"])), untold), "0 is what it is not told"
    environment.step(player.act(state))
    environment.close()

import pytest
import torch

from esper_growth.actions import Op
from esper_growth.masks import LifecycleMasks
from esper_growth.rules import Plateau, Static, UniformLegal


def play(environment, rule, masks, seed=0):
    generator = torch.Generator().manual_seed(seed)
    state, _ = environment.reset(seed=seed)
    rule.reset(environment.num_envs)
    ops, episodes = [], []
    for _ in range(environment.horizon):
        legal = masks(state)
        actions = rule(state, legal, generator)
        ops.append(actions["op"])
        state, _, _, _, info = environment.step(actions)
        episodes += [event for event in info["events"] if event["type"] == "episode"]
    return torch.stack(ops), episodes


@pytest.fixture
def setting(make_environment, make_context):
    environment = make_environment(epochs=30, samples=300, envs=2)
    context = make_context()
    return environment, context, LifecycleMasks(None, context)


def test_static_always_waits_and_gains_nothing(setting):
    environment, context, masks = setting
    ops, episodes = play(environment, Static(None, context), masks)
    assert bool((ops == Op.WAIT).all())
    assert [e["gain"] for e in episodes] == [0.0, 0.0] and [e["return"] for e in episodes] == [0.0, 0.0]


def test_random_plays_every_operation_and_is_reproducible(setting):
    environment, context, masks = setting
    ops, episodes = play(environment, UniformLegal(None, context), masks)
    again, _ = play(environment, UniformLegal(None, context), masks)
    other, _ = play(environment, UniformLegal(None, context), masks, seed=1)
    assert set(ops.unique().tolist()) == {Op.WAIT, Op.GERMINATE, Op.SET_ALPHA_TARGET, Op.PRUNE, Op.FOSSILIZE}
    assert torch.equal(ops, again) and not torch.equal(ops, other)
    assert len(episodes) == 2


def test_plateau_grows_when_accuracy_stalls_and_keeps_what_contributes(setting):
    environment, context, masks = setting
    ops, episodes = play(environment, Plateau(None, context), masks)
    assert bool((ops[: Plateau.FIRST_EPOCH] == Op.WAIT).all()), "it waits before its first germination"
    assert bool((ops == Op.GERMINATE).any(0).all()) and bool((ops == Op.FOSSILIZE).any(0).all())
    assert all(e["fossils"] > 0 and e["gain"] > 0 for e in episodes)

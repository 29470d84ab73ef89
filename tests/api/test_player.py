"""Players: what the policy did in training, from a checkpoint alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import esper_core as esper
from esper_core.api.player import Player
from esper_core.composition.build import build_parts
from esper_core.composition.plan import describe_plan
from esper_core.learning.normalise import ReturnNormaliser
from esper_core.learning.session import open_session
from esper_core.policy.legality import find_illegal
from esper_core.policy.policy import Policy
from esper_core.registry.loading import load_index
from esper_core.runs.checkpoint import choose_checkpoint, load_checkpoint
from tests.api.conftest import small


@pytest.fixture(scope="module")
def states(trained):
    """States of four episodes in which nothing is done but the first operation, step by step."""
    environment = esper.load(trained).make_environment(envs=4, seed=1)
    state, _ = environment.reset()
    found = [state]
    actions = {name: torch.zeros(4, dtype=torch.int64) for name in environment.actions.names}
    for _ in range(3):
        found.append(environment.step(actions)[0])
    environment.close()
    return found


def same(one, other) -> bool:
    return all(bool((one[name] == other[name]).all()) for name in one)


def test_a_player_acts_as_the_trainer_does(trained):
    player, index = esper.load(trained), load_index()
    trainer = open_session(trained.plan, index)
    load_checkpoint(choose_checkpoint(trained, "last"), trainer, trained.plan, index)
    trainer.environment.close()
    list(trainer.run(3))  # plays an episode with the weights of the checkpoint before it learns
    rollout, generator = trainer.rollout, torch.Generator()
    saved = open_session(trained.plan, index)
    load_checkpoint(choose_checkpoint(trained, "last"), saved, trained.plan, index)
    generator.set_state(saved._streams.sampling.get_state())
    environment = saved.environment
    state, _ = environment.reset(seed=saved._reset_seed())
    player.reset(rollout.num_envs)
    for t in range(rollout.horizon):
        value = player.values(state)
        actions = player.act(state, generator=generator)
        assert same(actions, {name: taken[:, t] for name, taken in rollout.actions.items()})
        state = environment.step(actions)[0]
    environment.close()
    assert value.shape == (2,) and bool(value.isfinite().all())


def test_values_change_nothing_and_save_goes_back(trained, states):
    player = esper.load(trained)
    player.reset(4)
    player.act(states[0], deterministic=True)
    before = player.values(states[1])
    assert same({"value": before}, {"value": player.values(states[1])})
    saved = player.save()
    first = [player.act(state, deterministic=True) for state in states[1:]]
    other = player.copy()
    for one in (player, other):
        one.load(saved)
        assert all(map(same, first, [one.act(state, deterministic=True) for state in states[1:]]))


def test_values_are_in_units_of_reward(trained, states):
    player = esper.load(trained)
    player.reset(4)
    raw = player.values(states[0])
    player._normaliser.mean += 10.0
    assert torch.allclose(player.values(states[0]), raw + 10.0, atol=1e-4)


def test_rows_begin_anew_alone(trained, states):
    player, fresh = esper.load(trained), esper.load(trained)
    player.reset(4), fresh.reset(4)
    player.act(states[0], deterministic=True)
    going_on = player.values(states[1])
    player.reset_rows(torch.tensor([True, False, True, False]))
    anew, started = player.values(states[1]), fresh.values(states[1])
    assert torch.allclose(anew[[0, 2]], started[[0, 2]]) and torch.allclose(anew[[1, 3]], going_on[[1, 3]])
    assert not torch.allclose(started, going_on)
    fresh.act(states[1], deterministic=True), player.act(states[1], deterministic=True)
    after, expected = player.values(states[2]), fresh.values(states[2])
    assert torch.allclose(after[[0, 2]], expected[[0, 2]]) and not torch.allclose(after[[1, 3]], expected[[1, 3]])


def test_randomness_is_the_generators(trained, states):
    player, drawn = esper.load(trained), []
    for seed in (1, 1, 2):
        player.reset(4)
        generator = torch.Generator().manual_seed(seed)
        drawn.append([player.act(state, generator=generator) for state in states])
    assert all(map(same, drawn[0], drawn[1])) and not all(map(same, drawn[0], drawn[2]))


def test_which_checkpoint(trained, states):
    newest, named = esper.load(trained), esper.load(trained.checkpoints / "000002")
    earlier = esper.load(str(trained.path), at=1)
    players = (newest, named, earlier)
    values = []
    for player in players:
        player.reset(4)
        values.append(player.values(states[0]))
    assert torch.equal(values[0], values[1]) and not torch.allclose(values[0], values[2])
    with pytest.raises(esper.EsperError, match="has no checkpoint of update 7"):
        esper.load(trained, at=7)
    with pytest.raises(esper.EsperError, match="There is no run 'nothing' in runs"):
        esper.load("nothing")


def test_what_a_player_refuses(trained, states):
    player = esper.load(trained)
    for call in (lambda: player.act(states[0]), lambda: player.values(states[0]), player.save):
        with pytest.raises(esper.EsperError, match=r"in no episode.*\n.*player.reset\(rows\)"):
            call()
    for rows in (0, True, 2.0):
        with pytest.raises(esper.EsperError, match="cannot play"):
            player.reset(rows)
    player.reset(3)
    with pytest.raises(esper.EsperError, match="that of 4 episodes, and the player is in 3"):
        player.act(states[0])
    with pytest.raises(esper.EsperError, match=r"no 'epoch', which .*'growth' publishes.*\n.*observation"):
        player.act({"observation": torch.zeros(3, 4)})
    with pytest.raises(esper.EsperError, match=r"not one of the environment 'growth': its state's 'epoch' is float32"):
        player.act({name: value[:3].float() for name, value in states[0].items()})
    with pytest.raises(esper.EsperError, match=r"The mask is torch.float32 \[3\], not bool"):
        player.reset_rows(torch.zeros(3))
    wider = esper.plan("lstm-v2", 2, envs=2, epochs=4, options={"network.hidden_dim": 8, "environment.workers": 1})
    other = esper.load(esper.train(wider, updates=1, out="other"))
    other.reset(3)
    with pytest.raises(esper.EsperError, match=r"another policy's: its 'recurrent.c' is \[1, 3, 8\], not \[1, 3, 16\]"):
        player.load(other.save())


def test_a_plan_is_that_of_the_run(trained):
    assert esper.load(trained).plan.components == small().components


def test_numbers_come_as_an_environment_takes_them():
    """`act` returns what is executed, and `predict` what the library takes; what is drawn is neither."""
    options = {"environment.id": "Pendulum-v1", "network.hidden_dim": 4}
    plan, index = esper.plan("lstm-v1", use={"environment": "gymnasium"}, envs=3, options=options), load_index()
    parts = build_parts(plan, index, only={"features", "network", "critic", "masks"})
    policy = Policy(parts["network"], parts["critic"], describe_plan(plan, index).actions)
    player = Player(plan, index, policy, parts["features"], parts["masks"], ReturnNormaliser(enabled=False))
    (head,) = policy.actions.continuous
    environment = player.make_environment()
    state, _ = environment.reset(seed=0)
    player.reset(3)
    actions = player.act(state, generator=torch.Generator().manual_seed(0))[head.name]
    shown, legal = parts["features"](state), parts["masks"](state)
    drawn = policy.get_action(shown, legal, generator=torch.Generator().manual_seed(0)).actions[head.name]
    torch.testing.assert_close(actions, 2 * drawn.tanh())
    assert actions.dtype == torch.float32 and actions.shape == (3, 1)
    assert not find_illegal(policy.actions, legal, {head.name: actions})[head.name].any()
    environment.step({head.name: actions})
    environment.close()
    torch.manual_seed(0)
    seen = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 8.0]], np.float32)
    taken, _ = player.predict(seen)
    assert taken.dtype == np.float32 and taken.shape == (2, 1) and 0 < np.abs(taken).max() <= 2
    assert np.array_equal(
        player.predict(seen[0], deterministic=True)[0], player.predict(seen, deterministic=True)[0][0]
    )

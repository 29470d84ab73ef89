"""Collecting: what is written where, and what is refused."""

import pytest
import torch

from esper_core.learning.collector import Collector
from esper_core.learning.rollout import Rollout
from esper_core.policy.policy import Policy
from tests.learning.conftest import SCHEMA, SPEC, Legal, Net, Seen, Value, World


def collect(world, features=None, masks=None, seed=0):
    torch.manual_seed(0)
    policy = Policy(Net(), Value(), SPEC)
    rollout = Rollout(world.horizon, world.num_envs, SPEC, SCHEMA, torch.device("cpu"))
    generator = torch.Generator().manual_seed(seed)
    collector = Collector(world, features or Seen(), masks or Legal(), policy, rollout, generator)
    return rollout, policy, collector.collect(3)


def test_rows_hold_what_was_seen_before_the_step():
    world = World()
    rollout, _, collected = collect(world)
    assert rollout.features.obs[0, :, 0].tolist() == pytest.approx([t / 6 for t in range(6)])
    assert torch.equal(rollout.features.obs[:, 0, 1], world.cue.float() - 1)
    assert torch.equal(rollout.features.indices["kind"][:, 0, 0], world.cue)
    assert rollout.episode_start.sum(1).tolist() == [1] * 4 and bool(rollout.episode_start[:, 0].all())
    assert collected.steps == 6 + 6 + 4 + 3


def test_rewards_and_ends_belong_to_the_step_that_earned_them():
    world = World()
    rollout, _, collected = collect(world)
    right = (rollout.actions["op"] == world.cue[:, None]) & rollout.valid
    assert torch.equal(rollout.rewards, right.float())
    assert rollout.valid.sum(1).tolist() == [6, 6, 4, 3]
    assert rollout.terminated.nonzero().tolist() == [[0, 5], [1, 5], [2, 3], [3, 2]]
    assert not bool(rollout.truncated.any())
    assert [e["env"] for e in collected.events] == [3, 2, 0, 1]


def test_collecting_ends_when_every_episode_has():
    world = World(lengths=(2, 3), horizon=6)
    rollout, _, _ = collect(world)
    assert world.t == 3 and not bool(rollout.valid[:, 3:].any())
    assert rollout.length == 3
    assert rollout.steps().valid.tolist() == [[True, True, False], [True, True, True]]


def test_nothing_is_left_of_longer_episodes():
    rollout, policy, _ = collect(World())
    Collector(World((2, 3, 1, 1)), Seen(), Legal(), policy, rollout, torch.Generator()).collect(3)
    assert rollout.valid.sum(1).tolist() == [2, 3, 1, 1] and rollout.length == 3
    for flag in (rollout.terminated, rollout.truncated, rollout.rewards):
        assert not bool(flag[~rollout.valid].any())


def test_time_is_booked_where_it_is_spent():
    class Timed(World):
        def reset(self, **options):
            state, info = super().reset(**options)
            return state, {**info, "seconds": {"preparing": 100.0}}

        def step(self, actions):
            *result, info = super().step(actions)
            return *result, {**info, "seconds": {"hosts": 10.0}}

    plain, timed = collect(World())[2].seconds, collect(Timed())[2].seconds
    assert set(plain) == {"features", "masks", "policy", "environment"} and min(plain.values()) > 0
    assert timed["preparing"] == 100.0 and timed["hosts"] == 60.0
    assert timed["environment"] < plain["environment"] - 150, "what the environment names is not booked twice"

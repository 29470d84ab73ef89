"""Running means and deviations of observations and rewards: as VecNormalize has them, and in checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

import esper_core as esper
from esper_core.composition.build import build_parts
from esper_core.contracts.errors import UserError
from esper_core.registry.index import Index
from esper_gymnasium_env.randomness import episode_seed

BOTH = ("normalise_obs=true", "normalise_reward=true")
STEPS = 60


def test_it_normalises_as_vec_normalize_does(plan: Any, index: Index) -> None:
    planned = plan("Pendulum-v1", *BOTH, envs=3)
    parts = build_parts(planned, index, only={"environment", "features"})
    environment, features = parts["environment"], parts["features"]
    gamma = planned.train["gamma"]
    theirs = VecNormalize(DummyVecEnv([lambda: gymnasium.make("Pendulum-v1")] * 3), gamma=gamma)
    for env, single in enumerate(theirs.venv.envs):
        single.reset(seed=episode_seed(1, env, 0))
    theirs.venv._seeds = [episode_seed(1, env, 0) for env in range(3)]
    state, _ = environment.reset(seed=1)
    ours, expected = [features(state).obs.tolist()], [theirs.reset()]
    generator = np.random.default_rng(0)
    for _ in range(STEPS):
        actions = generator.uniform(-2, 2, (3, 1)).astype(np.float32)
        seen, reward, *_ = theirs.step(actions)
        state, paid, *_ = environment.step({"action": torch.from_numpy(actions)})
        ours += [features(state).obs.tolist(), paid.tolist()]
        expected += [seen, reward]
    for mine, other in zip(ours, expected, strict=True):
        assert np.allclose(mine, other, atol=1e-5)
    assert features.schema.base[0].high == 10


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = {"network.hidden_dim": 8, "environment.id": "Pendulum-v1", "environment.horizon": 20}
    options |= {"environment.normalise_obs": True, "environment.normalise_reward": True}
    plan = esper.plan("lstm-v1", use={"environment": "gymnasium"}, envs=2, updates=2, seed=2, options=options)
    return esper.train(plan, out=tmp_path_factory.mktemp("runs"), tensorboard=False).path


def test_statistics_of_training_lie_in_checkpoints_and_a_player_plays_with_them_unchanged(trained: Path) -> None:
    saved = json.loads(next(trained.glob("checkpoints/000002/state.json")).read_text())["counters"]["parts"]
    kept, steps = saved["features"], saved["environment"]["reward"]["count"]
    # Every observation is seen once: those of every step, and those of every start.
    assert kept["count"] - steps == sum(saved["environment"]["episodes"])
    player = esper.load(trained)
    environment = player.make_environment(envs=4, seed=9)
    state, _ = environment.reset()
    player.reset(4)
    for _ in range(5):
        seen, _ = player._look(player.save(), state, None)
        raw = state["observation"].double()
        mean, var = (torch.tensor(kept[name], dtype=torch.float64) for name in ("mean", "var"))
        assert torch.allclose(seen.obs.double(), ((raw - mean) / (var + 1e-8).sqrt()).clamp(-10, 10), atol=1e-5)
        acted = player.act(state, deterministic=True)
        told, _ = esper.load(trained).predict(raw.float().numpy(), deterministic=True)
        state, *_ = environment.step(acted)
    assert told.shape == (4, 1)
    environment.close()


def test_only_features_that_normalise_can_be_used(plan: Any, index: Index) -> None:
    planned = plan("CartPole-v1", "normalise_obs=true", features="flat")
    with pytest.raises(UserError, match="needs features that normalise, and Flat does not"):
        build_parts(planned, index)

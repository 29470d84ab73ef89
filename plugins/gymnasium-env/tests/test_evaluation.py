"""Policies in Gymnasium environments, judged on episodes that no training has, and filmed."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imageio.v2 as imageio
import numpy as np
import pytest
import torch
from gymnasium import spaces

import esper_core as esper
from esper_core.composition.build import build_beside
from esper_core.contracts.errors import UserError
from esper_core.registry.resolve import resolve
from esper_gymnasium_env.environment import GymnasiumEnvironment
from esper_gymnasium_env.randomness import HELD_OUT, episode_seed
from esper_testing.player import play

STAY = {"action": torch.zeros(2, dtype=torch.int64)}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: Any) -> Any:
    """Return runs of two seeds."""
    options = {"environment.id": "CartPole-v1", "environment.horizon": 30, "train.rollout_steps": 32}
    out, use = tmp_path_factory.mktemp("runs"), {"environment": "gymnasium"}
    planned = [esper.plan("mlp", use=use, options=options, envs=4, seed=seed) for seed in (0, 1)]
    return [esper.train(one, updates=1, out=out) for one in planned]


def test_an_instance_is_an_episode_that_no_training_has(build: Any) -> None:
    environment = build("CartPole-v1")["environment"]
    held = environment.held_out(3)
    assert held == [HELD_OUT, HELD_OUT + 1, HELD_OUT + 2]
    assert all(episode_seed(run, env, 0) < HELD_OUT for run in range(50) for env in range(50))
    first, _ = environment.reset(options={"instances": held[:2]})
    turned, _ = environment.reset(options={"instances": held[1::-1]})
    assert torch.equal(first["observation"], turned["observation"].flip(0))
    for _ in range(environment.horizon):
        environment.step(STAY)
    said = environment.outcomes()
    assert said["return"].dtype == torch.float64 and torch.equal(said["return"], said["length"])
    assert set(said["length"].tolist()) <= {8.0, 9.0, 10.0}, "what always goes left falls over"
    environment.close()


def test_seeds_of_a_policy_beside_rules_on_the_same_episodes(trained: Any) -> None:
    arms = ["policy", "policy-greedy", "random", "static", "best-fixed"]
    said = esper.evaluate(trained, arms=arms, instances=4, search_episodes=8)
    assert set(said.arms) == set(arms) and said.trained == 4 * 32 // 30
    assert all(set(found) == {"return", "length"} for found in said.arms.values())
    assert said.comparison.best_rule in ("random", "static") and said.verdict is not None
    again = esper.evaluate(trained, arms=arms, instances=4, search_episodes=8)
    assert again.played == 0 and again.arms == said.arms
    with pytest.raises(UserError, match="There is no arm 'replay'"):
        esper.evaluate(trained, arms=["replay"])


@pytest.mark.parametrize("name", ["film.gif", "film.MP4"])
def test_an_episode_is_filmed(trained: Any, tmp_path: Path, name: str, monkeypatch: Any) -> None:
    looks = []
    look = GymnasiumEnvironment.frame
    monkeypatch.setattr(GymnasiumEnvironment, "frame", lambda self: looks.append(0) or look(self))
    said = esper.evaluate(trained, arms=["static", "policy"], instances=2, record=tmp_path / name)
    frames = [frame for frame in imageio.get_reader(tmp_path / name)]  # noqa: C416 - its length is infinite
    assert said.film == tmp_path / name and str(said.film) in str(said)
    assert frames[0].shape[:2] == (400, 600) and 9 <= len(looks) <= 11, "each state of the episode, the last as well"
    assert 1 < len(frames) <= len(looks) and not np.array_equal(frames[0], frames[-1])
    assert [path.name for path in tmp_path.iterdir()] == [name], "nothing half-written is left"


def test_what_cannot_be_filmed_is_refused_first(trained: Any, tmp_path: Path, monkeypatch: Any) -> None:
    with pytest.raises(UserError, match=r"cannot be written to .*film\.avi") as caught:
        esper.evaluate(trained, record=tmp_path / "film.avi")
    assert "gif" in caught.value.hint
    with pytest.raises(UserError, match="'best-fixed' cannot be filmed"):
        esper.evaluate(trained, arms=["best-fixed"], record=tmp_path / "film.gif")
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(UserError, match=r"\.mp4 films need imageio-ffmpeg, which is not installed") as caught:
        esper.evaluate(trained, record=tmp_path / "film.mp4")
    assert "esper-evaluation[record]" in caught.value.hint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("workers", [0, 1])
def test_a_frame_shows_the_first_environment(build: Any, workers: int) -> None:
    environment = build("CartPole-v1", f"workers={workers}")["environment"]
    assert environment.show() == 50.0
    environment.reset(seed=1)
    frames = [environment.frame()]
    for _ in range(4):
        environment.step(STAY)
        frames.append(environment.frame())
    assert frames[0].dtype == np.uint8 and not np.array_equal(frames[0], frames[-1])
    environment.close()


def test_an_environment_that_shows_nothing(scripted: Any) -> None:
    environment = scripted()["environment"]
    with pytest.raises(UserError, match="'Scripted-v0' cannot be filmed: rgb_array is not"):
        environment.show()


def test_numbers_are_played_at_random_too(scripted: Any, index: Any) -> None:
    box = spaces.Box(np.array([-1, 2], np.float32), np.array([1, 5], np.float32))
    parts = scripted(action_space=box, limit=50, length=40)
    environment = parts["environment"]
    rule = build_beside(resolve(index, "rule", "random"), index, SimpleNamespace(actions=environment.actions))
    played = play(environment, parts["masks"], rule)
    (head,) = environment.actions.heads
    drawn = torch.stack([step[head.name] for step in played.actions])
    assert torch.all((drawn >= torch.tensor(head.low)) & (drawn <= torch.tensor(head.high))) and drawn.std() > 0.5

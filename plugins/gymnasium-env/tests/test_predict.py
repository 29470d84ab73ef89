"""Players asked as models of stable-baselines3 are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib.common.maskable.evaluation import evaluate_policy as evaluate_masked
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv

import esper_core as esper
from esper_core.api.player import Player
from esper_core.composition.build import build_parts
from esper_core.composition.plan import describe_plan, owners_of
from esper_core.contracts.errors import UserError
from esper_core.learning.normalise import ReturnNormaliser
from esper_core.policy.policy import Policy
from esper_core.registry.index import Index
from esper_gymnasium_env.randomness import episode_seed

Make = Callable[..., Player]

LIMIT = 20
"""Steps of an episode of CartPole, so that some are truncated."""


class Shown(gymnasium.Env[Any, Any]):
    """Shows what its space samples, and checks what it is given. `said` is what is legal, `place` where it says so."""

    def __init__(self, shows: Any = None, acts: Any = None, said: Any = None, place: str = "") -> None:
        self.observation_space, self.action_space = (
            shows or spaces.Box(-1, 1, (2,)),
            acts or spaces.Discrete(3, start=5),
        )
        self.said, self.place = said, place
        if place == "method":
            self.action_masks = lambda: np.array(said)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self.observation_space.sample(), self._info()

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        self.t += 1
        return self.observation_space.sample(), 1.0, self.t == 4, False, self._info()

    def _info(self) -> dict[str, Any]:
        return {"action_mask": np.array(self.said)} if self.place == "info" else {}


class Forgetful(torch.nn.Module):
    """A network that remembers nothing."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner, self.latent_dim, self.input_dim = inner, inner.latent_dim, inner.input_dim

    def initial_state(self, num_envs: int) -> None:
        return None

    def forward(self, features: Any, state: None, episode_start: torch.Tensor) -> Any:
        before = self.inner.initial_state(len(episode_start))
        return self.inner(features, before, episode_start)._replace(state=None)


class Seeded(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Begins its episodes with these seeds, whatever it is asked for."""

    def __init__(self, env: gymnasium.Env[Any, Any], seeds: Sequence[int]) -> None:
        super().__init__(env)
        self.seeds = chain(seeds, repeat(0))

    def reset(self, **asked: Any) -> Any:
        return super().reset(seed=next(self.seeds))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Hardly trained: episodes that all reach the limit would be no comparison.
    options = {"network.hidden_dim": 8, "train.rollout_steps": 0, "train.lr": 3e-4, "train.update_epochs": 4}
    options |= {"environment.id": "CartPole-v1", "environment.horizon": LIMIT}
    plan = esper.plan("lstm-v1", use={"environment": "gymnasium"}, envs=4, updates=1, seed=2, options=options)
    return esper.train(plan, out=tmp_path_factory.mktemp("runs"), tensorboard=False).path


@pytest.fixture
def make(plan: Any, index: Index) -> Make:
    """Return a function that makes an untrained player for a `Shown`."""

    def make(*arguments: Any) -> Player:
        gymnasium.registry.pop("Shown-v0", None)
        gymnasium.register("Shown-v0", lambda: Shown(*arguments), max_episode_steps=6)
        planned = plan("Shown-v0")
        parts = build_parts(planned, index, only={"features", "network", "critic", "masks"})
        actions, owners = describe_plan(planned, index).actions, owners_of(planned, index)
        policy = Policy(parts["network"], parts["critic"], actions, owners=owners)
        return Player(planned, index, policy, parts["features"], parts["masks"], ReturnNormaliser(enabled=False))

    return make


def seeds(seed: int, envs: int) -> list[int]:
    """Return the seeds that environments side by side begin with."""
    return [episode_seed(seed, env, 0) for env in range(envs)]


def played(player: Player, envs: int, seed: int) -> list[float]:
    """Return what each episode pays that is played with `act`."""
    environment = player.make_environment(envs=envs)
    state, _ = environment.reset(seed=seed)
    player.reset(envs)
    returns, running = torch.zeros(envs), torch.ones(envs, dtype=torch.bool)
    while bool(running.any()):
        state, reward, terminated, truncated, _ = environment.step(player.act(state, deterministic=True))
        returns, running = returns + reward, running & ~(terminated | truncated)
    environment.close()
    return returns.tolist()


def test_stable_baselines_evaluation_agrees_with_ours(trained: Path) -> None:
    player = esper.load(trained)
    ours, used = played(player, 6, seed=5), seeds(5, 6)
    assert len(set(ours)) > 1
    single = Seeded(gymnasium.make("CartPole-v1", LIMIT), used)
    returns, _ = evaluate_policy(player, single, 6, return_episode_rewards=True, warn=False)
    assert returns == ours
    several = DummyVecEnv([lambda own=own: Seeded(gymnasium.make("CartPole-v1", LIMIT), [own]) for own in used])
    assert evaluate_policy(player, several, 6, warn=False) == (
        pytest.approx(np.mean(ours)),
        pytest.approx(np.std(ours)),
    )


def test_nothing_is_remembered_but_in_the_state_that_is_returned(trained: Path) -> None:
    player = esper.load(trained)
    environment = player.make_environment(envs=2)
    seen, _ = environment.reset(seed=0)
    player.reset(2)
    player.act(seen, deterministic=True)
    before = player.save()
    first, second = np.random.default_rng(0).uniform(-0.2, 0.2, (2, 3, 4)).astype(np.float32)
    _, state = player.predict(first, deterministic=True)
    (actions, after), (again, alike) = (player.predict(second, state, deterministic=True) for _ in range(2))
    _, anew = player.predict(second, deterministic=True)
    _, mixed = player.predict(second, state, np.array([True, False, False]), deterministic=True)
    environment.close()

    assert actions.tolist() == again.tolist() and torch.equal(after.recurrent.h, alike.recurrent.h)
    assert not torch.allclose(after.recurrent.h, anew.recurrent.h)
    assert torch.allclose(mixed.recurrent.c[:, :1], anew.recurrent.c[:, :1])
    assert torch.allclose(mixed.recurrent.c[:, 1:], after.recurrent.c[:, 1:])
    now = player.save()
    assert torch.equal(now.recurrent.h, before.recurrent.h) and torch.equal(now.begins, before.begins)
    _, alone = player.predict(second[0], episode_start=True)
    assert torch.allclose(alone.recurrent.h, anew.recurrent.h[:, :1], atol=1e-6)


def test_a_network_without_memory_plays_too(make: Make) -> None:
    player = make()
    player.policy.network = Forgetful(player.policy.network)
    several = DummyVecEnv([lambda: gymnasium.make("Shown-v0")] * 2)
    assert evaluate_policy(player, several, 4, warn=False) == (4.0, 0.0)
    first, state = player.predict(np.ones((2, 2)), deterministic=True)
    again, _ = player.predict(np.ones((2, 2)), state, [False, True], deterministic=True)
    assert first.tolist() == again.tolist() and state.recurrent is None


class Counting:
    """Features that remember how often they were asked."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.schema, self.asked = inner, inner.schema, 0

    def __call__(self, state: Any) -> Any:
        self.asked += 1
        return self.inner(state)


def test_features_remember_in_the_state_too(make: Make) -> None:
    player, seen = make(), np.zeros((2, 2))
    player._untouched = Counting(player._untouched)
    _, first = player.predict(seen)
    for _ in range(2):
        _, second = player.predict(seen, first)
        assert (player._untouched.asked, first.features.asked, second.features.asked) == (0, 1, 2)


def test_what_is_drawn_comes_from_torchs_generator(make: Make) -> None:
    player, many = make(), np.zeros((64, 2), np.float32)
    found = []
    for _ in range(2):
        torch.manual_seed(1)
        found.append(player.predict(many)[0].tolist())
    assert found[0] == found[1] and set(found[0]) == {5, 6, 7}
    assert len(set(player.predict(many, deterministic=True)[0].tolist())) == 1


@pytest.mark.parametrize(
    "shows",
    [
        spaces.Discrete(3, start=2),
        spaces.MultiDiscrete([2, 3], start=[0, 1]),
        spaces.Box(0, 255, (2, 3, 2), np.uint8),
        spaces.Dict({"a": spaces.Box(-1, 1, (2,)), "b": spaces.Tuple((spaces.Discrete(2), spaces.MultiBinary(2)))}),
    ],
)
@pytest.mark.parametrize(
    "acts", [spaces.Discrete(3, start=5), spaces.MultiDiscrete([2, 3], dtype=np.int32, start=[0, 1])]
)
def test_one_or_many_observations_and_actions_of_every_space(make: Make, shows: Any, acts: Any) -> None:
    player = make(shows, acts)
    vector = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make("Shown-v0") for _ in range(3)])
    many, _ = vector.reset(seed=0)
    actions, _ = player.predict(many, deterministic=True)
    assert actions.shape == (3, *acts.shape) and all(map(acts.contains, actions))
    for own, observation in zip(actions, gymnasium.vector.utils.iterate(vector.observation_space, many), strict=True):
        one, _ = player.predict(observation, deterministic=True)
        assert acts.contains(one) and one.dtype == acts.dtype and np.array_equal(one, own)
    vector.close()


@pytest.mark.parametrize("place", ["info", "method"])
def test_masks_that_observations_lack_are_asked_for(make: Make, place: str) -> None:
    player, many = make(None, None, [0, 1, 0], place), np.zeros((2, 2), np.float32)
    with pytest.raises(UserError, match="says what is legal beside its observations, and no action masks are given"):
        player.predict(many)
    actions, _ = player.predict(many, action_masks=np.array([[0, 1, 0], [0, 0, 1]]))
    assert actions.tolist() == [6, 7]
    assert player.predict(many[0], action_masks=[1, 0, 0])[0] == 5
    if place == "method":
        mean, _ = evaluate_masked(player, gymnasium.make("Shown-v0"), 2, warn=False)  # type: ignore[arg-type]
        assert mean == 4


def test_masks_in_observations_are_read_there_and_where_there_are_none_everything_is_legal(make: Make) -> None:
    shows = {"seen": spaces.Box(-1, 1, (2,)), "action_mask": spaces.MultiBinary(3)}
    player, seen = make(spaces.Dict(shows)), np.zeros((2, 2), np.float32)
    masks = np.array([[0, 1, 0], [0, 0, 1]], np.int8)
    assert player.predict({"seen": seen, "action_mask": masks})[0].tolist() == [6, 7]
    assert player.predict({"seen": seen}, action_masks=masks)[0].tolist() == [6, 7]
    assert player.predict({"seen": seen[0], "action_mask": masks[0]})[0] == 6
    with pytest.raises(UserError, match="no action masks are given"):
        player.predict({"seen": seen})
    free = make()
    assert free.predict(seen, action_masks=[[0, 1, 0], None])[0][0] == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"observation": np.zeros(3)}, r"an array \[3\] is neither a value of Box.*nor a batch"),
        ({"observation": np.zeros((2, 3))}, r"an array \[2, 3\] is neither"),
        ({"observation": (np.zeros(2), {})}, r"(?s)inhomogeneous.*Pass the first of what reset\(\)"),
        ({"observation": np.zeros((0, 2))}, "the batch is empty"),
        ({"observation": np.array([[0, 0], [0, np.nan]])}, "an entry is NaN or infinite"),
        ({"action_masks": [1, 0, 0]}, "The action masks of 2 observations are 3"),
        ({"action_masks": [[1, 0, 0], [0, 0, 0]]}, "leaves no legal action"),
        ({"episode_start": [True]}, r"episode_start is \[1\], not bool \[2\]"),
        ({"state": (np.zeros(3),)}, "A tuple is no state of a player"),
    ],
)
def test_what_does_not_fit_is_refused(make: Make, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make().predict(**{"observation": np.zeros((2, 2)), **arguments})


def test_a_state_of_as_many_episodes_is_needed(make: Make) -> None:
    player = make()
    _, state = player.predict(np.zeros((2, 2)))
    with pytest.raises(UserError, match="that of 2 episodes, but there are 3 observations"):
        player.predict(np.zeros((3, 2)), state)


def test_an_environment_without_observations_of_this_kind_is_refused(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    player, closed = make(), []
    other = SimpleNamespace(close=lambda: closed.append(True))
    monkeypatch.setattr(player, "make_environment", lambda envs: other)
    with pytest.raises(UserError, match=r"(?s)predict needs .*player\.act"):
        player.predict(np.zeros(2))
    assert closed == [True]

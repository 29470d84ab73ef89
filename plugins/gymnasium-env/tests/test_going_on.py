"""Rows that begin anew beside others, and runs that go on in the middle of episodes."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
import torch

from esper_core.contracts.plain import from_exact, to_exact
from esper_gymnasium_env.randomness import episode_seed

Steps = list[list[Any]]


def play(environment: Any, steps: int, seed: int = 0) -> Steps:
    """Take random steps, beginning anew what has ended, and return what came of each."""
    generator, found = torch.Generator().manual_seed(seed), []
    space = environment.single_action_space
    for _ in range(steps):
        drawn = torch.rand((environment.num_envs, 1), generator=generator)
        choices = {name: (drawn[:, 0] * part.n).long() for name, part in space.items() if hasattr(part, "n")}
        numbers = {name: drawn * 2 - 1 for name, part in space.items() if not hasattr(part, "n")}
        state, *rest, info = environment.step(choices | numbers)
        found.append([*(value.tolist() for value in (*state.values(), *rest)), info["events"]])
        ended = (rest[1] | rest[2]).numpy()
        if ended.any():
            environment.reset(options={"reset_mask": ended})
    return found


def test_a_mask_begins_some_rows_anew_and_leaves_the_others(build: Any) -> None:
    environment = build("CartPole-v1", envs=3)["environment"]
    environment.reset(seed=4)
    state, *_ = environment.step({"action": torch.zeros(3, dtype=torch.int64)})
    after, _ = environment.reset(options={"reset_mask": np.array([False, True, False])})
    same = (state["observation"] == after["observation"]).all(1)
    assert same.tolist() == [True, False, True]
    single = environment._group._envs[1]
    seed = episode_seed(4, 1, 1)
    assert single.np_random_seed == seed, "the run's seed, the row and the count of its episodes say which it is"
    lengths = [event["length"] for *_, events in play(environment, 60) for event in events]
    assert len(lengths) > 3
    with pytest.raises(ValueError, match=r"reset_mask is .*not a numpy array of bool"):
        environment.reset(options={"reset_mask": torch.ones(3, dtype=torch.bool)})


@pytest.mark.parametrize("options", [(), ("normalise_reward=true", "observe=[2,0]")])
@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_it_goes_on_in_the_middle_of_episodes_as_if_it_had_never_stopped(
    build: Any, name: str, options: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    environment, other = (build(name, "horizon=30", *options, envs=3)["environment"] for _ in range(2))
    environment.reset(seed=2)
    play(environment, 25)
    saved = from_exact(json.loads(json.dumps(to_exact(environment.state()))))
    other.load_state(saved)
    assert play(other, 40, seed=1) == play(environment, 40, seed=1)
    again = other.state()
    assert again == environment.state() and again != saved
    assert not caplog.records


def test_an_episode_that_is_not_the_same_again_ends_and_this_is_said_once(
    scripted: Any, caplog: pytest.LogCaptureFixture
) -> None:
    made = itertools.count()
    script = {"look": lambda env: np.full(2, next(made) / 100, np.float32)}
    environment, other = (scripted(limit=20, **script, length=20)["environment"] for _ in range(2))
    environment.reset(seed=0)
    actions = {"action": torch.zeros(2, dtype=torch.int64)}
    for _ in range(3):
        environment.step(actions)
    other.load_state(environment.state())
    (record,) = caplog.records
    assert record.name == "esper"
    assert "does not repeat episodes: 2 of 2" in record.getMessage() and "does not go on exactly" in record.getMessage()
    _, reward, terminated, truncated, info = other.step(actions)
    assert (reward.tolist(), terminated.tolist(), truncated.tolist()) == ([0, 0], [False] * 2, [True] * 2)
    assert not info["events"]
    other.reset(options={"reset_mask": truncated.numpy()})
    assert other.step(actions)[1].tolist() == [1, 1] and len(caplog.records) == 1


def test_an_episode_that_has_ended_is_not_played_again(scripted: Any) -> None:
    environment = scripted(length=2)["environment"]
    environment.reset(seed=0)
    for _ in range(2):
        environment.step({"action": torch.zeros(2, dtype=torch.int64)})
    state = environment.state()
    assert state["going"] == [None, None]
    environment.load_state(state)
    assert environment._group._envs[0].unwrapped.taken == [0, 0]
    with pytest.raises(ValueError, match="of 1 environments, not of 2"):
        environment.load_state({**state, "going": [None]})

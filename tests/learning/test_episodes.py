"""Rollouts that are parts of episodes, and rows of matches: what is written, learned, ignored and saved."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from esper_core.contracts.errors import ConfigError, EpisodesLost, PluginError
from esper_core.learning.gae import gae
from esper_core.learning.trainer import Trainer
from tests.learning.components import ppo_trainer
from tests.learning.conftest import Net, Reinforce, World, make, train


class Endless(World):
    """Rows of `lengths` steps, `rows` to a match, that restart with it; the reward is 1 for the cued operation.

    `away` are rows that take no part; what it says of rows that have ended is `garbage`.
    """

    def __init__(
        self,
        lengths: tuple[int, ...] = (5, 3, 7, 2),
        rows: int = 1,
        truncate: bool = True,
        away: tuple[int, ...] = (),
        garbage: float | None = None,
    ) -> None:
        super().__init__(lengths, max(lengths), truncate)
        self.rows, self.garbage, self.masks = rows, garbage, list[list[bool]]()
        self.away = torch.tensor([row in away for row in range(self.num_envs)])
        self.t, self.cue = torch.zeros(2, self.num_envs, dtype=torch.int64)
        self.over, self.generator = torch.ones_like(self.away), torch.Generator()

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
        if seed is not None:
            self.generator.manual_seed(seed)
        self.seeds.append(seed)
        mask = torch.from_numpy(options["reset_mask"]) if options else torch.ones_like(self.over)
        self.masks.append(mask.tolist())
        drawn = torch.randint(3, (self.num_envs,), generator=self.generator)
        self.t, self.cue = torch.where(mask, 0, self.t), torch.where(mask, drawn, self.cue)
        self.over = torch.where(mask, self.away, self.over)
        return self._state(), {"absent": self.away}

    def step(self, actions: dict[str, Tensor]) -> tuple[Any, ...]:
        running = ~self.over
        self.t = self.t + running.long()
        reward = torch.where(running, (actions["op"] == self.cue).float(), self.garbage or 0.0)
        ended = running & (self.t >= self.lengths)
        # The state that a truncated row ended in is needed once.
        self.over, self.hidden = self.over | ended, self.over | (ended & ~torch.tensor(self.truncate))
        no = torch.zeros_like(ended)
        flags = (no, ended) if self.truncate else (ended, no)
        return self._state(self.hidden), reward, *flags, {}

    def _state(self, hidden: Tensor | None = None) -> dict[str, Tensor]:
        noise = torch.rand(self.num_envs, generator=self.generator)
        hidden = self.over if hidden is None else hidden
        state = {"clock": self.t / self.horizon, "cue": self.cue.float() - 1, "noise": noise}
        if self.garbage is not None:
            state = {name: torch.where(hidden, self.garbage, value) for name, value in state.items()}
        return {**state, "kind": torch.stack([self.cue, torch.full_like(self.cue, -1)], dim=1)}


class Saved(Endless):
    """One that can say where it is in the middle of episodes."""

    def state(self) -> dict[str, Any]:
        table = {name: getattr(self, name).tolist() for name in ("t", "cue", "over")}
        return {**table, "generator": self.generator.get_state().tolist()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.t, self.cue, self.over = (torch.tensor(state[name]) for name in ("t", "cue", "over"))
        self.generator.set_state(torch.tensor(state["generator"], dtype=torch.uint8))


def going_on(world: Endless | None = None, **config: Any) -> Trainer:
    """Return a trainer whose rollouts are 4 steps."""
    return make(world or Saved(), **{"rollout_steps": 4, **config})


def weights(trainer: Trainer) -> list[Tensor]:
    return [value.clone() for value in trainer.policy.state_dict().values()]


def test_a_rollout_goes_on_where_the_last_one_stopped() -> None:
    world = Endless()
    trainer = going_on(world, lr=0.0)
    (_, steps, metrics, _), (_, later, after, _) = train(trainer, 2)
    assert (steps, later) == (16, 32) and len([seed for seed in world.seeds if seed is not None]) == 1
    clock = (trainer.rollout.features.obs[..., 0] * world.horizon).round().int()
    assert clock.tolist() == [[4, 0, 1, 2], [1, 2, 0, 1], [4, 5, 6, 0], [0, 1, 0, 1]]
    assert trainer.rollout.episode_start.tolist() == [[step == 0 for step in row] for row in clock.tolist()]
    assert bool(trainer.rollout.valid.all()) and int(trainer.rollout.truncated.sum()) == 5
    for said in (metrics, after):
        assert said["ratio_at_start"] == 1.0 and said["behaviour_log_prob_gap"] < 1e-5


def test_a_return_is_that_of_a_whole_episode_or_nothing() -> None:
    trainer = going_on(Endless((6,)), lr=0.0)
    (*_, none, _), (*_, whole, _) = train(trainer, 2)
    assert none["return"] is None and none["reward_sum"] is not None
    total = none["reward_sum"] + float(trainer.rollout.rewards[0, :2].sum())
    assert whole["return"] == pytest.approx(total)


def test_values_after_a_reset_inside_a_rollout_are_those_of_the_closed_form() -> None:
    """Where every step pays 1, V = 1 / (1 − γ): a time limit changes nothing, an end costs what would have followed."""
    gamma, lam, steps = 0.9, 0.8, 7
    ones, never = torch.ones(1, steps, dtype=torch.float64), torch.zeros(1, steps, dtype=torch.bool)
    value = ones / (1 - gamma)
    limit, end = never.clone(), never.clone()
    limit[0, 1], end[0, 4] = True, True
    advantages, returns = gae(ones, value, value, end, limit, ~never, gamma, lam)
    lost = [0, 0, *(-gamma / (1 - gamma) * (gamma * lam) ** k for k in (2, 1, 0)), 0, 0]
    torch.testing.assert_close(advantages[0], torch.tensor(lost, dtype=torch.float64))
    torch.testing.assert_close(returns, advantages + value)


def test_a_time_limit_inside_a_rollout_is_worth_the_state_it_ended_in() -> None:
    """That is what it would be worth if it went on; the next column is another episode's."""
    trainers = []
    for length in (2, 9):
        world = Endless((length,) * 4)
        world.horizon = 9  # by which the clock that is seen is divided
        trainers.append(going_on(world, lr=0.0, update_epochs=1))
        trainers[-1]._collector.collect(seed=1)
    short, long = (trainer.rollout for trainer in trainers)
    with torch.no_grad():
        states = trainers[1]._evaluate(long.steps()).state_value
        short.store_old_policy(trainers[0]._evaluate(short.steps()))
    torch.testing.assert_close(short.bootstrap[:, 1], states[:, 2])
    assert not torch.allclose(short.bootstrap[:, 1], short.value[:, 2], atol=1e-4)
    assert bool((short.bootstrap[:, (0, 2)] == 0).all()), "nowhere else is anything computed"


@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_chunks_begin_with_the_state_that_acting_had(chunk: int) -> None:
    """What is evaluated in chunks is what is evaluated at once, but for gradients through what came before."""
    whole, cut = going_on(lr=0.0), going_on(lr=0.0, bptt_steps=chunk)
    for update, at_once in zip(cut.run(3), list(whole.run(3)), strict=True):
        assert update.metrics["ratio_at_start"] == 1.0
        same = update.metrics["state_max/h"] == pytest.approx(at_once.metrics["state_max/h"])
        assert same == (chunk != 3), "of chunks of 3 the last is filled up, so the state after it is not known"
    for name in ("value", "bootstrap", "advantages"):
        torch.testing.assert_close(getattr(cut.rollout, name)[:, :4], getattr(whole.rollout, name))
    assert cut.rollout.steps().valid.shape == (4 * -(-4 // chunk), chunk)


class Nothing(NamedTuple):
    """The state of what remembers nothing."""


@pytest.mark.parametrize(
    ("memory", "chunk", "sizes"), [(True, 2, [3, 3, 2]), (None, 0, [6, 5, 5]), (Nothing(), 0, [6, 5, 5])]
)
def test_minibatches_are_chunks_in_any_order_or_steps_of_what_remembers_nothing(
    memory: Any, chunk: int, sizes: list[int]
) -> None:
    class Forgetful(Net):
        def initial_state(self, num_envs: int) -> Any:
            return memory

        def forward(self, features: Any, state: Any, episode_start: Tensor) -> Any:
            start = torch.ones_like(episode_start)
            return super().forward(features, Net.initial_state(self, len(start)), start)._replace(state=memory)

    loss = Reinforce()
    options: dict[str, Any] = {"num_minibatches": 3, "update_epochs": 1, "rollout_steps": 4, "bptt_steps": chunk}
    train(make(Endless(), loss, net=Net() if memory else Forgetful(), **options), 1)
    assert [len(batch.valid) for batch in loss.batches] == sizes
    assert {batch.valid.shape[1] for batch in loss.batches} == {chunk or 1}
    with pytest.raises(ConfigError, match="only 8 sequences"):
        going_on(num_minibatches=9, bptt_steps=2)


# Rows ---------------------------------------------------------------------------------------------------------------


def with_rows(world: Endless, **config: Any) -> Trainer:
    trainer = going_on(world, **config)
    trainer._collector.rows = world.rows
    return trainer


def test_rows_start_anew_only_with_their_match() -> None:
    world = Endless((3, 1, 2, 2), rows=2)
    trainer = with_rows(world, lr=0.0)
    train(trainer, 1)
    assert trainer.rollout.valid.int().tolist() == [[1, 1, 1, 1], [1, 0, 0, 1], [1, 1, 1, 1], [1, 1, 1, 1]]
    assert world.masks == [[True] * 4, [False, False, True, True], [True, True, False, False]]


@pytest.mark.parametrize("truncate", [False, True])
@pytest.mark.parametrize("config", [{}, {"bptt_steps": 2, "num_minibatches": 3}, {"rollout_steps": 0}])
def test_rows_that_are_absent_or_dead_change_no_weight(config: dict[str, Any], truncate: bool) -> None:
    def trained(garbage: float | None) -> list[Any]:
        trainer = with_rows(Endless((3, 1, 2, 2), 2, truncate, away=(3,), garbage=garbage), **config)
        return [train(trainer, 3), weights(trainer)]

    clean, before = trained(None)
    for garbage in (1e6, math.nan):
        metrics, after = trained(garbage)
        assert metrics == clean and all(map(torch.equal, before, after))


def test_a_match_of_nobody_is_refused() -> None:
    with pytest.raises(PluginError, match=r"info\['absent'\] leaves nobody in match 1"):
        train(with_rows(Endless(rows=2, away=(2, 3))), 1)


# Going on from a state ----------------------------------------------------------------------------------------------


def test_going_on_in_the_middle_of_episodes_is_exact() -> None:
    whole, half, other = (with_rows(Saved((5, 3, 7, 2), 2), bptt_steps=2, num_minibatches=2) for _ in range(3))
    expected = train(whole, 4)
    train(half, 2)
    saved = half.state()
    train(half, 3)  # what happens afterwards must not reach into the saved state
    other.load_state(saved)
    assert train(other, 4) == expected[2:] and all(map(torch.equal, weights(whole), weights(other)))
    assert other.notes == []


def test_what_cannot_go_on_in_the_middle_begins_anew_and_says_so() -> None:
    class Lost(Saved):
        def load_state(self, state: dict[str, Any]) -> None:
            raise EpisodesLost("Row 2 is not where it was.")

    for world, words in ((Endless, "The environment does not save its episodes. New ones"), (Lost, "Row 2 is not")):
        trainer, other = going_on(world()), going_on(there := world())
        train(trainer, 2)
        other.load_state(trainer.state())
        (note,) = other.notes
        assert note.startswith(words) and note.endswith("does not go on exactly as it would have.")
        assert len(train(other, 4)) == 2 and there.seeds[0] not in (None, trainer._streams.environment_seed)


class Walk(Endless):
    """Pays 1 for every step; the wrong operation ends the episode for good, if `falls`."""

    falls = True

    def step(self, actions: dict[str, Tensor]) -> tuple[Any, ...]:
        fallen = ~self.over & (actions["op"] != self.cue) & self.falls
        state, reward, terminated, truncated, info = super().step(actions)
        self.over = self.over | fallen
        return state, torch.ones_like(reward), terminated | fallen, truncated & ~fallen, info


@pytest.mark.parametrize("falls", [True, False])
def test_steps_that_are_paid_alike_are_told_apart_by_ends_also_where_a_rollout_is_one_step(falls: bool) -> None:
    """What a rollout of one step is paid has no spread; where nothing ends for good there is no signal either."""
    world = Walk((6,) * 32)
    world.falls = falls
    history = [metrics for _, _, metrics, _ in train(ppo_trainer(world, rollout_steps=1, lr=3e-2), 25)]
    entropies = [metrics["entropy/op"] for metrics in history]
    if falls:
        assert min(entropies) < 0.7, "it learns which operation goes on"
    else:
        assert min(entropies) > 0.99 and history[-1]["return_std"] is None

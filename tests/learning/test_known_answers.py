"""Environments whose right values and right actions are known in closed form, learned end to end."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attrs import evolve
from torch import Tensor

from esper_core import ActionSpec, Feature, FeatureSchema, Head, SlotConfig, StateSpec
from esper_core.contracts.protocols import BuildContext, Features, Masks, Values
from esper_core.learning.config import TrainConfig
from esper_core.learning.trainer import Trainer
from esper_core.policy.policy import Policy
from esper_factored_ppo.config import FactoredPpoConfig
from esper_factored_ppo.loss import FactoredPpo
from esper_lstm_v2.config import LstmV2Config
from esper_lstm_v2.network import LstmNetwork
from esper_op_conditioned_critic.config import OpConditionedConfig
from esper_op_conditioned_critic.op_conditioned import OpConditionedCritic
from esper_op_conditioned_critic.state_value import StateValueCritic

ONE = ActionSpec((Head("op", ("only",)),), root="op")
TWO = ActionSpec((Head("op", ("no", "yes")),), root="op")
SIX = ActionSpec(
    (Head("op", tuple("abcdef")), Head("slot", ("x", "y"), ops=("b", "c")), Head("how", tuple("pqrst"), ops=("c",))),
    root="op",
    slot="slot",
)
CHOICES = ActionSpec((Head("left", ("0", "1")), Head("right", ("0", "1", "2"))))


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


class Probe:
    """E environments that differ in nothing but what `begin` draws; subclasses say what is seen and paid."""

    actions, horizon, width, num_envs, state_spec = ONE, 1, 1, 16, StateSpec(())

    def __init__(self) -> None:
        self.ends, self.cuts = True, False

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
        self.t, self.cue = 0, torch.randint(2, (self.num_envs,), generator=torch.Generator().manual_seed(seed or 0))
        return {"obs": self.seen()}, {}

    def step(self, actions: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor, dict[str, Any]]:
        reward = self.paid(actions)
        self.t += 1
        last = torch.full((self.num_envs,), self.t == self.horizon)
        return {"obs": self.seen()}, reward.float(), last & self.ends, last & self.cuts, {}

    def seen(self) -> Tensor:
        return torch.zeros(self.num_envs, self.width)

    def paid(self, actions: dict[str, Tensor]) -> Tensor:
        return torch.ones(self.num_envs)

    def close(self) -> None:
        """Nothing to free."""


class Look:
    def __init__(self, width: int) -> None:
        self.schema = FeatureSchema(tuple(Feature(f"x{i}", "", -1, 1, "") for i in range(width)))

    def __call__(self, state: dict[str, Tensor]) -> Features:
        return Features(state["obs"], {})


class AllLegal:
    def __init__(self, actions: ActionSpec) -> None:
        self.actions = actions

    def __call__(self, state: dict[str, Tensor]) -> Masks:
        envs, spec = state["obs"].shape[0], self.actions
        slots = None
        if spec.slot is not None:
            slots = torch.tensor(spec.relevance(spec.slot))[:, None].expand(-1, spec.head(spec.slot).size)
            slots = slots.expand(envs, -1, -1)
        return Masks({h.name: torch.ones(envs, h.size, dtype=torch.bool) for h in spec.heads}, slots)


def trainer(probe: Probe, critic: str = "expected", seed: int = 0, hidden: int = 32, **config: Any) -> Trainer:
    torch.manual_seed(seed)
    features, config = Look(probe.width), {"lr": 3e-3, "gamma": 0.9, "update_epochs": 8, **config}
    slots = SlotConfig.for_grid(1, 2)
    context = BuildContext(
        slots, probe.actions, StateSpec(()), features.schema, 0, config["gamma"], 16, seed, "cpu", torch.float32
    )
    network = LstmNetwork(LstmV2Config(hidden_dim=hidden), context)
    context = evolve(context, latent_dim=hidden)
    values: Any = (
        StateValueCritic(None, context)
        if critic == "state-value"
        else OpConditionedCritic(OpConditionedConfig(baseline=critic), context)
    )
    return Trainer(
        policy=Policy(network, values, probe.actions),
        features=features,
        masks=AllLegal(probe.actions),
        loss=FactoredPpo(FactoredPpoConfig(target_kl=0.0), context),
        environment=probe,  # type: ignore[arg-type]
        config=TrainConfig(**config),
        seed=seed,
    )


def learn(made: Trainer, updates: int) -> dict[str, float | None]:
    return [u.metrics for u in made.run(updates)][-1]


def values(made: Trainer) -> Tensor:
    """Return V along the last rollout in units of reward, `[T, E]`."""
    return made.normaliser.denormalise(made.rollout.value[:, :-1])


CRITICS = ["expected", "state-value"]


@pytest.mark.parametrize("critic", CRITICS)
def test_a_constant_reward_is_worth_itself(critic: str) -> None:
    made = trainer(Probe(), critic)
    learn(made, 20)
    torch.testing.assert_close(values(made), torch.ones(1, 16), atol=0.02, rtol=0)


@pytest.mark.parametrize("critic", CRITICS)
def test_the_value_follows_the_observation(critic: str) -> None:
    class Telling(Probe):
        def seen(self) -> Tensor:
            return (2 * self.cue - 1).float()[:, None]

        def paid(self, actions: dict[str, Tensor]) -> Tensor:
            return 2 * self.cue - 1

    made = trainer(Telling(), critic)
    learn(made, 40)
    torch.testing.assert_close(values(made)[0], (2 * made.environment.cue - 1).float(), atol=0.1, rtol=0)


@pytest.mark.parametrize("critic", CRITICS)
def test_a_later_reward_is_discounted(critic: str) -> None:
    class Late(Probe):
        horizon = 3

        def seen(self) -> Tensor:
            return torch.full((self.num_envs, 1), float(self.t))

        def paid(self, actions: dict[str, Tensor]) -> Tensor:
            return torch.full((self.num_envs,), float(self.t == 2))

    made = trainer(Late(), critic)
    learn(made, 60)
    torch.testing.assert_close(values(made)[:, 0], torch.tensor([0.81, 0.9, 1.0]), atol=0.05, rtol=0)


@pytest.mark.parametrize("critic", CRITICS)
def test_what_was_cut_off_goes_on_and_what_ended_does_not(critic: str) -> None:
    class Chain(Probe):
        horizon, num_envs = 8, 8

        def __init__(self, cuts: bool) -> None:
            self.cuts, self.ends = cuts, not cuts

        def seen(self) -> Tensor:
            return torch.full((self.num_envs, 1), 1.0 if self.cuts else self.t / 8)

    cut = trainer(Chain(cuts=True), critic, gae_lambda=0.95)
    learn(cut, 80)
    assert float(values(cut).mean()) == pytest.approx(1 / (1 - 0.9), rel=0.05)
    ended = trainer(Chain(cuts=False), critic)
    learn(ended, 60)
    exact = torch.tensor([(1 - 0.9 ** (8 - t)) / (1 - 0.9) for t in range(8)])
    torch.testing.assert_close(values(ended)[:, 0], exact, atol=0.25, rtol=0)


class Bandit(Probe):
    """Six operations, one of which pays best; what lies below them is irrelevant."""

    actions, num_envs = SIX, 64

    def seen(self) -> Tensor:
        return torch.ones(self.num_envs, self.width)

    def paid(self, actions: dict[str, Tensor]) -> Tensor:
        return torch.tensor([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])[actions["op"]]


class Exact(torch.nn.Module):
    """The bandit's true Q(s, op), as either baseline."""

    def __init__(self, baseline: str) -> None:
        super().__init__()
        self.baseline = baseline

    def forward(self, latent: Tensor, op_probs: Tensor, op: Tensor) -> Values:
        by_op = torch.tensor([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]).expand(*latent.shape[:2], 6)
        taken = by_op.gather(-1, op.unsqueeze(-1)).squeeze(-1)
        return Values((op_probs * by_op).sum(-1) if self.baseline == "expected" else taken, taken, by_op)

    def rescale_(self, old_mean: float, old_std: float, new_mean: float, new_std: float) -> None:
        """Nothing to rescale: returns are not normalised."""


def test_with_an_exact_critic_only_the_expected_baseline_teaches_the_operation() -> None:
    """With b(s, op) = Q(s, op) every advantage is 0, whatever the operation was worth."""
    shares = {}
    for baseline in ("expected", "sampled"):
        made = trainer(Bandit(), baseline, lr=1e-3, update_epochs=4, normalise_returns=False)
        made.policy.critic = Exact(baseline)
        shares[baseline] = learn(made, 80)["op/f"] or 0.0
    assert shares["expected"] > 0.9
    assert shares["sampled"] < 0.35


def test_a_head_that_matters_rarely_is_learned() -> None:
    class Rare(Probe):
        actions, num_envs = SIX, 64

        def paid(self, actions: dict[str, Tensor]) -> Tensor:
            return (actions["op"] == 2).float() * (0.5 + 0.5 * (actions["how"] == 3))

    made = trainer(Rare(), lr=1e-2)
    assert learn(made, 40)["return"] > 0.9


def test_heads_without_an_operation_are_learned_together() -> None:
    class Pair(Probe):
        actions, num_envs = CHOICES, 64

        def paid(self, actions: dict[str, Tensor]) -> Tensor:
            return 0.5 * (actions["left"] == 1) + 0.5 * (actions["right"] == 2)

    assert learn(trainer(Pair(), "state-value", lr=1e-2), 40)["return"] > 0.9


class Recall(Probe):
    """The cue is seen first and asked for last."""

    actions, horizon, width = TWO, 8, 2

    def seen(self) -> Tensor:
        cue = (2 * self.cue - 1).float() if self.t == 0 else torch.zeros(self.num_envs)
        return torch.stack([cue, torch.full_like(cue, float(self.t == self.horizon - 1))], dim=1)

    def paid(self, actions: dict[str, Tensor]) -> Tensor:
        return (actions["op"] == self.cue).float() * (self.t == self.horizon - 1)


def test_a_cue_is_remembered() -> None:
    assert learn(trainer(Recall(), lr=1e-2, update_epochs=4), 60)["return"] > 0.9


def test_nothing_leaks_from_one_episode_into_the_next() -> None:
    class Before(Probe):
        """Asks for the cue of the episode before, which nobody can know."""

        actions, width, horizon, num_envs = TWO, 1, 2, 64
        cue = torch.zeros(num_envs, dtype=torch.int64)

        def reset(self, **options: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
            self.asked = self.cue
            return super().reset(**options)

        def seen(self) -> Tensor:
            return (2 * self.cue - 1).float()[:, None]

        def paid(self, actions: dict[str, Tensor]) -> Tensor:
            return (actions["op"] == self.asked).float() * (self.t == 0)

    made = trainer(Before(), lr=1e-2, update_epochs=4)
    returns = [u.metrics["return"] for u in made.run(60)]
    assert sum(returns[30:]) / 30 == pytest.approx(0.5, abs=0.06)

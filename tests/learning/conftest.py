"""A small world with everything a trainer needs: no torch module of any plugin, and episodes of a few steps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from esper_core import ActionSpec, Head
from esper_core.contracts.features import Feature, FeatureSchema, IndexField
from esper_core.contracts.foreign import UNKNOWN, Owners
from esper_core.contracts.protocols import Features, LossResult, LSTMState, Masks, NetworkOutput, Values
from esper_core.contracts.state import StateField, StateSpec
from esper_core.learning.config import TrainConfig
from esper_core.learning.teacher import Teacher
from esper_core.learning.trainer import Trainer
from esper_core.policy.policy import Policy
from esper_core.policy.recurrent import run_with_resets

SPEC = ActionSpec(
    heads=(
        Head("op", ("WAIT", "GROW", "CUT")),
        Head("slot", ("a", "b"), ops=("GROW", "CUT")),
        Head("what", ("x", "y", "z"), neutral=2, ops=("GROW",), entropy_weight=1.3),
    ),
    root="op",
    slot="slot",
)
SCHEMA = FeatureSchema(
    base=tuple(Feature(name, name, -1, 1, name) for name in ("clock", "cue", "noise")),
    indices=(IndexField("kind", 2, 3),),
)
STATE = StateSpec(
    (
        *(StateField(name, ("E",), "float", "", name, low=-1) for name in ("clock", "cue", "noise")),
        StateField("kind", ("E", 2), "int", "", "what is embedded", low=-1, high=2),
    )
)


class Net(nn.Module):
    """A small LSTM with one linear head per action head."""

    latent_dim, input_dim = 8, 5

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(4, 1)
        self.lstm = nn.LSTM(5, 8, batch_first=True)
        self.heads = nn.ModuleDict({head.name: nn.Linear(8, head.size) for head in SPEC.heads})

    def initial_state(self, num_envs: int) -> LSTMState:
        return LSTMState(torch.zeros(1, num_envs, 8), torch.zeros(1, num_envs, 8))

    def forward(self, features: Features, state: LSTMState, episode_start: Tensor) -> NetworkOutput:
        kinds = self.embed(torch.where(features.indices["kind"] < 0, 3, features.indices["kind"])).flatten(-2)
        inputs = torch.cat([features.obs, kinds], dim=-1)

        def run(x: Tensor, s: LSTMState) -> tuple[Tensor, LSTMState]:
            out, last = self.lstm(x, tuple(s))
            return out, LSTMState(*last)

        latent, state = run_with_resets(run, inputs, state, episode_start)
        return NetworkOutput(latent, {name: head(latent) for name, head in self.heads.items()}, state)


class Value(nn.Module):
    """Q(s, op) with the expected baseline."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 3)

    def forward(self, latent: Tensor, op_probs: Tensor | None, op: Tensor | None) -> Values:
        by_op = self.layer(latent)
        return Values((op_probs * by_op).sum(-1), by_op.gather(-1, op.unsqueeze(-1)).squeeze(-1), by_op)

    @torch.no_grad()
    def rescale_(self, old_mean: float, old_std: float, new_mean: float, new_std: float) -> None:
        self.layer.weight.mul_(old_std / new_std)
        self.layer.bias.mul_(old_std).add_(old_mean - new_mean).div_(new_std)


class World:
    """E environments of at most `horizon` steps; environment i ends after `lengths[i]`.

    The cue of an episode says which operation pays 1; the reward comes at once.
    """

    actions, state_spec = SPEC, STATE

    def __init__(self, lengths: tuple[int, ...] = (6, 6, 4, 3), horizon: int = 6, truncate: bool = False) -> None:
        self.num_envs, self.horizon = len(lengths), horizon
        self.lengths, self.truncate = torch.tensor(lengths), truncate
        self.seeds: list[int | None] = []
        self._seed, self._episode = 0, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
        self.seeds.append(seed)
        if seed is not None:
            self._seed, self._episode = seed, 0
        self._episode += 1
        self.generator = torch.Generator().manual_seed(self._seed * 1000 + self._episode)
        self.cue = torch.randint(3, (self.num_envs,), generator=self.generator)
        self.t, self.total = 0, torch.zeros(self.num_envs)
        return self._state(), {}

    def step(self, actions: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor, dict[str, Any]]:
        running = self.t < self.lengths
        self.t += 1
        reward = torch.where(running, (actions["op"] == self.cue).float(), 0.0)
        self.total += reward
        ended = running & (self.t >= self.lengths)
        no = torch.zeros_like(ended)
        events = [
            {"env": env, "step": self.t - 1, "type": "episode", "return": float(self.total[env])}
            for env in ended.nonzero().flatten().tolist()
        ]
        flags = (no, ended) if self.truncate else (ended, no)
        return self._state(), reward, *flags, {"events": events}

    def close(self) -> None:
        """Nothing to free."""

    def _state(self) -> dict[str, Tensor]:
        return {
            "clock": torch.full((self.num_envs,), self.t / self.horizon),
            "cue": self.cue.float() - 1,
            "noise": torch.rand(self.num_envs, generator=self.generator),
            "kind": torch.stack([self.cue, torch.full_like(self.cue, -1)], dim=1),
        }


class ResumableWorld(World):
    """A world that can say where it is."""

    def state(self) -> dict[str, int]:
        return {"seed": self._seed, "episode": self._episode}

    def load_state(self, state: dict[str, int]) -> None:
        self._seed, self._episode = state["seed"], state["episode"]


class Seen:
    """Features of the world."""

    schema = SCHEMA

    def __call__(self, state: dict[str, Tensor]) -> Features:
        return Features(torch.stack([state[n] for n in ("clock", "cue", "noise")], dim=1), {"kind": state["kind"]})


class Legal:
    """Everything is legal but CUT on slot a and GROW on slot b."""

    def __call__(self, state: dict[str, Tensor]) -> Masks:
        envs = state["clock"].shape[0]
        slots = torch.tensor([[False, False], [True, False], [False, True]]).expand(envs, -1, -1)
        heads = {head.name: torch.ones(envs, head.size, dtype=torch.bool) for head in SPEC.heads}
        return Masks(heads, slots)


class Reinforce:
    """A plain policy gradient with a value loss."""

    target_kl: float | None = None

    def __init__(self) -> None:
        self.batches: list[Any] = []

    def __call__(self, batch: Any, evaluation: Any) -> LossResult:
        self.batches.append(batch)
        count = batch.valid.sum()
        log_prob = torch.stack(list(evaluation.log_prob.values())).sum(0)
        gain = torch.where(batch.valid, log_prob * batch.advantages, 0.0).sum() / count
        error = torch.where(batch.valid, (evaluation.values.q_taken - batch.returns).square(), 0.0).sum() / count
        kl = torch.tensor(0.0)
        return LossResult(error - gain, kl, {"value_loss": error.detach()})


def make(
    world: Any = None,
    loss: Any = None,
    seed: int = 0,
    net: Any = None,
    critic: Any = None,
    features: Any = None,
    masks: Any = None,
    policy: Policy | None = None,
    owners: Owners = UNKNOWN,
    teacher: Teacher | None = None,
    opponents: Any = None,
    repeats: int = 1,
    **config: Any,
) -> Trainer:
    """Return a trainer on the small world, of parts that are given or small ones."""
    torch.manual_seed(0)
    return Trainer(
        policy=policy or Policy(net or Net(), critic or Value(), SPEC, owners=owners),
        features=features or Seen(),
        masks=masks or Legal(),
        loss=loss or Reinforce(),
        environment=world or World(),
        config=TrainConfig(**{"lr": 0.01, **config}),
        seed=seed,
        owners=owners,
        teacher=teacher,
        opponents=opponents,
        repeats=repeats,
    )


def train(trainer: Trainer, updates: int) -> list[tuple[int, int, dict[str, float | None], list[dict[str, Any]]]]:
    """Return what updates say, but for what depends on the clock."""
    return [(u.index, u.environment_steps, u.metrics, u.events) for u in trainer.run(updates)]

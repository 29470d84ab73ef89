"""The layers of Stable-Baselines3's policies as networks of ours, so that trainers can be compared and nothing else."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import torch
from attrs import frozen
from torch import Tensor, nn

from esper_core import ComponentSpec, option
from esper_core.contracts.protocols import BuildContext, Features, LSTMState, NetworkOutput
from esper_core.policy.recurrent import run_with_resets


class NoState(NamedTuple):
    """The recurrent state of a network that has none: `[1, E, 0]`."""

    nothing: Tensor


@frozen
class MlpConfig:
    """Options of `mlp`."""

    hidden_dim: int = option(64, low=1, help="Width of its two layers.")


@frozen
class LstmConfig:
    """Options of `lstm`."""

    hidden_dim: int = option(64, low=1, help="Width of its two LSTMs.")


class Mlp(nn.Module):
    """Kind `network`, as `MlpPolicy`: two tanh layers, then one linear layer per head, which begin as theirs do.

    The critic shares the two layers; theirs has two of its own.

    Args:
        config: Width.
        context: Feature schema and action table.
    """

    def __init__(self, config: MlpConfig, context: BuildContext) -> None:
        super().__init__()
        assert context.feature_schema is not None, "features are built before the network"
        self.input_dim, self.latent_dim = context.feature_schema.dim, config.hidden_dim
        first, second = nn.Linear(self.input_dim, self.latent_dim), nn.Linear(self.latent_dim, self.latent_dim)
        self.body = nn.Sequential(first, nn.Tanh(), second, nn.Tanh())
        self.heads = nn.ModuleList(nn.Linear(self.latent_dim, head.size) for head in context.actions.heads)
        self._names = context.actions.names
        for layer, gain in [(first, math.sqrt(2)), (second, math.sqrt(2)), *((head, 0.01) for head in self.heads)]:
            nn.init.orthogonal_(layer.weight, gain)
            nn.init.zeros_(layer.bias)

    def initial_state(self, num_envs: int) -> NoState:
        """Return nothing: `[1, E, 0]`."""
        return NoState(self.body[0].weight.new_zeros(1, num_envs, 0))

    def forward(self, features: Features, state: NoState, episode_start: Tensor) -> NetworkOutput:
        """Run `[E, T]` steps, each by itself."""
        latent = self.body(features.obs)
        logits = {name: head(latent) for name, head in zip(self._names, self.heads, strict=True)}
        return NetworkOutput(latent, logits, state)


class Lstm(nn.Module):
    """Kind `network`, as `MlpLstmPolicy`: an LSTM and one linear layer per head, and an LSTM for the critic.

    Args:
        config: Width.
        context: Feature schema and action table.
    """

    def __init__(self, config: LstmConfig, context: BuildContext) -> None:
        super().__init__()
        assert context.feature_schema is not None, "features are built before the network"
        self.input_dim, self.latent_dim = context.feature_schema.dim, config.hidden_dim
        self.actor, self.critic = (nn.LSTM(self.input_dim, self.latent_dim, batch_first=True) for _ in range(2))
        self.heads = nn.ModuleList(nn.Linear(self.latent_dim, head.size) for head in context.actions.heads)
        self._names = context.actions.names

    def initial_state(self, num_envs: int) -> LSTMState:
        """Return zeros: `h` and `c` of `[2, E, H]`, the actor's and the critic's."""
        weight = self.actor.weight_hh_l0
        return LSTMState(*(weight.new_zeros(2, num_envs, self.latent_dim) for _ in range(2)))

    def forward(self, features: Features, state: LSTMState, episode_start: Tensor) -> NetworkOutput:
        """Run `[E, T]` steps; the state is zeroed before steps where `episode_start` is true."""
        outputs, states = [], []
        for position, lstm in enumerate((self.actor, self.critic)):
            own = LSTMState(*(part[position : position + 1].contiguous() for part in state))
            output, last = run_with_resets(partial(_run, lstm), features.obs, own, episode_start)
            outputs.append(output)
            states.append(last)
        acting, latent = outputs
        logits = {name: head(acting) for name, head in zip(self._names, self.heads, strict=True)}
        return NetworkOutput(latent, logits, LSTMState(*(torch.cat(parts) for parts in zip(*states, strict=True))))


def _run(lstm: nn.LSTM, inputs: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
    output, last = lstm(inputs, tuple(state))
    return output, LSTMState(*last)


_BESIDE = {"critic": "state-value", "loss": "factored-ppo"}
SPECS = (
    ComponentSpec(
        kind="network",
        name="mlp",
        factory="networks:Mlp",
        config="networks:MlpConfig",
        summary="the layers of Stable-Baselines3's MlpPolicy",
        defaults=_BESIDE,
    ),
    ComponentSpec(
        kind="network",
        name="lstm",
        factory="networks:Lstm",
        config="networks:LstmConfig",
        summary="the layers of sb3-contrib's MlpLstmPolicy",
        defaults=_BESIDE,
    ),
)

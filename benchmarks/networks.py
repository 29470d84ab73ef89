"""The layers of Stable-Baselines3's policies as networks of ours, so that trainers can be compared and nothing else."""

from __future__ import annotations

import math
from functools import partial
from typing import NamedTuple

import torch
from attrs import frozen
from torch import Tensor, nn

from esper_core import ActionSpec, ComponentSpec, ContinuousHead, option
from esper_core.contracts.protocols import BuildContext, Features, LSTMState, NetworkOutput, Values
from esper_core.policy.recurrent import run_with_resets
from esper_op_conditioned_critic.output import ValueOutput


class NoState(NamedTuple):
    """The recurrent state of a network that has none: `[1, E, 0]`."""

    nothing: Tensor


@frozen
class MlpConfig:
    """Options of `peer-mlp`."""

    hidden_dim: int = option(64, low=1, help="Width of its layers.")


@frozen
class LstmConfig:
    """Options of `lstm`."""

    hidden_dim: int = option(64, low=1, help="Width of its two LSTMs.")


@frozen
class ValueConfig:
    """Options of `linear`."""

    orthogonal: bool = option(True, help="It begins as theirs with orthogonal weights; false: as torch has it.")


class Heads(nn.Module):
    """One linear layer per head; numbers have deviations that are the same in every state.

    Args:
        width: What the layers take in.
        actions: The action table.
    """

    def __init__(self, width: int, actions: ActionSpec) -> None:
        super().__init__()
        self.names = actions.names
        numbers = [isinstance(head, ContinuousHead) for head in actions.heads]
        sizes = [head.size // (2 if some else 1) for head, some in zip(actions.heads, numbers, strict=True)]
        self.layers = nn.ModuleList(nn.Linear(width, size) for size in sizes)
        self.log_stds = nn.ParameterList(
            torch.zeros(size if some else 0) for size, some in zip(sizes, numbers, strict=True)
        )

    def forward(self, latent: Tensor) -> dict[str, Tensor]:
        """Return what each head gets of `latent [..., H]`."""
        found = {}
        for name, layer, log_std in zip(self.names, self.layers, self.log_stds, strict=True):
            given = layer(latent)
            if log_std.numel():
                given = torch.cat([given, log_std.expand_as(given)], dim=-1)
            found[name] = given
        return found


class Mlp(nn.Module):
    """Kind `network`, as `MlpPolicy`: two tanh layers for the actor, two for the critic, which begin as theirs do.

    Args:
        config: Width.
        context: Feature schema and action table.
    """

    def __init__(self, config: MlpConfig, context: BuildContext) -> None:
        super().__init__()
        assert context.feature_schema is not None, "features are built before the network"
        self.input_dim, self.latent_dim = context.feature_schema.dim, config.hidden_dim
        self.actor, self.critic = (self._body() for _ in range(2))
        self.heads = Heads(self.latent_dim, context.actions)
        for layer in self.heads.layers:
            _orthogonal(layer, 0.01)

    def _body(self) -> nn.Sequential:
        first, second = nn.Linear(self.input_dim, self.latent_dim), nn.Linear(self.latent_dim, self.latent_dim)
        for layer in (first, second):
            _orthogonal(layer, math.sqrt(2))
        return nn.Sequential(first, nn.Tanh(), second, nn.Tanh())

    def initial_state(self, num_envs: int) -> NoState:
        """Return nothing: `[1, E, 0]`."""
        return NoState(self.actor[0].weight.new_zeros(1, num_envs, 0))

    def forward(self, features: Features, state: NoState, episode_start: Tensor) -> NetworkOutput:
        """Run `[E, T]` steps, each by itself."""
        # As one axis, or every layer would make it one and two again.
        lead, rows = features.obs.shape[:2], features.obs.flatten(0, 1)
        logits = {name: value.view(*lead, -1) for name, value in self.heads(self.actor(rows)).items()}
        return NetworkOutput(self.critic(rows).view(*lead, -1), logits, state)


class Lstm(nn.Module):
    """Kind `network`, as `MlpLstmPolicy`: an LSTM for the actor, and one for the critic with a tanh layer behind it.

    Args:
        config: Width.
        context: Feature schema and action table.
    """

    def __init__(self, config: LstmConfig, context: BuildContext) -> None:
        super().__init__()
        assert context.feature_schema is not None, "features are built before the network"
        self.input_dim, self.latent_dim = context.feature_schema.dim, config.hidden_dim
        self.actor, self.critic = (nn.LSTM(self.input_dim, self.latent_dim, batch_first=True) for _ in range(2))
        self.valued = nn.Sequential(nn.Linear(self.latent_dim, self.latent_dim), nn.Tanh())
        self.heads = Heads(self.latent_dim, context.actions)

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
        acting, valuing = outputs
        last = LSTMState(*(torch.cat(parts) for parts in zip(*states, strict=True)))
        return NetworkOutput(self.valued(valuing), self.heads(acting), last)


class Value(nn.Module):
    """Kind `critic`: one linear layer, which begins as theirs does."""

    def __init__(self, config: ValueConfig, context: BuildContext) -> None:
        super().__init__()
        self.output = ValueOutput(context.latent_dim)
        if config.orthogonal:
            _orthogonal(self.output, 1.0)
        else:
            self.output.reset_parameters()

    def forward(self, latent: Tensor, op_probs: Tensor | None, op: Tensor | None) -> Values:
        """Return V(s) `[E, T]`."""
        value = self.output(latent)
        return Values(value=value, q_taken=value, by_op=None)

    def rescale_(self, old_mean: float, old_std: float, new_mean: float, new_std: float) -> None:
        """Keep predictions in return units under the new statistics."""
        self.output.rescale_(old_mean, old_std, new_mean, new_std)


def _run(lstm: nn.LSTM, inputs: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
    output, last = lstm(inputs, tuple(state))
    return output, LSTMState(*last)


def _orthogonal(layer: nn.Linear, gain: float) -> None:
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)


_BESIDE = {"critic": "linear", "loss": "factored-ppo"}
SPECS = (
    ComponentSpec(
        kind="critic",
        name="linear",
        factory="networks:Value",
        config="networks:ValueConfig",
        summary="one linear layer",
    ),
    ComponentSpec(
        kind="network",
        name="peer-mlp",
        factory="networks:Mlp",
        config="networks:MlpConfig",
        summary="the layers of Stable-Baselines3's MlpPolicy",
        defaults=_BESIDE,
    ),
    ComponentSpec(
        kind="network",
        name="peer-lstm",
        factory="networks:Lstm",
        config="networks:LstmConfig",
        summary="the layers of sb3-contrib's MlpLstmPolicy",
        defaults=_BESIDE,
    ),
)

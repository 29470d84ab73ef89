"""A network without memory, as that of Stable-Baselines3's `MlpPolicy`, for tasks on which its trainers have none."""

from __future__ import annotations

import math
from typing import NamedTuple

from attrs import frozen
from torch import Tensor, nn

from esper_core import ComponentSpec, option
from esper_core.contracts.protocols import Build, Features, NetworkOutput


class NoState(NamedTuple):
    """The recurrent state of a network that has none: `[1, E, 0]`."""

    nothing: Tensor


@frozen
class MlpConfig:
    """Options of `mlp`."""

    hidden_dim: int = option(64, low=1, help="Width of its two layers.")


class Mlp(nn.Module):
    """Kind `network`: two tanh layers, then one linear layer per head, which begin as theirs do.

    Args:
        config: Width.
        context: Feature schema and action table.
    """

    def __init__(self, config: MlpConfig, context: Build) -> None:
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


SPEC = ComponentSpec(
    kind="network",
    name="mlp",
    factory="mlp:Mlp",
    config="mlp:MlpConfig",
    summary="two layers without memory, as in Stable-Baselines3's MlpPolicy",
    defaults={"critic": "state-value", "loss": "factored-ppo"},
)

"""The network `my-network`: Linear, LayerNorm, ReLU → GRU → one linear head per action dimension."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from esper_core.contracts.precision import widened, without_autocast
from esper_core.contracts.protocols import BuildContext, Features, NetworkOutput
from esper_core.policy.recurrent import run_with_resets
from my_network.config import MyNetworkConfig

FINAL_GAIN = 0.01
"""Scale of the heads' first weights: a policy that begins undecided explores."""


class RecurrentState(NamedTuple):
    """What is remembered between steps: `hidden [layers, E, H]`; the batch is dimension 1."""

    hidden: Tensor


class MyNetwork(nn.Module):
    """Kind `network`.

    All widths follow from the feature schema and the action table, so it fits any environment and any number of slots.
    """

    def __init__(self, config: MyNetworkConfig, context: BuildContext) -> None:
        super().__init__()
        schema = context.feature_schema
        assert schema is not None, "features are built before the network"
        hidden = config.hidden_dim
        self.latent_dim, self.layers = hidden, config.layers
        self.input_dim = schema.dim + config.embed_dim * sum(block.width for block in schema.indices)
        self._indices = tuple(block.name for block in schema.indices)
        self._heads = context.actions.names
        # One row more than there are categories: the index -1 means none.
        self.embeddings = nn.ModuleList(
            nn.Embedding(block.vocabulary + 1, config.embed_dim) for block in schema.indices
        )
        self.encoder = nn.Sequential(nn.Linear(self.input_dim, hidden), nn.LayerNorm(hidden), nn.ReLU())
        self.gru = nn.GRU(hidden, hidden, config.layers, batch_first=True)
        # A list, because a ModuleDict refuses names such as "type", which a head may well have.
        self.heads = nn.ModuleList(_head(hidden, head.size) for head in context.actions.heads)

    def initial_state(self, num_envs: int) -> RecurrentState:
        """Return the state at the start of an episode: zeros `[layers, E, H]`."""
        some = next(self.parameters())  # for device and dtype
        return RecurrentState(some.new_zeros(self.layers, num_envs, self.latent_dim))

    def forward(self, features: Features, state: RecurrentState, episode_start: Tensor) -> NetworkOutput:
        """Run `[E, T]` steps.

        Args:
            features: `obs [E, T, D]`, `indices [E, T, width]` per name.
            state: State before the first step.
            episode_start: Bool `[E, T]`; the state is zeroed before these steps.
        """
        embedded = [
            table(features.indices[name] + 1).flatten(-2)
            for name, table in zip(self._indices, self.embeddings, strict=True)
        ]
        encoded = self.encoder(torch.cat([features.obs, *embedded], dim=-1))
        latent, state = run_with_resets(self._run_gru, encoded, state, episode_start)
        logits = {name: head(latent) for name, head in zip(self._heads, self.heads, strict=True)}
        return NetworkOutput(latent, logits, state)

    def _run_gru(self, inputs: Tensor, state: RecurrentState) -> tuple[Tensor, RecurrentState]:
        # Also with --precision bf16 in full precision: a rounded state would drift over an episode.
        with without_autocast(inputs.device):
            output, hidden = self.gru(widened(inputs), state.hidden)
        return output, RecurrentState(hidden)


def _head(inputs: int, size: int) -> nn.Linear:
    head = nn.Linear(inputs, size)
    nn.init.orthogonal_(head.weight, FINAL_GAIN)
    nn.init.zeros_(head.bias)
    return head

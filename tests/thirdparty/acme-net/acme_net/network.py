"""A GRU that is stepped by hand; it knows neither slots nor operations, only widths."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from acme_net.config import AcmeConfig
from esper_core.contracts.protocols import Build, Features, NetworkOutput


class GruState(NamedTuple):
    """Recurrent state: `hidden [1, E, H]`."""

    hidden: Tensor


class AcmeGru(nn.Module):
    """Kind `network`: Linear and tanh, one GRU cell, one linear head per action dimension."""

    def __init__(self, config: AcmeConfig, context: Build) -> None:
        super().__init__()
        schema = context.feature_schema
        assert schema is not None
        self.latent_dim = config.hidden_dim
        self.input_dim = schema.dim + config.embed_dim * sum(block.width for block in schema.indices)
        # One row more than categories: -1 means none. Lists, since a ModuleDict refuses names such as "type".
        self.embeddings = nn.ModuleList(nn.Embedding(b.vocabulary + 1, config.embed_dim) for b in schema.indices)
        self.indices = [block.name for block in schema.indices]
        self.encoder = nn.Linear(self.input_dim, self.latent_dim)
        self.cell = nn.GRUCell(self.latent_dim, self.latent_dim)
        self.heads = nn.ModuleList(nn.Linear(self.latent_dim, head.size) for head in context.actions.heads)
        self.names = context.actions.names

    def initial_state(self, num_envs: int) -> GruState:
        """Return zeros `[1, E, H]`."""
        return GruState(self.encoder.weight.new_zeros(1, num_envs, self.latent_dim))

    def forward(self, features: Features, state: GruState, episode_start: Tensor) -> NetworkOutput:
        """Run `[E, T]` steps; the state is zeroed before steps where `episode_start` is true."""
        embedded = [
            table(features.indices[name] + 1).flatten(-2)
            for name, table in zip(self.indices, self.embeddings, strict=True)
        ]
        encoded = torch.tanh(self.encoder(torch.cat([features.obs, *embedded], dim=-1)))
        hidden, steps = state.hidden[0], []
        for t in range(encoded.shape[1]):
            hidden = self.cell(encoded[:, t], hidden * ~episode_start[:, t, None])
            steps.append(hidden)
        latent = torch.stack(steps, dim=1)
        logits = {name: head(latent) for name, head in zip(self.names, self.heads, strict=True)}
        return NetworkOutput(latent, logits, GruState(hidden[None]))

"""The network: embeddings → Linear, LayerNorm, ReLU → LSTM → LayerNorm → one head per action dimension.

Widths follow from the feature schema and the action table; nothing here knows a slot count or the name of a head. All
slots share one head, so the network cannot prefer different slots for two operations that are legal on the same slots.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from esper_core.contracts.actions import AnyHead
from esper_core.contracts.precision import widened, without_autocast
from esper_core.contracts.protocols import BuildContext, Features, LSTMState, NetworkOutput
from esper_core.policy.recurrent import run_with_resets
from esper_lstm_v2.config import LstmV1Config, LstmV2Config

EMBEDDING_STD = 0.02
FINAL_GAIN = 0.01
FORGET_BIAS = 1.0


class IndexEmbedding(nn.Module):
    """Embeds category indices; −1, which stands for none, has a row of its own.

    Args:
        vocabulary: Number of categories.
        embed_dim: Numbers per index.
    """

    def __init__(self, vocabulary: int, embed_dim: int) -> None:
        super().__init__()
        self.null = vocabulary
        self.table = nn.Embedding(vocabulary + 1, embed_dim)
        nn.init.normal_(self.table.weight, std=EMBEDDING_STD)

    def forward(self, indices: Tensor) -> Tensor:
        """Map `[E, T, width]` to `[E, T, width·embed_dim]`."""
        return self.table(torch.where(indices < 0, self.null, indices)).flatten(-2)


class LstmNetwork(nn.Module):
    """Kind `network`: recurrent state is `LSTMState(h, c)`, both `[layers, E, H]`.

    Args:
        config: Widths.
        context: Feature schema and action table.
    """

    def __init__(self, config: LstmV2Config | LstmV1Config, context: BuildContext) -> None:
        super().__init__()
        schema = context.feature_schema
        assert schema is not None, "features are built before the network"
        hidden = config.hidden_dim
        self.layers = config.lstm_layers
        self.latent_dim = hidden
        self.input_dim = schema.dim + sum(block.width for block in schema.indices) * config.embed_dim
        # Modules of their own, not a ModuleDict: that refuses names such as "type", which a head may well have.
        self._indices = tuple(block.name for block in schema.indices)
        for block in schema.indices:
            self.add_module(f"{block.name}_embedding", IndexEmbedding(block.vocabulary, config.embed_dim))
        first = _initialise_linear(nn.Linear(self.input_dim, hidden), math.sqrt(2))
        self.encoder = nn.Sequential(first, nn.LayerNorm(hidden), nn.ReLU())
        self.lstm = nn.LSTM(hidden, hidden, config.lstm_layers, batch_first=True)
        self.norm = nn.LayerNorm(hidden)
        self._heads = context.actions.names
        for head in context.actions.heads:
            self.add_module(f"{head.name}_head", _head(head, hidden, deep=head.name in config.deep_heads))
        _initialise_lstm(self.lstm)

    def initial_state(self, num_envs: int) -> LSTMState:
        """Return zeros: `h` and `c` of `[layers, E, H]`."""
        weight = self.norm.weight
        return LSTMState(*(weight.new_zeros(self.layers, num_envs, self.latent_dim) for _ in range(2)))

    def forward(self, features: Features, state: LSTMState, episode_start: Tensor) -> NetworkOutput:
        """Run `[E, T]` steps; the state is zeroed before steps where `episode_start` is true.

        Args:
            features: `obs [E, T, D]`, `indices [E, T, width]`.
            state: `[layers, E, H]`.
            episode_start: Bool `[E, T]`.
        """
        embedded = [self.get_submodule(f"{name}_embedding")(features.indices[name]) for name in self._indices]
        encoded = self.encoder(torch.cat([features.obs, *embedded], dim=-1))
        hidden, state = run_with_resets(self._run_lstm, encoded, state, episode_start)
        latent = self.norm(hidden)
        return NetworkOutput(latent, {name: self.get_submodule(f"{name}_head")(latent) for name in self._heads}, state)

    def _run_lstm(self, inputs: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        # Whatever surrounds it: a rounded state would drift over an episode, and differ between acting and learning.
        with without_autocast(inputs.device):
            output, last = self.lstm(widened(inputs), tuple(state))
        return output, LSTMState(*last)


def _head(head: AnyHead, hidden: int, deep: bool) -> nn.Sequential:
    """Return H → H/2 → head.size, or H → H → H/4 → head.size for a deep head."""
    widths = [hidden, hidden, max(1, hidden // 4)] if deep else [hidden, max(1, hidden // 2)]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [_initialise_linear(nn.Linear(before, after), math.sqrt(2)), nn.ReLU()]
    return nn.Sequential(*layers, _initialise_linear(nn.Linear(widths[-1], head.size), FINAL_GAIN))


def _initialise_linear(layer: nn.Linear, gain: float) -> nn.Linear:
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


def _initialise_lstm(lstm: nn.LSTM) -> None:
    """Make every gate's block orthogonal, biases 0 and the forget bias 1 in one of the two bias vectors."""
    hidden = lstm.hidden_size
    for name, parameter in lstm.named_parameters():
        if name.startswith("weight"):
            for block in parameter.data.split(hidden):
                nn.init.orthogonal_(block)
        else:
            nn.init.zeros_(parameter)
            if name.startswith("bias_ih"):
                parameter.data[hidden : 2 * hidden] = FORGET_BIAS

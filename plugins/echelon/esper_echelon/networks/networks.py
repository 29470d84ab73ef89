"""The networks `combat-suite` and `actor-critic-lstm`: an encoder of their own, then the same LSTM and heads.

Sampling, log-probabilities and the evaluation of stored sequences are those of `esper_core.policy.policy.Policy`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from esper_core.contracts.actions import ContinuousHead
from esper_core.contracts.errors import IncompatiblePlan
from esper_core.contracts.precision import widened, without_autocast
from esper_core.contracts.protocols import BuildContext, Features, LSTMState, NetworkOutput
from esper_core.policy.recurrent import run_with_resets
from esper_echelon.networks.config import ActorCriticConfig, CombatSuiteConfig
from esper_echelon.networks.encoders import SuiteStreamEncoder
from esper_echelon.perception.layout import COLUMNS
from esper_echelon.perception.suite import flat_obs_to_suite_obs

__all__ = ["ActorCriticLSTM", "CombatSuiteActorCritic", "LSTMState"]

FINAL_GAIN = 0.01
"""Of the last layer: at first every action is about as likely as any other."""


class RecurrentActor(nn.Module, ABC):
    """LSTM and heads behind an encoder; the recurrent state is `LSTMState(h, c)`, both `[1, E, H]`.

    All heads share the linear layer `actor_mean`. The log standard deviations of numbers, `actor_logstd`, are
    parameters, the same in every state; None where the actions have no numbers.

    Args:
        inputs: Numbers that the encoder gives.
        hidden: Width of the LSTM and the latent, H.
        std: Standard deviation of numbers at first.
        context: Action table.
    """

    actor_logstd: nn.Parameter | None

    def __init__(self, inputs: int, hidden: int, std: float, context: BuildContext) -> None:
        super().__init__()
        heads = context.actions.heads
        self._names = context.actions.names
        self._numbers = [len(head.dims) if isinstance(head, ContinuousHead) else 0 for head in heads]
        self._sizes = [count or head.size for head, count in zip(heads, self._numbers, strict=True)]
        self.latent_dim = hidden
        self.lstm = nn.LSTM(inputs, hidden, batch_first=True)
        self.actor_mean = nn.Linear(hidden, sum(self._sizes))
        nn.init.orthogonal_(self.actor_mean.weight, FINAL_GAIN)
        nn.init.zeros_(self.actor_mean.bias)
        total = sum(self._numbers)
        log_std = torch.full((total,), math.log(std))
        self.register_parameter("actor_logstd", nn.Parameter(log_std) if total else None)

    def initial_state(self, num_envs: int) -> LSTMState:
        """Return zeros: `h` and `c` of `[1, E, H]`."""
        weight = self.actor_mean.weight
        return LSTMState(*(weight.new_zeros(1, num_envs, self.latent_dim) for _ in range(2)))

    @abstractmethod
    def encode(self, features: Features) -> Tensor:
        """Return what the LSTM reads, `[E, T, inputs]`."""

    def forward(self, features: Features, state: LSTMState, episode_start: Tensor) -> NetworkOutput:
        """Run `[E, T]` steps; the state is zeroed before steps where `episode_start`, bool `[E, T]`, is true."""
        latent, state = run_with_resets(self._run_lstm, self.encode(features), state, episode_start)
        return NetworkOutput(latent, self._heads(latent), state)

    def _run_lstm(self, inputs: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        # Whatever surrounds it: a rounded state would drift over an episode, and differ between acting and learning.
        with without_autocast(inputs.device):
            output, last = self.lstm(widened(inputs), tuple(state))
        return output, LSTMState(*last)

    def _heads(self, latent: Tensor) -> dict[str, Tensor]:
        logits = dict(zip(self._names, self.actor_mean(latent).split(self._sizes, dim=-1), strict=True))
        if self.actor_logstd is None:
            return logits
        for name, log_std in zip(self._names, self.actor_logstd.split(self._numbers), strict=True):
            if log_std.numel():
                mean = logits[name]
                logits[name] = torch.cat([mean, log_std.to(mean.dtype).expand_as(mean)], dim=-1)
        return logits


class CombatSuiteActorCritic(RecurrentActor):
    """Kind `network`: encodes contacts and squad as sets.

    Args:
        config: Widths.
        context: Feature schema and action table.

    Raises:
        IncompatiblePlan: the features are not `suite`.
    """

    def __init__(self, config: CombatSuiteConfig, context: BuildContext) -> None:
        super().__init__(config.lstm_hidden_dim, config.lstm_hidden_dim, config.initial_std, context)
        schema = context.feature_schema
        assert schema is not None, "features are built before the network"
        if schema.names != COLUMNS or schema.size != schema.dim:
            raise IncompatiblePlan(
                f"combat-suite reads the {len(COLUMNS)} columns of the features 'suite'; these features have others.",
                hint="Use --use features=suite, or another network.",
            )
        self.encoder = SuiteStreamEncoder(config.hidden_dim, config.lstm_hidden_dim, config.aggregation)
        self.input_dim = self.encoder.fused

    def encode(self, features: Features) -> Tensor:
        """Return what the LSTM reads, `[E, T, H]`."""
        return self.encoder(flat_obs_to_suite_obs(features.obs))


class ActorCriticLSTM(RecurrentActor):
    """Kind `network`: two tanh layers over all numbers of any observation.

    Args:
        config: Widths.
        context: Feature schema and action table.
    """

    def __init__(self, config: ActorCriticConfig, context: BuildContext) -> None:
        super().__init__(config.hidden_dim, config.lstm_hidden_dim, config.initial_std, context)
        schema = context.feature_schema
        assert schema is not None, "features are built before the network"
        hidden, width = config.hidden_dim, config.embed_dim
        # −1, which stands for none, has a row of its own. A list, not a ModuleDict: that refuses names such as "type".
        self.tables = nn.ModuleList(nn.Embedding(block.vocabulary + 1, width) for block in schema.indices)
        self._indices = tuple(block.name for block in schema.indices)
        self.input_dim = schema.dim + width * sum(block.width for block in schema.indices)
        self.encoder = nn.Sequential(nn.Linear(self.input_dim, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())

    def encode(self, features: Features) -> Tensor:
        """Return what the LSTM reads, `[E, T, hidden]`."""
        pairs = zip(self._indices, self.tables, strict=True)
        embedded = [table(features.indices[name] + 1).flatten(-2) for name, table in pairs]
        return self.encoder(torch.cat([features.obs, *embedded], dim=-1))

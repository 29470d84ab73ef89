"""The installed network, critics and loss around the small world."""

from __future__ import annotations

from typing import Any

import torch
from attrs import evolve

from esper_core import SlotConfig, StateSpec
from esper_core.contracts.protocols import BuildContext
from esper_core.learning.trainer import Trainer
from esper_core.policy.policy import Policy
from esper_factored_ppo.config import FactoredPpoConfig
from esper_factored_ppo.loss import FactoredPpo
from esper_lstm_v2.config import LstmV2Config
from esper_lstm_v2.network import LstmNetwork
from esper_op_conditioned_critic.config import OpConditionedConfig
from esper_op_conditioned_critic.op_conditioned import OpConditionedCritic
from tests.learning.conftest import SCHEMA, SPEC, make

HIDDEN = 16


def context(latent_dim: int = HIDDEN) -> BuildContext:
    slots = SlotConfig.for_grid(1, 2)
    return BuildContext(slots, SPEC, StateSpec(()), SCHEMA, latent_dim, 0.99, 4, 0, "cpu", torch.float32)


def ppo_loss(**options: Any) -> FactoredPpo:
    return FactoredPpo(FactoredPpoConfig(**options), context())


def ppo_trainer(
    world: Any = None, masks: Any = None, baseline: str = "expected", loss: dict[str, Any] | None = None, **config: Any
) -> Trainer:
    """Return a trainer of lstm-v2 (16 wide), op-conditioned-critic and factored-ppo on the small world."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    network = LstmNetwork(LstmV2Config(hidden_dim=HIDDEN), evolve(context(), latent_dim=0))
    critic = OpConditionedCritic(OpConditionedConfig(baseline=baseline), context())
    policy = Policy(network, critic, SPEC)
    return make(world, ppo_loss(**(loss or {})), masks=masks, policy=policy, **{"lr": 3e-3, **config})

"""The KL stop on a run whose KL is known before every pass."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from esper_core.contracts.protocols import LossResult, LSTMState
from esper_core.learning.config import TrainConfig
from esper_core.learning.trainer import Trainer
from esper_core.policy.policy import Policy
from tests.learning.components import ppo_loss
from tests.learning.conftest import SPEC, Legal, Net, Seen, Value, World

LR = 0.1


def known(raised: float) -> float:
    """Return the joint KL in nats after the logit of GROW was raised from 0; the other heads have not moved."""
    normaliser = math.log((2 + math.exp(raised)) / 3)
    return normaliser - raised / 3


class Raised(Net):
    """Operations do not depend on anything: their logits are a parameter that starts at 0."""

    def __init__(self) -> None:
        super().__init__()
        self.op = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))

    def initial_state(self, num_envs: int) -> LSTMState:
        return LSTMState(*(value.double() for value in super().initial_state(num_envs)))

    def forward(self, features: Any, state: Any, episode_start: Tensor) -> Any:
        output = super().forward(features, state, episode_start)
        return output._replace(logits=output.logits | {"op": self.op.expand(*features.obs.shape[:2], 3)})


class Raising:
    """Asks for more GROW with a constant gradient, so that every step of Adam is the step size; KL is the real one."""

    def __init__(self, target: float) -> None:
        self.exact, self.kls = ppo_loss(target_kl=target), []
        self.target_kl = self.exact.target_kl

    def __call__(self, batch: Any, evaluation: Any) -> LossResult:
        kl = self.exact(batch, evaluation).kl
        self.kls.append(float(kl))
        return LossResult(-evaluation.logits["op"][..., 1].mean(), kl, {})


def passes(target: float, most: int = 8, minibatches: int = 1) -> tuple[dict[str, float | None], list[float]]:
    torch.manual_seed(0)
    loss = Raising(target)
    trainer = Trainer(
        policy=Policy(Raised().double(), Value().double(), SPEC),
        features=Seen(),
        masks=Legal(),
        loss=loss,
        environment=World(),
        config=TrainConfig(lr=LR, update_epochs=most, max_grad_norm=0.0, num_minibatches=minibatches),
        seed=0,
    )
    (update,) = trainer.run(1)
    return update.metrics, loss.kls


def test_the_kl_of_every_pass_is_the_known_one() -> None:
    metrics, kls = passes(target=0.0, most=6)
    assert kls == pytest.approx([known(n * LR) for n in range(6)], rel=1e-3, abs=1e-12)
    assert metrics["passes_done"] == 6.0 and metrics["kl"] == pytest.approx(known(5 * LR), rel=1e-3)


@pytest.mark.parametrize("crossing", [1, 2, 4])
def test_learning_stops_before_the_step_that_would_start_too_far_away(crossing: int) -> None:
    """Steps are taken while the KL is at most 1.5 times the target, and it first is more before pass `crossing`."""
    between = (known((crossing - 1) * LR) + known(crossing * LR)) / 2
    metrics, kls = passes(target=between / 1.5)
    assert metrics["passes_done"] == crossing and len(kls) == crossing + 1
    assert metrics["kl"] == pytest.approx(known(crossing * LR), rel=1e-3)

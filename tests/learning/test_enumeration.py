"""Policy gradients of a whole update against enumeration, on a one-step problem, in float64.

32 environments take every joint action exactly as often as the policy would in expectation, so a mean over environments
is an exact expectation: nothing is sampled, and measured and true gradients differ by rounding alone. Rollout,
advantages, standardisation, critic and loss are those of training.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from esper_core.contracts.protocols import Features, LSTMState, Masks, NetworkOutput
from esper_core.learning.rollout import standardise
from esper_core.learning.trainer import Trainer
from esper_core.policy.policy import ActionOutput, Policy
from esper_factored_ppo.loss import FactoredPpo
from esper_op_conditioned_critic.config import OpConditionedConfig
from esper_op_conditioned_critic.op_conditioned import OpConditionedCritic
from tests.learning.components import HIDDEN, context, ppo_loss
from tests.learning.conftest import SPEC, World, make, train

# Of 32 environments: op, slot, what; 2 is the neutral value of `what`. CUT is legal on slot b only.
TIMES = {(0, 0, 2): 8, (2, 1, 2): 8} | {
    (1, slot, what): slot_times * what_times // 4
    for slot, slot_times in enumerate((12, 4))
    for what, what_times in enumerate((2, 1, 1))
}
PROBABILITIES = {"op": (0.25, 0.5, 0.25), "slot": (0.75, 0.25), "what": (0.5, 0.25, 0.25)}
REWARD = {(0, 0, 2): 0.3, (2, 1, 2): -1.0} | {
    (1, slot, what): 0.5 + 0.4 * slot + (-0.7, 0.2, 1.1)[what] * (1 - 0.5 * slot)
    for slot in range(2)
    for what in range(3)
}
TAKEN = [action for action, times in TIMES.items() for _ in range(times)]


class Table(nn.Module):
    """The same logits everywhere; they are the parameters. Those of slots may be given `each` operation."""

    latent_dim, input_dim = HIDDEN, 5

    def __init__(self, each: bool = False) -> None:
        super().__init__()
        rows = {name: torch.tensor(row, dtype=torch.float64).log() for name, row in PROBABILITIES.items()}
        rows["slot"] = rows["slot"].repeat(3, 1) if each else rows["slot"]
        self.logits = nn.ParameterDict({name: nn.Parameter(row) for name, row in rows.items()})

    def initial_state(self, num_envs: int) -> LSTMState:
        return LSTMState(*(torch.zeros(1, num_envs, 1, dtype=torch.float64) for _ in range(2)))

    def forward(self, features: Features, state: LSTMState, episode_start: Tensor) -> NetworkOutput:
        steps = features.obs.shape[:2]
        latent = torch.zeros(*steps, HIDDEN, dtype=torch.float64)
        return NetworkOutput(latent, {name: row.expand(*steps, *row.shape) for name, row in self.logits.items()}, state)


class Scripted(Policy):
    """Takes the actions of `TAKEN`, one per environment, whatever it would have drawn."""

    def get_action(self, *args: Any, **options: Any) -> ActionOutput:
        output = super().get_action(*args, **options)
        actions = {name: torch.tensor([taken[i] for taken in TAKEN]) for i, name in enumerate(SPEC.names)}
        return output._replace(actions=actions)


class Paid(World):
    """One step that pays `REWARD`."""

    def __init__(self) -> None:
        super().__init__(lengths=(1,) * len(TAKEN), horizon=1)

    def step(self, actions: dict[str, Tensor]) -> tuple[Any, ...]:
        state, _, *rest = super().step(actions)
        return state, torch.tensor([REWARD[taken] for taken in TAKEN], dtype=torch.float64), *rest


class Legal:
    """CUT is legal on slot b only, GROW on both."""

    def __call__(self, state: dict[str, Tensor]) -> Masks:
        envs = state["clock"].shape[0]
        slots = torch.tensor([[False, False], [True, True], [False, True]]).expand(envs, -1, -1)
        return Masks({head.name: torch.ones(envs, head.size, dtype=torch.bool) for head in SPEC.heads}, slots)


def probability(logits: dict[str, Tensor], action: tuple[int, int, int]) -> Tensor:
    """Return the probability of a joint action by the rules written out by hand."""
    op, slot, what = action
    result = logits["op"].softmax(0)[op]
    if SPEC.ops[op] == "GROW":
        slots = logits["slot"][op] if logits["slot"].dim() > 1 else logits["slot"]
        result = result * slots.softmax(0)[slot] * logits["what"].softmax(0)[what]
    return result


def true_gradient(each: bool = False) -> dict[str, Tensor]:
    """Return the gradient of the expected reward."""
    logits = {name: row.detach().clone().requires_grad_() for name, row in Table(each).logits.items()}
    expected = torch.stack([probability(logits, action) * reward for action, reward in REWARD.items()]).sum()
    return dict(zip(logits, torch.autograd.grad(expected, list(logits.values())), strict=True))


def exact_values() -> Tensor:
    """Return Q(s, op) = E[R | op]."""
    totals, times = torch.zeros(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
    for action, count in TIMES.items():
        totals[action[0]] += count * REWARD[action]
        times[action[0]] += count
    return totals / times


def trained(baseline: str, quality: float, loss: FactoredPpo, each: bool = False, **config: Any) -> Trainer:
    """Return a trainer after one update in which the critic said `quality` times the exact Q(s, op)."""
    critic = OpConditionedCritic(OpConditionedConfig(baseline=baseline), context()).double()
    with torch.no_grad():
        # A hidden unit per operation that passes its one-hot input on makes Q a table.
        critic.hidden.weight.zero_()
        critic.hidden.weight[:3, HIDDEN:] = torch.eye(3, dtype=torch.float64)
        critic.output.weight.zero_()
        critic.output.weight[0, :3] = quality * exact_values()
    policy, config = Scripted(Table(each), critic, SPEC), {"normalise_returns": False, **config}
    trainer = make(Paid(), loss, masks=Legal(), policy=policy, lr=0.0, update_epochs=1, **config)
    train(trainer, 1)
    return trainer


def measured(baseline: str, quality: float, each: bool = False, **options: Any) -> dict[str, Tensor]:
    """Return the exact expectation of the policy gradient of one update, in units of reward."""
    loss = ppo_loss(entropy=0.0, value_coefficient=0.0, **options)
    trainer = trained(baseline, quality, loss, each, max_grad_norm=0.0)
    _, scale = standardise(trainer.rollout.advantages, trainer.rollout.valid, trainer.normaliser.spread)
    logits = trainer.policy.network.logits
    return {name: -scale * row.grad for name, row in logits.items()}


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("loss", [{}, {"ratio_mode": "joint"}, {"child_baseline": 0.3}, {"child_baseline": 1.0}])
@pytest.mark.parametrize(("quality", "each"), [(0.0, False), (1.0, True), (-3.0, False)])
def test_the_expected_baseline_gives_the_true_gradient_whatever_the_critic_says(
    loss: Any, quality: float, each: bool
) -> None:
    """A baseline that does not depend on the action leaves the expectation alone (Williams 1992)."""
    gradients = measured("expected", quality, each, **loss)
    for name, gradient in true_gradient(each).items():
        close(gradients[name], gradient)


@pytest.mark.parametrize("ratio_mode", ["per_head", "joint"])
@pytest.mark.parametrize("quality", [0.5, 0.9, 1.0])
def test_the_sampled_baseline_starves_the_operation_head_and_nobody_else(ratio_mode: str, quality: float) -> None:
    """A baseline with the operation in it takes Σ ∇π(op)·Q̂(op) away: 0.5, 0.1 and nothing of the signal are left.

    The heads below it keep theirs (Weber et al. 2019, arXiv:1901.01761: a baseline may know what an action does not
    influence).
    """
    gradients, true = measured("sampled", quality, ratio_mode=ratio_mode), true_gradient()
    close(gradients["op"], (1 - quality) * true["op"])
    for name in ("slot", "what"):
        close(gradients[name], true[name])

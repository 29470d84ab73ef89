"""What the critics compute, and what each baseline leaves of the operation's gradient."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from esper_core import ActionSpec, Head, SlotConfig, StateSpec
from esper_core.contracts.errors import IncompatiblePlan
from esper_core.contracts.protocols import BuildContext
from esper_op_conditioned_critic.config import OpConditionedConfig, StateValueConfig
from esper_op_conditioned_critic.op_conditioned import OpConditionedCritic
from esper_op_conditioned_critic.state_value import StateValueCritic

OPS = 4
ACTIONS = ActionSpec((Head("op", tuple("abcd")), Head("slot", ("x", "y"), ops=("b", "c"))), root="op", slot="slot")


def context(latent_dim: int = 16, actions: ActionSpec = ACTIONS) -> BuildContext:
    slots = SlotConfig.for_grid(1, 2)
    return BuildContext(slots, actions, StateSpec(()), None, latent_dim, 0.99, 3, 0, "cpu", torch.float64)


def op_conditioned(baseline: str = "expected", latent_dim: int = 16) -> OpConditionedCritic:
    torch.manual_seed(0)
    return OpConditionedCritic(OpConditionedConfig(baseline=baseline), context(latent_dim)).double()


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    latent = torch.randn(3, 5, 16, generator=generator, dtype=torch.float64)
    logits = torch.randn(3, 5, OPS, generator=generator, dtype=torch.float64)
    logits[..., 3] = -torch.inf
    return latent, logits.softmax(-1), torch.randint(3, (3, 5), generator=generator)


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("name", ["op-conditioned-critic", "state-value"])
def test_they_pass_every_check_of_their_kind(conforms: Callable[[str], None], name: str) -> None:
    conforms(f"critic/{name}")


def test_values_of_all_operations_are_those_of_one_hot_inputs() -> None:
    critic, (latent, probs, op) = op_conditioned(), inputs()
    by_op = critic(latent, probs, op).by_op
    assert by_op is not None and by_op.shape == (3, 5, OPS) and float(by_op.detach().abs().max()) < 0.5
    for index in range(OPS):
        one_hot = nn.functional.one_hot(torch.full((3, 5), index), OPS).double()
        hidden = critic.hidden(torch.cat([latent, one_hot], dim=-1)).relu()
        close(by_op[..., index], critic.output(hidden))


def test_the_expected_baseline_is_the_mean_under_the_policy_and_ignores_illegal_operations() -> None:
    critic, (latent, probs, op) = op_conditioned(), inputs()
    values = critic(latent, probs, op)
    close(values.value, torch.einsum("eto,eto->et", probs, values.by_op))
    close(critic(latent, probs, (op + 1) % 3).value, values.value)
    sampled = op_conditioned("sampled")(latent, probs, op)
    assert torch.equal(sampled.value, sampled.q_taken)
    with torch.no_grad():
        critic.hidden.weight[:, 16 + 3] += 100
    close(critic(latent, probs, op).value, values.value)


def test_state_value_does_not_look_at_the_operation() -> None:
    critic, (latent, probs, op) = StateValueCritic(StateValueConfig(), context()).double(), inputs()
    values = critic(latent, probs, op)
    assert torch.equal(values.value, values.q_taken) and values.by_op is None
    assert torch.equal(critic(latent, None, None).value, values.value)
    close(values.value, critic.output(critic.hidden(latent).relu()))
    assert not torch.allclose(critic(latent + 1, None, None).value, values.value)


def test_parameters() -> None:
    actions = ActionSpec((Head("op", tuple(map(str, range(6)))),), root="op")
    critics = (
        OpConditionedCritic(OpConditionedConfig(), context(512, actions)),
        StateValueCritic(StateValueConfig(), context(128)),
    )
    assert [sum(p.numel() for p in critic.parameters()) for critic in critics] == [133_121, 8_321]


def test_without_an_operation_head_the_plan_is_refused() -> None:
    actions = ActionSpec((Head("move", ("left", "right")),))
    with pytest.raises(IncompatiblePlan, match="--critic state-value"):
        OpConditionedCritic(OpConditionedConfig(), context(actions=actions))
    latent = inputs()[0]
    assert StateValueCritic(StateValueConfig(), context(actions=actions)).double()(
        latent, None, None
    ).q_taken.shape == (3, 5)


@pytest.mark.parametrize("quality", [0.0, 0.5, 1.0])
def test_the_sampled_baseline_takes_as_much_of_the_operations_gradient_as_the_critic_is_good(quality: float) -> None:
    """The expected one takes nothing. One step, by enumeration, with a critic that says `quality` times the exact Q."""
    logits = torch.tensor([0.3, -0.2, 0.5, 0.0], dtype=torch.float64, requires_grad=True)
    reward = torch.tensor([1.0, 0.0, 2.0, -1.0], dtype=torch.float64)
    probs, op = logits.softmax(-1), torch.arange(OPS)
    (true,) = torch.autograd.grad((probs * reward).sum(), logits, retain_graph=True)
    for baseline, kept in (("expected", 1), ("sampled", 1 - quality)):
        critic = op_conditioned(baseline, latent_dim=8)
        with torch.no_grad():
            # A hidden unit per operation that passes its one-hot input on makes Q a table.
            critic.hidden.weight.zero_()
            critic.hidden.weight[:OPS, 8:] = torch.eye(OPS, dtype=torch.float64)
            critic.output.weight[0, :OPS] = quality * reward
            latent = torch.zeros(OPS, 1, 8, dtype=torch.float64)
            advantage = reward - critic(latent, probs.expand(OPS, 1, OPS), op[:, None]).value[:, 0]
        surrogate = (probs.detach() * advantage * logits.log_softmax(-1)).sum()
        (measured,) = torch.autograd.grad(surrogate, logits)
        close(measured, kept * true)

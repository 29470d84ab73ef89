"""Policy = network + critic + actions: acting and evaluating are one path."""

import pytest
import torch
from torch import Tensor

from esper_core.contracts.errors import PluginError
from esper_core.contracts.protocols import Features, Values
from esper_core.contracts.tensors import mapped
from esper_core.policy.distribution import FactoredDistribution
from esper_core.policy.policy import Policy
from esper_testing.states import random_masks
from tests.learning.conftest import SPEC, Net, Value


@pytest.fixture
def policy():
    torch.manual_seed(0)
    return Policy(Net(), Value(), SPEC)


def inputs(envs=3, steps=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    features = Features(
        torch.randn(envs, steps, 3, generator=generator),
        {"kind": torch.randint(-1, 3, (envs, steps, 2), generator=generator)},
    )
    return features, random_masks(SPEC, (envs, steps), generator)


def at(value, t):
    return mapped(value, lambda tensor: tensor[:, t])


def act_through(policy, features, masks):
    generator, state, outputs = torch.Generator().manual_seed(1), None, []
    for t in range(features.obs.shape[1]):
        outputs.append(policy.get_action(at(features, t), at(masks, t), state, generator=generator))
        state = outputs[-1].state
    return outputs


def test_acting_step_by_step_equals_evaluating_the_sequence(policy):
    features, masks = inputs()
    outputs = act_through(policy, features, masks)
    actions = {name: torch.stack([o.actions[name] for o in outputs], 1) for name in SPEC.names}
    evaluation = policy.evaluate_actions(features, masks, None, actions)
    for name in SPEC.names:
        acted = torch.stack([o.log_prob[name] for o in outputs], 1)
        torch.testing.assert_close(evaluation.log_prob[name], acted, atol=1e-5, rtol=1e-5)
    for field in ("value", "q_taken", "by_op"):
        acted = torch.stack([getattr(o.values, field) for o in outputs], 1)
        torch.testing.assert_close(getattr(evaluation.values, field), acted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(evaluation.state.h, outputs[-1].state.h, atol=1e-5, rtol=1e-5)


def test_the_recurrent_state_reaches_the_actions(policy):
    features, masks = inputs(steps=1)
    now = (at(features, 0), at(masks, 0))
    fresh = policy.get_action(*now, None, generator=torch.Generator().manual_seed(0))
    later = policy.get_action(*now, fresh.state, generator=torch.Generator().manual_seed(0))
    reset = policy.get_action(
        *now, fresh.state, generator=torch.Generator().manual_seed(0), episode_start=torch.ones(3, dtype=torch.bool)
    )
    assert not torch.equal(fresh.values.value, later.values.value)
    assert torch.equal(fresh.values.value, reset.values.value)


def test_forward_returns_masked_logits(policy):
    features, masks = inputs()
    output = policy(features, masks)
    lowest = torch.finfo(torch.float32).min
    for name in ("op", "what"):
        assert torch.equal(output.logits[name] == lowest, ~masks.heads[name])
        assert bool((output.raw_logits[name] > lowest).all())
    legal = masks.slot_given_op & masks.heads["op"][..., None]
    assert torch.equal(output.logits["slot"] == lowest, ~legal.any(2))
    each = {**output.raw_logits, "slot": torch.zeros(*legal.shape)}
    assert torch.equal(FactoredDistribution(SPEC, each, masks).masked_logits()["slot"] == lowest, ~legal)


def test_the_value_is_that_of_the_operation_taken(policy):
    features, masks = inputs()
    actions = {head.name: torch.full((3, 7), head.neutral) for head in SPEC.heads}
    actions["op"] = torch.full((3, 7), 2)
    values = policy.evaluate_actions(features, masks, None, actions).values
    assert torch.equal(values.q_taken, values.by_op[..., 2])
    greedy = policy(features, masks)
    best = greedy.logits["op"].argmax(-1)
    assert torch.equal(greedy.values.q_taken, greedy.values.by_op.gather(-1, best[..., None])[..., 0])


def test_a_step_with_one_legal_action_is_forced_and_a_choice_of_operation_is_none(policy):
    features, masks = inputs(envs=1, steps=2)
    for mask in masks.heads.values():
        mask[:] = False
        mask[..., 0] = True
    masks.slot_given_op[:] = False
    masks.heads["op"][0, 1, 1] = True
    masks.slot_given_op[0, 1, 1, 0] = True
    actions = {head.name: torch.full((1, 2), head.neutral) for head in SPEC.heads}
    evaluation = policy.evaluate_actions(features, masks, None, actions)
    assert evaluation.forced.tolist() == [[True, False]]
    assert evaluation.choice["op"].tolist() == [[False, True]]


@pytest.mark.parametrize("field", ["q_taken", "value"])
def test_regressing_values_moves_no_head(policy, field):
    features, masks = inputs()
    actions = {head.name: torch.full((3, 7), head.neutral) for head in SPEC.heads}
    getattr(policy.evaluate_actions(features, masks, None, actions).values, field).sum().backward()
    moved = {name for name, p in policy.named_parameters() if p.grad is not None and bool((p.grad != 0).any())}
    assert {"critic.layer.weight", "network.lstm.weight_ih_l0"} <= moved
    assert not [name for name in moved if "heads" in name]


def test_the_critic_gets_detached_probabilities_of_legal_operations_and_the_operation_taken() -> None:
    class Watching(Value):
        def forward(self, latent: Tensor, op_probs: Tensor | None, op: Tensor | None) -> Values:
            seen.append((latent, op_probs, op))
            return super().forward(latent, op_probs, op)

    seen: list[tuple[Tensor, Tensor | None, Tensor | None]] = []
    torch.manual_seed(0)
    policy, (features, masks) = Policy(Net(), Watching(), SPEC), inputs()
    actions = {head.name: torch.full((3, 7), head.neutral) for head in SPEC.heads} | {"op": torch.ones(3, 7).long()}
    policy.evaluate_actions(features, masks, None, actions)
    latent, op_probs, op = seen[-1]
    assert op_probs is not None and op is not None
    assert latent.requires_grad and not op_probs.requires_grad
    assert bool((op == 1).all())
    legal = masks.heads["op"]
    assert bool((op_probs[~legal] == 0).all()) and bool((op_probs[legal] > 0).all())
    torch.testing.assert_close(op_probs.sum(-1), torch.ones(3, 7))

    acted = policy.get_action(at(features, 0), at(masks, 0), generator=torch.Generator().manual_seed(0))
    assert len(seen) == 1, "the critic is not asked before its values are"
    assert acted.values.q_taken.shape == (3,)
    used = seen[-1][2]
    assert used is not None and torch.equal(used[:, 0], acted.actions["op"]), "the operation is drawn exactly once"


def test_acting_without_a_legal_action_is_refused(policy):
    features, masks = inputs(steps=1)
    masks.heads["op"][2] = False
    with pytest.raises(PluginError, match="'op' has no legal entry in environment 2"):
        policy.get_action(at(features, 0), at(masks, 0))

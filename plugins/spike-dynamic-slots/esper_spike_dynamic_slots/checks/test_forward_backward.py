"""Forward and backward: values come out for every step, illegal choices are masked, gradients arrive everywhere."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from esper_core.policy.policy import Evaluation
from esper_spike_dynamic_slots.fixtures import Satisfies
from esper_testing.case import ENVS, STEPS, Case, trainable
from esper_testing.conformance import critic, network

CATEGORY = "forward/backward"


def test_the_forward_pass_fits_and_is_finite(satisfies: Satisfies) -> None:
    """Outputs are finite even for extreme observations, and the critic's values are `[E, T]`."""
    satisfies(network.finite_logits)
    satisfies(critic.shapes)


def test_masked_choices_have_no_probability(case: Case) -> None:
    """Where something is legal, what is not has probability exactly 0."""
    masks = case.masks(seed=1)
    output = case.policy(case.features(), masks)
    for name, logits in output.logits.items():
        mask = masks.heads[name]
        if logits.dim() > mask.dim():  # of slots, given each operation
            assert masks.slot_given_op is not None
            mask = masks.slot_given_op
        probabilities = torch.softmax(logits, -1)[mask.any(-1)]
        illegal = probabilities[~mask[mask.any(-1)]]
        assert (illegal == 0).all(), f"head '{name}' gives an illegal choice probability {illegal.max().item():.3g}"
        assert torch.allclose(probabilities.sum(-1), torch.ones(len(probabilities))), f"head '{name}' does not sum to 1"


def test_every_output_of_the_slot_head_gets_a_gradient(case: Case, slot_head: str) -> None:
    """The policy's gradient reaches each of the N slot logits, and the network through the slot head alone."""
    evaluation = _evaluate(case)
    logits = evaluation.logits[slot_head]
    assert logits.requires_grad, "no gradient reaches the network through the slot logits"
    logits.retain_grad()
    _policy_term(case, evaluation, [slot_head]).backward()
    assert logits.grad is not None, "no gradient reaches the slot logits"
    columns = logits.grad.abs().flatten(0, -2).sum(0)
    silent = (columns == 0).nonzero().flatten().tolist()
    assert not silent, f"slots {silent} of {case.num_slots} get no gradient"
    reached = [key for key, p in trainable(case.policy).items() if p.grad is not None and p.grad.any()]
    assert reached, "the slot head's gradient stops before any parameter"


def test_every_parameter_gets_a_gradient(satisfies: Satisfies) -> None:
    """Logits and latent together reach every parameter of the network, the value every parameter of the critic."""
    satisfies(network.gradient)
    satisfies(critic.gradient)


def test_every_slot_of_the_observation_gets_a_gradient(case: Case) -> None:
    """What is seen of each slot can influence the policy."""
    if not case.schema.per_slot:
        pytest.skip("the features have no slot blocks")
    features = case.features()
    obs = features.obs.requires_grad_()
    evaluation = _evaluate(case, obs)
    (_policy_term(case, evaluation, case.description.actions.names) + _value_term(evaluation)).backward()
    assert obs.grad is not None, "no gradient reaches the observation"
    silent = [s for s in range(case.num_slots) if not obs.grad[..., case.slot_columns(s)].any()]
    assert not silent, f"slots {silent} of {case.num_slots} get no gradient"


def _evaluate(case: Case, obs: Tensor | None = None) -> Evaluation:
    """Evaluate random actions, everything legal, gradients cleared."""
    case.policy.zero_grad(set_to_none=True)
    features = case.features()
    if obs is not None:
        features = features._replace(obs=obs)
    return case.policy.evaluate_actions(features, case.masks(legal=1.0), None, case.actions())


def _policy_term(case: Case, evaluation: Evaluation, heads: list[str] | tuple[str, ...]) -> Tensor:
    """Return a policy-gradient loss with random advantages.

    A head with a single entry has no choice, so its log-probability has no gradient; its logits enter as they are.
    """
    advantages = torch.randn(ENVS, STEPS, generator=torch.Generator().manual_seed(0))
    terms = []
    for name in heads:
        alone = case.description.actions.head(name).size == 1
        scores = evaluation.logits[name].flatten(2).sum(-1) if alone else evaluation.log_prob[name]
        terms.append(-(advantages * scores).mean())
    return torch.stack(terms).sum()


def _value_term(evaluation: Evaluation) -> Tensor:
    returns = torch.randn(ENVS, STEPS, generator=torch.Generator().manual_seed(1))
    return (evaluation.values.q_taken - returns).square().mean()

"""What each term of a loss reaches, and what a policy refuses and hands on."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from esper_core.contracts.errors import PluginError
from esper_core.contracts.protocols import Features, Masks, Values
from esper_core.policy.policy import Evaluation, Policy
from esper_testing.states import random_masks
from tests.learning.conftest import SPEC, Net, Value

E, T = 6, 9


def inputs() -> tuple[Features, Masks]:
    generator = torch.Generator().manual_seed(0)
    kinds = torch.randint(-1, 3, (E, T, 2), generator=generator)
    return Features(torch.randn(E, T, 3, generator=generator), {"kind": kinds}), random_masks(
        SPEC, (E, T), generator, legal=0.8
    )


def evaluate(policy: Policy, op: int | None = None) -> Evaluation:
    features, masks = inputs()
    with torch.no_grad():
        output = policy(features, masks)
    actions = {name: logits.argmax(-1) for name, logits in output.logits.items()}
    if op is not None:
        actions["op"] = torch.full((E, T), op)
    return policy.evaluate_actions(features, masks, None, actions)


def make(critic: Value | None = None) -> Policy:
    torch.manual_seed(0)
    return Policy(Net(), critic or Value(), SPEC)


def reached(policy: Policy, term: Tensor) -> set[str]:
    names = [name for name, _ in policy.named_parameters()]
    gradients = torch.autograd.grad(term, list(policy.parameters()), allow_unused=True)
    return {
        name.removesuffix(".weight").removesuffix(".bias")
        for name, gradient in zip(names, gradients, strict=True)
        if gradient is not None and bool((gradient != 0).any())
    }


TRUNK = {"network.embed", *(f"network.lstm.{n}_l0" for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))}


@pytest.mark.parametrize("head", SPEC.names)
def test_log_prob_and_entropy_of_a_head_reach_the_trunk_and_this_head(head: str) -> None:
    policy = make()
    # `what` matters to GROW only.
    assert reached(policy, evaluate(policy, op=1).log_prob[head].sum()) == {*TRUNK, f"network.heads.{head}"}
    assert reached(policy, evaluate(policy).entropy[head].sum()) == {*TRUNK, f"network.heads.{head}"}


def test_a_head_that_does_not_matter_reaches_nothing() -> None:
    policy = make()
    assert reached(policy, evaluate(policy, op=2).log_prob["what"].sum()) == set()
    assert reached(policy, evaluate(policy, op=0).log_prob["slot"].sum()) == set()


@pytest.mark.parametrize("field", ["q_taken", "value"])
def test_values_reach_the_trunk_and_the_critic_but_no_head(field: str) -> None:
    policy = make()
    assert reached(policy, getattr(evaluate(policy).values, field).sum()) == {*TRUNK, "critic.layer"}


def test_the_critic_gets_detached_probabilities_of_legal_operations_and_the_operation_taken() -> None:
    class Watching(Value):
        def forward(self, latent: Tensor, op_probs: Tensor | None, op: Tensor | None) -> Values:
            seen.append((latent, op_probs, op))
            return super().forward(latent, op_probs, op)

    seen: list[tuple[Tensor, Tensor | None, Tensor | None]] = []
    policy = make(Watching())
    evaluate(policy, op=1)
    latent, op_probs, op = seen[-1]
    assert op_probs is not None and op is not None
    assert latent.requires_grad and not op_probs.requires_grad
    assert bool((op == 1).all())
    legal = inputs()[1].heads["op"]
    assert bool((op_probs[~legal] == 0).all()) and bool((op_probs[legal] > 0).all())
    torch.testing.assert_close(op_probs.sum(-1), torch.ones(E, T))

    features, masks = inputs()
    acted = policy.get_action(
        Features(features.obs[:, 0], {"kind": features.indices["kind"][:, 0]}),
        Masks({n: m[:, 0] for n, m in masks.heads.items()}, masks.slot_given_op[:, 0]),
        generator=torch.Generator().manual_seed(0),
    )
    used = seen[-1][2]
    assert used is not None and torch.equal(used[:, 0], acted.actions["op"]), "the operation is drawn exactly once"


def test_acting_without_a_legal_action_is_refused() -> None:
    features, masks = inputs()
    heads = {name: mask[:, 0].clone() for name, mask in masks.heads.items()}
    heads["op"][2] = False
    with pytest.raises(PluginError, match="'op' has no legal entry in environment 2"):
        make().get_action(
            Features(features.obs[:, 0], {"kind": features.indices["kind"][:, 0]}),
            Masks(heads, masks.slot_given_op[:, 0]),
        )

"""bf16: networks compute in it, and nothing that follows them does."""

from __future__ import annotations

import pytest
import torch

from esper_core.contracts.precision import without_autocast
from esper_core.policy.policy import Policy
from tests.learning.conftest import SPEC, Net, Value
from tests.policy.test_policy import at, inputs

E, T = 3, 7


def make(precision: str) -> Policy:
    torch.manual_seed(0)
    return Policy(Net(), Value(), SPEC, precision)


def act_and_evaluate(policy: Policy):
    features, masks = inputs()
    acted = policy.get_action(at(features, 0), at(masks, 0), generator=torch.Generator().manual_seed(0))
    actions = {name: value.unsqueeze(1).expand(E, T).contiguous() for name, value in acted.actions.items()}
    actions["op"][:] = torch.arange(E * T).view(E, T) % 3
    return acted, policy.evaluate_actions(features, masks, None, actions)


def test_what_leaves_the_policy_is_float32() -> None:
    acted, evaluation = act_and_evaluate(make("bf16"))
    distribution = evaluation.distribution
    seen = [
        *(tensor for part in (acted, evaluation) for tensor in (*part.log_prob.values(), *part.values, *part.state)),
        *evaluation.entropy.values(),
        *evaluation.logits.values(),
        *(distribution.log_probs(name) for name in SPEC.names),
        distribution.op_probs(),
        distribution.kl(distribution),
    ]
    assert {tensor.dtype for tensor in seen} == {torch.float32}


def test_the_networks_compute_in_bf16_and_only_they(monkeypatch: pytest.MonkeyPatch) -> None:
    policy, seen = make("bf16"), {}

    def look(name):
        def hook(module, args, output):
            seen[name] = output.dtype

        return hook

    for name in ("network.heads.op", "critic.layer"):
        policy.get_submodule(name).register_forward_hook(look(name))
    softmax = torch.log_softmax

    def watched(*args, **kwargs):
        seen["softmax"] = torch.is_autocast_enabled("cpu")
        return softmax(*args, **kwargs)

    monkeypatch.setattr(torch, "log_softmax", watched)
    act_and_evaluate(policy)
    assert seen == {"network.heads.op": torch.bfloat16, "critic.layer": torch.bfloat16, "softmax": False}


def test_float32_enters_no_autocast_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: pytest.fail("a region was entered"))
    act_and_evaluate(make("float32"))
    with without_autocast("cpu"):
        pass


def test_no_cast_of_a_weight_is_kept_within_a_region_around_several_passes() -> None:
    """Releases of torch differ in when a kept cast has no gradient; one that is out of date they all keep."""
    policy = make("bf16")
    with torch.autocast("cpu", torch.bfloat16):
        before = act_and_evaluate(policy)[1]
        with torch.no_grad():
            for parameter in policy.parameters():
                parameter.mul_(-2)
        after = act_and_evaluate(policy)[1]
    fresh = act_and_evaluate(policy)[1]
    assert not torch.equal(before.logits["op"], fresh.logits["op"])
    assert torch.equal(after.logits["op"], fresh.logits["op"])
    assert torch.equal(after.values.by_op, fresh.values.by_op)

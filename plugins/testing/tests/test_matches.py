"""The reference environment of several agents: trained in it from end to end, and gone on with in the middle."""

from __future__ import annotations

from typing import Any

import torch

from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.learning.session import open_session
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_testing.reference.plugin import REFERENCES, with_references

UPDATES = 5


def index() -> Index:
    return with_references(load_index(only=()))


def session() -> Any:
    """A run whose rollouts end in the middle of matches."""
    uses = {**REFERENCES, "environment": "esper-reference:match", "masks": "esper-reference:match"}
    request = PlanRequest(policy=REFERENCES["network"], slots="1", uses=uses, envs=4, device="cpu", seed=3)
    return open_session(make_plan(request, index()), index())


def test_a_policy_is_trained_and_goes_on_exactly_in_the_middle_of_matches() -> None:
    straight, begun, other = session(), session(), session()
    expected = list(straight.run(UPDATES))
    done = list(begun.run(UPDATES - 2))
    now = begun.environment._now
    assert now["running"].any() and (now["time"][now["running"]] > 0).any(), "the rollout ended between matches"
    other.load_state(begun.state())
    done += list(other.run(UPDATES))
    assert [update.metrics for update in done] == [update.metrics for update in expected]
    for name, weight in straight.policy.state_dict().items():
        assert torch.equal(other.policy.state_dict()[name], weight), name
    played = sum(event["type"] == "episode" for update in expected for event in update.events)
    assert played > 4 and all(update.environment_steps > 0 for update in expected)

"""One policy that is trained with several numbers of slots, drawn for each update."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from esper_core.composition.plan import Plan, PlanRequest, make_plan
from esper_core.contracts.errors import IncompatiblePlan, PluginError, SlotIdError
from esper_core.learning.relay import Relay, draw
from esper_core.learning.session import open_training
from esper_core.learning.state import TrainerState
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_core.runs.checkpoint import load_checkpoint, save_checkpoint
from esper_core.runs.directory import RunDirectory
from esper_testing.reference.learned import AnySlotsNetwork
from esper_testing.reference.plugin import DISTRIBUTION, REFERENCES, with_references

NETWORK = f"{DISTRIBUTION}:any-slots"


@pytest.fixture(scope="module")
def index() -> Index:
    return with_references(load_index(only=()))


@pytest.fixture(scope="module")
def plan_for(index: Index) -> Callable[..., Plan]:
    def make(slots: str = "1,2,4", network: str = NETWORK, **said: Any) -> Plan:
        uses = {**REFERENCES, "network": network, **said.pop("uses", {})}
        known = {"policy": network, "slots": slots, "envs": 3, "updates": 7, "device": "cpu", "seed": 5}
        return make_plan(PlanRequest(uses=uses, **{**known, **said}), index)

    return make


def opened(plan: Plan, index: Index) -> Relay:
    found = open_training(plan, index)
    assert isinstance(found, Relay)
    return found


def same(one: TrainerState, other: TrainerState) -> bool:
    tensors = all(
        torch.equal(value, other.tensors[group][name])
        for group, table in one.tensors.items()
        for name, value in table.items()
    )
    return tensors and one.counters == other.counters


def test_each_number_comes_once_in_every_round_in_an_order_of_its_own() -> None:
    counts = (1, 2, 3, 4, 5)
    drawn = [draw(counts, 3, update) for update in range(1, 1001)]
    rounds = [tuple(drawn[first : first + 5]) for first in range(0, 1000, 5)]
    assert all(sorted(order) == list(counts) for order in rounds) and len(set(rounds)) > 80
    assert {number for number, n in Counter(order[0] for order in rounds).items() if n > 20} == set(counts)
    assert drawn != [draw(counts, 4, update) for update in range(1, 1001)]


def test_a_stopped_run_goes_on_exactly(plan_for: Callable[..., Plan], index: Index, tmp_path: Path) -> None:
    plan, run = plan_for(), RunDirectory.create(tmp_path, plan_for(), index)
    assert "-s1to4-" in run.name
    whole = opened(plan, index)
    seen = []
    for update in whole.run(plan.updates):
        save_checkpoint(run, whole, update)
        seen.append((update.metrics, update.score, update.events))
    assert [metrics["slots"] for metrics, _, _ in seen] == [draw(plan.drawn, 5, update) for update in range(1, 8)]
    for at in (5, 6):  # one whose number was drawn before it was built here, and one of another
        again = opened(plan, index)
        load_checkpoint(run.checkpoints / f"{at:06d}", again, plan, index)
        assert [(u.metrics, u.score, u.events) for u in again.run(plan.updates)] == seen[at:]
        assert same(again.state(), whole.state())


def test_no_number_is_best_for_being_the_easiest(plan_for: Callable[..., Plan], index: Index) -> None:
    updates = list(opened(plan_for(slots="1,4", updates=4), index).run(4))
    assert updates[0].score is None, "the other number was not played yet"
    returns = [update.metrics["return"] for update in updates]
    assert updates[3].score == pytest.approx((returns[2] + returns[3]) / 2)


def test_what_is_learned_with_one_number_is_known_with_the_next(plan_for: Callable[..., Plan], index: Index) -> None:
    relay, steps = opened(plan_for(slots="2,3", updates=3), index), []
    for _ in relay.run(3):
        moments = relay.state().tensors["optimiser"]
        steps.append(next(float(value) for name, value in moments.items() if name.startswith("step.")))
    assert steps == [steps[0], 2 * steps[0], 3 * steps[0]], "one optimiser that goes on"
    assert relay.updates_done == 3 and relay.state().counters["environment_steps"] == 3 * 3 * 6


def test_weights_that_do_depend_on_the_number_name_their_network(
    plan_for: Callable[..., Plan], index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    init = AnySlotsNetwork.__init__

    def lying(self: AnySlotsNetwork, config: None, context: Any) -> None:
        init(self, config, context)
        self.more = torch.nn.Parameter(torch.zeros(context.slots.num_slots))

    monkeypatch.setattr(AnySlotsNetwork, "__init__", lying)
    with pytest.raises(PluginError, match=r"any-slots.* breaks its contract.* slots does not fit") as caught:
        list(opened(plan_for(slots="2,3", updates=2), index).run(2))
    assert "more" in caught.value.message


def test_what_several_numbers_cannot_be_drawn_for(plan_for: Callable[..., Plan]) -> None:
    with pytest.raises(IncompatiblePlan, match="weights for one number only") as caught:
        plan_for(network=REFERENCES["network"])
    assert "any-slots" in caught.value.hint and "--slots 4" in caught.value.hint
    with pytest.raises(IncompatiblePlan, match="nothing has slots"):
        plan_for(uses={"environment": f"{DISTRIBUTION}:match", "masks": f"{DISTRIBUTION}:match"})
    with pytest.raises(SlotIdError, match="2 slots twice"):
        plan_for(slots="2,3,2")
    with pytest.raises(SlotIdError, match="several numbers"):
        plan_for(slots="2,r0c0")
    with pytest.raises(SlotIdError, match="at most 64"):
        plan_for(slots="2,65")


def test_a_plan_is_read_back_with_its_numbers(plan_for: Callable[..., Plan]) -> None:
    plan = plan_for(slots="4,1,2")
    assert plan.drawn == (1, 2, 4) and len(plan.slots) == 4 and Plan.from_json(plan.to_json()) == plan
    assert plan.at(plan.slot_config).drawn == ()

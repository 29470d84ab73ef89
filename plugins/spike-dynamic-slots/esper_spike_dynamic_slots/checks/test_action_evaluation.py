"""Action evaluation: log-probabilities and values of stored actions are those of acting."""

from __future__ import annotations

import torch

from esper_core.policy.policy import Evaluation
from esper_spike_dynamic_slots.fixtures import Satisfies
from esper_testing.case import ENVS, STEPS, Case
from esper_testing.conformance import network
from esper_testing.conformance.tensors import TOLERANCE

CATEGORY = "action evaluation"


def test_acting_equals_evaluating(satisfies: Satisfies) -> None:
    """Step by step and over the sequence: the same log-probabilities, values and state."""
    satisfies(network.act_equals_evaluate)


def test_one_environment_alone_equals_its_row_of_a_batch(satisfies: Satisfies) -> None:
    """The first and the last environment, each by itself: the same outputs and state."""
    satisfies(network.batch_of_one)


def test_everything_has_one_number_per_step(case: Case) -> None:
    """Log-probabilities and entropies are finite, one per environment and step and head."""
    evaluation = _evaluate(case, case.actions())
    for what in ("log_prob", "entropy"):
        table = getattr(evaluation, what)
        assert table.keys() == set(case.description.actions.names), f"{what} has the heads {', '.join(table)}"
        for name, value in table.items():
            assert value.shape == (ENVS, STEPS), f"{what} of head '{name}' is {tuple(value.shape)}"
            assert torch.isfinite(value).all(), f"{what} of head '{name}' is not finite"


def test_the_probabilities_of_all_slots_sum_to_one(case: Case, slot_head: str) -> None:
    """Evaluate every slot in turn: N probabilities that sum to 1 where the slot matters."""
    actions, table = case.description.actions, case.actions()
    assert actions.root is not None
    columns = [
        _evaluate(case, {**table, slot_head: torch.full((ENVS, STEPS), slot)}).log_prob[slot_head]
        for slot in range(case.num_slots)
    ]
    matters = torch.tensor(actions.relevance(slot_head))[table[actions.root]]
    total = torch.stack(columns).exp().sum(0)[matters]
    off = (total - 1).abs().max().item()
    assert off < TOLERANCE, f"the probabilities of {case.num_slots} slots sum to 1 ± {off:.3g}"


@torch.no_grad()
def _evaluate(case: Case, actions: dict[str, torch.Tensor]) -> Evaluation:
    return case.policy.evaluate_actions(case.features(), case.masks(legal=1.0), None, actions)

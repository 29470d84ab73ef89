"""Action evaluation: what learning makes of a stored action is what acting made of it."""

from __future__ import annotations

import pytest
import torch

from esper_core.contracts.protocols import Features, Masks
from esper_core.policy.policy import ActionOutput, Evaluation
from esper_testing.case import ENVS, STEPS, Case

CATEGORY = "action evaluation"
TOLERANCE = 1e-4
"""Acting goes step by step and learning over whole sequences, which rounds differently."""


def test_log_probs_are_those_of_acting(case: Case) -> None:
    """Play step by step, evaluate the sequence: every head's log-probabilities agree."""
    acted, evaluation = _act_and_evaluate(case)
    for name, value in evaluation.log_prob.items():
        played = torch.stack([step.log_prob[name] for step in acted], 1)
        gap = (value - played).abs().max().item()
        assert gap < TOLERANCE, f"head '{name}': log-probabilities differ by {gap:.3g} between acting and evaluating"


def test_values_are_those_of_acting(case: Case) -> None:
    """The critic says the same about a step when acting and when learning."""
    acted, evaluation = _act_and_evaluate(case)
    for name in ("value", "q_taken"):
        value = getattr(evaluation.values, name)
        played = torch.stack([getattr(step.values, name) for step in acted], 1)
        gap = (value - played).abs().max().item()
        assert gap < TOLERANCE * max(1.0, value.abs().max().item()), f"values.{name} differ by {gap:.3g}"


def test_everything_has_one_number_per_step(case: Case) -> None:
    """Log-probabilities and entropies are finite, one per environment and step and head."""
    evaluation = _evaluate(case, case.actions())
    for what in ("log_prob", "entropy"):
        table = getattr(evaluation, what)
        assert table.keys() == set(case.description.actions.names), f"{what} has the heads {', '.join(table)}"
        for name, value in table.items():
            assert value.shape == (ENVS, STEPS), f"{what} of head '{name}' is {tuple(value.shape)}"
            assert torch.isfinite(value).all(), f"{what} of head '{name}' is not finite"


def test_the_probabilities_of_all_slots_sum_to_one(case: Case) -> None:
    """Evaluate every slot in turn: N probabilities that sum to 1 where the slot matters."""
    actions = case.description.actions
    if actions.slot is None or actions.root is None:
        pytest.skip("the actions have no slot head")
    table = case.actions()
    columns = [
        _evaluate(case, {**table, actions.slot: torch.full((ENVS, STEPS), slot)}).log_prob[actions.slot]
        for slot in range(case.num_slots)
    ]
    matters = torch.tensor(actions.relevance(actions.slot))[table[actions.root]]
    total = torch.stack(columns).exp().sum(0)[matters]
    off = (total - 1).abs().max().item()
    assert off < TOLERANCE, f"the probabilities of {case.num_slots} slots sum to 1 ± {off:.3g}"


@torch.no_grad()
def _evaluate(case: Case, actions: dict[str, torch.Tensor]) -> Evaluation:
    return case.policy.evaluate_actions(case.features(), case.masks(legal=1.0), None, actions)


@torch.no_grad()
def _act_and_evaluate(case: Case) -> tuple[list[ActionOutput], Evaluation]:
    features, masks = case.features(), case.masks(seed=1)
    given, generator = masks.slot_given_op, torch.Generator().manual_seed(0)
    acted: list[ActionOutput] = []
    for t in range(STEPS):
        seen = Features(features.obs[:, t], {name: value[:, t] for name, value in features.indices.items()})
        legal = Masks({name: m[:, t] for name, m in masks.heads.items()}, None if given is None else given[:, t])
        state = acted[-1].state if acted else case.policy.initial_state(ENVS)
        acted.append(case.policy.get_action(seen, legal, state, generator=generator))
    actions = {name: torch.stack([step.actions[name] for step in acted], 1) for name in acted[0].actions}
    return acted, case.policy.evaluate_actions(features, masks, None, actions)

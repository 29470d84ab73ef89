"""Mask integration: the plan's environment and masks follow N, and the one keeps what the others promise."""

from __future__ import annotations

import pytest
import torch

from esper_core.composition.plan import Plan
from esper_core.policy.distribution import FactoredDistribution
from esper_spike_dynamic_slots.played import Episode, Session

CATEGORY = "mask integration"


def test_the_state_follows_n(session: Session, esper_plan: Plan, num_slots: int) -> None:
    """A fresh state: every field has the sizes that the environment declares for N slots."""
    environment = session.environment
    name = esper_plan.component("environment").name
    state, _ = environment.reset(seed=0)
    for field in environment.state_spec.fields:
        declared = field.sizes(environment.num_envs, num_slots, len(environment.actions.ops))
        found = tuple(state[field.name].shape)
        assert found == declared, f"environment '{name}' publishes '{field.name}' of shape {found}, declared {declared}"


def test_masks_have_the_widths_of_the_heads(session: Session, num_slots: int) -> None:
    """A fresh state: one entry per label of every head, and one slot per slot for every operation."""
    environment, actions = session.environment, session.environment.actions
    state, _ = environment.reset(seed=0)
    masks = session.masks(state)
    assert masks.heads.keys() == set(actions.names), f"there are masks for {', '.join(masks.heads)}"
    for head in actions.heads:
        width = masks.heads[head.name].shape[-1]
        assert width == head.size, f"the mask of head '{head.name}' has {width} entries for {head.size} labels"
    if actions.slot is None:
        pytest.skip("the actions have no slot head")
    expected = (environment.num_envs, len(actions.ops), num_slots)
    given = masks.slot_given_op
    found = None if given is None else tuple(given.shape)
    assert found == expected, f"slot_given_op is {found}, not {expected}"


def test_every_slot_can_be_acted_on(episode: Episode, num_slots: int) -> None:
    """During an episode every slot is legal for some operation at some time."""
    given = episode.masks.slot_given_op
    if given is None:
        pytest.skip("the actions have no slot head")
    never = (~given.flatten(0, -2).any(0)).nonzero().flatten().tolist()
    assert not never, f"slots {never} of {num_slots} are never legal"


def test_what_is_legal_is_accepted(episode: Episode, session: Session) -> None:
    """An episode of random legal play is played to its end, and every observation in it is finite."""
    assert 1 <= episode.features.obs.shape[1] <= session.environment.horizon
    assert torch.isfinite(episode.features.obs).all(), "an observation is not finite"


def test_what_is_illegal_has_no_probability(episode: Episode, session: Session) -> None:
    """The policy, under the masks of a real episode, gives an illegal slot probability exactly 0."""
    actions, masks = session.environment.actions, episode.masks
    if actions.slot is None or masks.slot_given_op is None:
        pytest.skip("the actions have no slot head")
    with torch.no_grad():
        logits = session.trainer.policy(episode.features, masks).raw_logits
    given = FactoredDistribution(actions, logits, masks).log_probs(actions.slot).exp()
    rows = masks.slot_given_op.any(-1, keepdim=True).expand_as(given)
    illegal = given[rows & ~masks.slot_given_op]
    assert (illegal == 0).all(), f"an illegal slot has probability {illegal.max().item():.3g}"

"""Recurrent state: it persists, is reset where an episode starts, and belongs to one environment alone."""

from __future__ import annotations

import pytest
import torch

from esper_spike_dynamic_slots.fixtures import Satisfies
from esper_testing.case import ENVS, STEPS, Case
from esper_testing.conformance import network
from esper_testing.conformance.tensors import TOLERANCE, assert_same, cut

CATEGORY = "recurrent state"


def test_it_persists(satisfies: Satisfies, case: Case) -> None:
    """Learning reaches back from the last step to the first, and no step sees a later one."""
    start = case.network.initial_state(ENVS)
    end = case.network(case.features(), start, torch.zeros(ENVS, STEPS, dtype=torch.bool)).state
    if all(torch.equal(before, after) for before, after in zip(start, end, strict=True)):
        pytest.skip("the network remembers nothing: its state never changes")
    satisfies(network.memory)


@torch.no_grad()
def test_steps_in_a_row_are_a_sequence(case: Case) -> None:
    """Step by step, with the state passed on, the latents are those of the whole sequence."""
    features, state, latents = case.features(), case.network.initial_state(ENVS), []
    start = torch.zeros(ENVS, STEPS, dtype=torch.bool)
    whole = case.network(features, state, start).latent
    for t in range(STEPS):
        now = slice(t, t + 1)
        output = case.network(cut(features, slice(None), now), state, start[:, now])
        state = output.state
        latents.append(output.latent)
    assert_same(torch.cat(latents, 1), whole, "latents step by step and of the sequence", TOLERANCE)


def test_it_is_reset_where_an_episode_starts(satisfies: Satisfies) -> None:
    """One sequence with a start in it is two sequences."""
    satisfies(network.reset)


def test_rows_are_independent(satisfies: Satisfies) -> None:
    """What one environment sees changes neither output nor state of another."""
    satisfies(network.rows_independent)

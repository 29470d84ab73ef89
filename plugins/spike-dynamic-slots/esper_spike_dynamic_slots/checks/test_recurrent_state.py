"""Recurrent state: it persists, begins anew with an episode, and belongs to one environment alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from esper_core.contracts.protocols import Features, NetworkOutput
from esper_testing.case import ENVS, STEPS, Case

CATEGORY = "recurrent state"
TOLERANCE = 1e-4
"""Step by step and over a sequence the same sums round differently."""


def test_it_persists(case: Case) -> None:
    """What was seen at the first step changes what is said at the last."""
    _skip_without_memory(case)
    features = case.features()
    obs = features.obs.clone()
    obs[:, 0] += 1.0
    before, after = _run(case, features), _run(case, features._replace(obs=obs))
    moved = (before.latent[:, -1] - after.latent[:, -1]).abs().amax(-1)
    forgotten = (moved == 0).nonzero().flatten().tolist()
    assert not forgotten, f"environments {forgotten} have forgotten their first step at step {STEPS}"


def test_steps_in_a_row_are_a_sequence(case: Case) -> None:
    """Step by step, handing the state on, the network says what it says about the whole sequence."""
    features, state = case.features(), case.network.initial_state(ENVS)
    latents: list[Tensor] = []
    for t in range(STEPS):
        output = _run(case, _at(features, t, t + 1), state=state)
        state = output.state
        latents.append(output.latent)
    gap = (torch.cat(latents, 1) - _run(case, features).latent).abs().max().item()
    assert gap < TOLERANCE, f"step by step and as a sequence differ by {gap:.3g}"


def test_it_begins_anew_with_an_episode(case: Case) -> None:
    """Where an episode starts, what was seen before does not matter."""
    features = case.features()
    for start in range(1, STEPS):
        begin = torch.zeros(ENVS, STEPS, dtype=torch.bool)
        begin[:, start] = True
        carried = _run(case, features, episode_start=begin).latent[:, start:]
        fresh = _run(case, _at(features, start, STEPS)).latent
        gap = (carried - fresh).abs().max().item()
        assert gap < TOLERANCE, f"an episode that starts at step {start} remembers the one before, by {gap:.3g}"


def test_rows_are_independent(case: Case) -> None:
    """What one environment sees changes nothing for the others, in what is said and in what is remembered."""
    features = case.features()
    obs = features.obs.clone()
    obs[0] += 1.0
    before, after = _run(case, features), _run(case, features._replace(obs=obs))
    pairs = [("latent", before.latent[1:], after.latent[1:])]
    pairs += [
        (name, a[:, 1:], b[:, 1:]) for name, a, b in zip(before.state._fields, before.state, after.state, strict=True)
    ]
    for name, a, b in pairs:
        gap = (a - b).abs().max().item() if a.numel() else 0.0
        assert gap < TOLERANCE, f"'{name}' of an environment depends on another's observation, by {gap:.3g}"


def _skip_without_memory(case: Case) -> None:
    start, end = case.network.initial_state(ENVS), _run(case, case.features()).state
    if all(torch.equal(before, after) for before, after in zip(start, end, strict=True)):
        pytest.skip("the network remembers nothing: its state never changes")


def _at(features: Features, start: int, end: int) -> Features:
    return Features(features.obs[:, start:end], {name: value[:, start:end] for name, value in features.indices.items()})


@torch.no_grad()
def _run(case: Case, features: Features, *, state: object = None, episode_start: Tensor | None = None) -> NetworkOutput:
    if state is None:
        state = case.network.initial_state(ENVS)
    if episode_start is None:
        episode_start = torch.zeros(features.obs.shape[:2], dtype=torch.bool)
    return case.network(features, state, episode_start)

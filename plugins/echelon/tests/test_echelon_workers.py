"""Matches in processes: the same results, runs that go on in the middle of matches, and processes that are killed."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import esper_core as esper
from esper_core.composition.build import build_parts
from esper_core.composition.plan import Plan, describe_plan
from esper_core.contracts.errors import EsperError
from esper_core.contracts.plain import from_exact, to_exact
from esper_core.policy.drivers import PolicyDriver
from esper_core.policy.policy import Policy
from esper_core.registry.loading import load_index
from esper_echelon.matches.drivers import RandomDriver

Build = Callable[..., Any]

VARIED = ("packs=2", "packs_per_team_range=[1, 2]", "map_size_range=[30, 45]", "opponent=charge")


def results(environment: Any, steps: range) -> list[Any]:
    """Return everything that comes of random steps, in which some matches begin anew."""
    found: list[Any] = []
    for t in steps:
        generator = torch.Generator().manual_seed(t)
        act = 2 * torch.rand(environment.num_envs, 9, generator=generator) - 1
        state, *rest, info = environment.step({"act": act})
        found += [*(value.tolist() for value in (*state.values(), *rest)), info["events"]]
        if t % 10 == 9:
            mask = torch.zeros(environment.num_envs, dtype=torch.bool)
            mask[: 2 * environment._n] = True
            state, info = environment.reset(options={"reset_mask": mask.numpy()})
            found += [*(value.tolist() for value in state.values()), info["absent"].tolist(), info["curriculum"]]
    return found


def test_results_are_the_same_for_any_number_of_workers(build: Build) -> None:
    everything = []
    for workers in (0, 2):
        environment = build(*VARIED, f"workers={workers}", envs=3)
        environment.reset(seed=4)
        everything.append([*results(environment, range(24)), environment.outcomes()["margin"].tolist()])
    assert everything[0] == everything[1]


@pytest.mark.parametrize("workers", [0, 2])
def test_it_goes_on_in_the_middle_of_matches_as_if_it_had_never_stopped(build: Build, workers: int) -> None:
    schedule = 'schedule=["weapon_prob=0..1@9"]'
    environment, other = (build(*VARIED, schedule, f"workers={workers}", envs=3) for _ in range(2))
    environment.reset(seed=2)
    results(environment, range(24))
    other.load_state(from_exact(json.loads(json.dumps(to_exact(environment.state())))))
    assert results(other, range(24, 40)) == results(environment, range(24, 40))


def test_a_state_of_other_matches_is_refused(build: Build) -> None:
    state = build("workers=2", envs=3).state()
    with pytest.raises(ValueError, match="that of 3 matches, not of 2"):
        build(envs=2).load_state(state)


def test_a_state_goes_on_in_another_number_of_processes(build: Build) -> None:
    made = [build(*VARIED, f"workers={workers}", envs=3) for workers in (0, 2, 3)]
    for environment in made:
        environment.reset(seed=2)
        results(environment, range(24))
    states = [to_exact(environment.state()) for environment in made]
    assert states[0] == states[1] == states[2]
    alone, _, many = made
    many.load_state(from_exact(states[0]))
    assert results(many, range(24, 40)) == results(alone, range(24, 40))


@pytest.mark.slow
def test_a_run_whose_worker_is_killed_names_it_and_resumes_exactly(plan: Callable[..., Plan], tmp_path: Path) -> None:
    planned = plan("workers=2", "train.rollout_steps=30", "train.update_epochs=1", envs=3, updates=3)
    whole = esper.train(planned, out=tmp_path / "whole", tensorboard=False)

    def kill(progress: Any) -> None:
        if (progress.update, progress.step) == (2, 9):
            (victim,) = (one for one in multiprocessing.active_children() if one.name == "esper-echelon-1")
            victim.kill()

    with pytest.raises(EsperError, match=r"Worker 1 of 2, with the matches 1 to 2: A process .* ended unexpectedly"):
        esper.train(planned, out=tmp_path / "cut", tensorboard=False, on_step=kill)
    (folder,) = (tmp_path / "cut").iterdir()
    resumed = esper.resume(folder, tensorboard=False)

    def learned(run: Any) -> list[dict[str, Any]]:
        return [{name: value for name, value in line.items() if name != "timing"} for line in run.metrics()]

    assert learned(resumed) == learned(whole)
    assert not [one for one in multiprocessing.active_children() if one.name.startswith("esper-echelon")]


def test_policies_that_were_set_play_the_same_for_any_number_of_workers_and_go_on(build: Build) -> None:
    plan = esper.plan(policy="actor-critic-lstm", use={"environment": "echelon"}, options={"network.hidden_dim": 16})
    index = load_index()
    parts = build_parts(plan, index, only={"network", "critic", "features", "masks"})
    policy = Policy(parts["network"], parts["critic"], describe_plan(plan, index).actions)
    learned = PolicyDriver("learned", policy, parts["features"], parts["masks"], 6)
    opponents = [learned, RandomDriver()]
    everything = []
    for workers in (0, 2):
        environment = build(f"workers={workers}", envs=5)
        environment.set_opponents(opponents, [2, 1])
        environment.reset(seed=4)
        assert set(environment.opponents) == {"learned", "random"}
        found = results(environment, range(9))
        other = build(f"workers={workers}", envs=5)
        other.load_state(from_exact(json.loads(json.dumps(to_exact(environment.state())))))
        with pytest.raises(EsperError, match="'learned', whom nobody has set"):
            other.set_opponents([RandomDriver()], [1])
        for going in (environment, other):
            going.set_opponents(opponents, [1, 0])
        following = results(environment, range(9, 22))
        assert results(other, range(9, 22)) == following
        assert other.learner_side.tolist() == environment.learner_side.tolist()
        everything.append([*found, *following])
    assert everything[0] == everything[1]

"""A policy that drives the other side: it draws from given noise, and what it does in a match depends on that alone."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from esper_core import ActionSpec, ContinuousHead, Head
from esper_core.composition.build import build_parts
from esper_core.composition.plan import PlanRequest, describe_plan, make_plan
from esper_core.contracts.protocols import Masks
from esper_core.learning.noise import noise
from esper_core.policy.distribution import FactoredDistribution
from esper_core.policy.drivers import PolicyDriver
from esper_core.policy.policy import Policy
from esper_core.registry.loading import load_index
from esper_testing.reference.plugin import REFERENCES, with_references

MANY = 20_000


def chance(rows: int, width: int, seed: int = 0) -> torch.Tensor:
    whole = np.zeros(rows, np.int64)
    return torch.from_numpy(noise(np.arange(rows, dtype=np.uint64) + np.uint64(rows * seed), whole, whole, 1, width))


def test_noise_is_carried_to_where_each_distribution_function_reaches_it() -> None:
    spec = ActionSpec((Head("op", ("x", "y", "z", "w")), ContinuousHead("to", ("u", "v"), ops=("y",))), root="op")
    row = {"op": torch.tensor([1.0, 5.0, 0.0, 0.0]), "to": torch.tensor([0.5, -1.0, -1.0, 0.3])}
    logits = {name: value.expand(MANY, -1) for name, value in row.items()}
    legal = torch.tensor([True, False, True, True]).expand(MANY, -1)
    given = FactoredDistribution(spec, logits, Masks({"op": legal}))
    drawn = given.at(chance(MANY, 3))
    shares = torch.bincount(drawn["op"], minlength=4) / MANY
    assert shares.tolist() == pytest.approx([0.576, 0, 0.212, 0.212], abs=0.012)
    assert not drawn["to"].any(), "it does not matter to what was chosen"
    free = FactoredDistribution(spec, logits, Masks({"op": torch.tensor([False, True, False, False]).expand(MANY, -1)}))
    numbers = free.at(chance(MANY, 3, 1))["to"]
    assert numbers.mean(0).tolist() == pytest.approx([0.5, -1.0], abs=0.03)
    assert numbers.std(0).log().tolist() == pytest.approx([-1.0, 0.3], abs=0.03)
    ends = torch.tensor([[0.0, 0.0, 0.0], [1 - 2.0**-53] * 3], dtype=torch.float64)
    few = FactoredDistribution(spec, {n: v[:2] for n, v in logits.items()}, Masks({"op": legal[:2]}))
    assert few.at(ends)["op"].tolist() == [0, 3]
    assert free.at(torch.zeros(MANY, 3))["to"].isfinite().all()


def driver(greedy: bool = False) -> PolicyDriver:
    index = with_references(load_index(only=()))
    uses = {**REFERENCES, "environment": "esper-reference:duel", "masks": "esper-reference:duel"}
    plan = make_plan(PlanRequest(policy=REFERENCES["network"], slots="1", uses=uses, envs=2, device="cpu"), index)
    parts = build_parts(plan, index, only={"network", "critic", "features", "masks"})
    policy = Policy(parts["network"], parts["critic"], describe_plan(plan, index).actions)
    return PolicyDriver("it", policy, parts["features"], parts["masks"], 2, deterministic=greedy)


def seen(rows: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    moves = torch.randint(-1, 3, (2, rows), generator=generator)
    numbers = torch.rand(2, rows, generator=generator)
    return {"round": numbers[0], "lead": numbers[1], "mine": moves[0], "theirs": moves[1]}


def test_what_a_policy_does_in_a_match_is_the_same_whatever_it_plays_beside_it_and_in_another_process() -> None:
    whole, begins = driver(), torch.ones(100, dtype=torch.bool)
    state, shares = seen(100), chance(100, 1)
    first, memory = whole(state, whole.initial_memory(50), begins, shares)
    second, after = whole(state, memory, ~begins, shares)
    assert len(first["move"].unique()) == 3 and not torch.equal(memory[0], after[0])
    for rows in (slice(0, 2), slice(10, 16), slice(30, 70)):
        part = pickle.loads(pickle.dumps(whole))
        count = rows.stop - rows.start
        here = {name: value[rows] for name, value in state.items()}
        one, kept = part(here, part.initial_memory(count // 2), begins[rows], shares[rows])
        two, kept = part(here, kept, ~begins[rows], shares[rows])
        assert torch.equal(one["move"], first["move"][rows]) and torch.equal(two["move"], second["move"][rows])
        assert torch.equal(kept[0], after[0][:, rows])


def test_a_match_that_begins_has_no_memory_and_greedy_play_needs_no_noise() -> None:
    greedy, begins, state = driver(greedy=True), torch.ones(8, dtype=torch.bool), seen(8)
    first, memory = greedy(state, greedy.initial_memory(4), begins, chance(8, 1))
    again, other = greedy(state, memory, begins, chance(8, 1, 5))
    assert torch.equal(first["move"], again["move"]) and torch.equal(memory[0], other[0])

"""The other side of matches: who is drawn, how often drivers are called, and what is remembered of which match."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from esper_core import ActionSpec, ContinuousHead, Head
from esper_core.contracts.errors import EsperError, PluginError
from esper_core.contracts.plain import from_exact, to_exact
from esper_core.contracts.protocols import Masks, State
from esper_core.learning.noise import noise
from esper_core.learning.opponents import OtherSide
from esper_core.policy.drivers import RuleDriver

ROWS = 2
SPEC = ActionSpec((Head("play", ("a", "b", "c")), ContinuousHead("aim", ("x", "y"))))


class Counting:
    """Plays its number, aims at the steps that it remembers, and notes what it is called with."""

    def __init__(self, name: str, play: int) -> None:
        self.name, self.play = name, play
        self.calls: list[tuple[list[int], list[float], list[bool], Tensor]] = []

    def initial_memory(self, matches: int) -> Any:
        return (torch.zeros(1, matches * ROWS, 1),)

    def __call__(self, state: State, memory: Any, begins: Tensor, noise: Tensor) -> tuple[dict[str, Tensor], Any]:
        steps = memory[0][0, :, 0]
        self.calls.append((state["row"].tolist(), steps.tolist(), begins.tolist(), noise))
        actions = {"play": torch.full((len(begins),), self.play), "aim": steps[:, None].expand(-1, 2)}
        return actions, (memory[0] + 1,)


def other_side(matches: int) -> OtherSide:
    return OtherSide(SPEC, matches, ROWS, Counting("usual", 0))


def act(other: OtherSide, matches: int, *over: int) -> dict[str, Tensor]:
    running = np.array([match not in over for match in range(matches)])
    return other.act(running, {"row": torch.arange(matches * ROWS)})


def test_who_is_drawn_follows_from_the_seed_and_the_weights_alone() -> None:
    other, alone = other_side(4), other_side(1)
    for side in (other, alone):
        side.set([Counting("a", 0), Counting("b", 1), Counting("never", 2)], [3, 1, 0])
    drawn = Counter(map(other.draw, range(8000)))
    assert set(drawn) == {"a", "b"}
    # Two in a thousand would be farther off.
    assert abs(drawn["a"] - 6000) < 3.1 * (8000 * 0.75 * 0.25) ** 0.5
    for match, seed in enumerate((5, 6, 7, 8)):
        other.begin(match, seed, 0)
        alone.begin(0, seed, 1)
        assert alone.opponents == (other.draw(seed),)
    assert set(other.opponents) == {other.draw(seed) for seed in (5, 6, 7, 8)}


def test_matches_of_one_driver_are_one_call_of_it_whatever_their_number() -> None:
    other, (a, b) = other_side(6), (Counting("a", 1), Counting("b", 2))
    other.set([a, b], [1, 1])
    for match in range(6):
        other.begin(match, 0, 0, "ab"[match % 2])
    actions = act(other, 6, 4)
    assert [len(driver.calls) for driver in (a, b)] == [1, 1]
    assert a.calls[0][0] == [0, 1, 4, 5] and b.calls[0][0] == [2, 3, 6, 7, 10, 11]
    assert actions["play"].view(6, ROWS).tolist() == [[1, 1], [2, 2], [1, 1], [2, 2], [0, 0], [2, 2]]
    assert not any(value.any() for value in act(other, 6, *range(6)).values())


def test_memory_belongs_to_a_match_and_begins_with_it() -> None:
    other, one = other_side(3), Counting("one", 0)
    other.set([one], [1])
    for match in range(3):
        other.begin(match, match, 0)
    for _ in range(2):
        act(other, 3)
    act(other, 3, 1)
    other.end(1, 0.5, 2, 1)
    other.begin(1, 9, 0)
    assert act(other, 3)["aim"][:, 0].tolist() == [3, 3, 0, 0, 3, 3]
    assert one.calls[-1][2] == [False, False, True, True, False, False]
    assert act(other, 3)["aim"][:, 0].tolist() == [4, 4, 1, 1, 4, 4]


def test_a_match_keeps_the_name_it_began_with_and_an_opponent_that_is_gone_until_its_end() -> None:
    other, old = other_side(3), [Counting("stays", 1), Counting("goes", 2)]
    other.set(old, [1, 1])
    for match, name in enumerate(("stays", "goes")):
        other.begin(match, 0, 0, name)
    act(other, 3, 2)
    new = [Counting("stays", 0), Counting("comes", 1)]
    other.set(new, [0, 1])
    other.begin(2, 7, 1)
    actions = act(other, 3)
    assert actions["play"][::ROWS].tolist() == [0, 2, 1], "the new object of the name, the old one, and who was drawn"
    assert actions["aim"][::ROWS, 0].tolist() == [1, 1, 0], "with the memory of the match"
    assert other.end(2, 1.0, 4, 3) == [
        {"env": 4, "step": 3, "type": "match", "opponent": "comes", "side": 1, "won": 1.0, "instance": 15}
    ]
    assert other.opponents == ("stays", "goes")
    other.end(1, 1.0, 2, 3)
    other.set(new, [1, 1])
    with pytest.raises(EsperError, match="'goes', whom nobody has set"):
        other.begin(1, 0, 0, "goes")


def test_nothing_is_told_of_matches_that_began_before_anybody_was_set() -> None:
    other = other_side(1)
    other.begin(0, 3, 0)
    other.set([Counting("usual", 1)], [1])
    assert other.end(0, 1.0, 0, 0) == []


def test_it_goes_on_exactly_once_its_opponents_are_set_again() -> None:
    other, drivers = other_side(4), [Counting("a", 1), Counting("b", 2)]
    other.set(drivers, [1, 2])
    for match in range(4):
        other.begin(match, match, match % 2, "ab"[match // 2])
    for over in (3, 2):
        act(other, 4, over)
    saved = from_exact(json.loads(json.dumps(to_exact(other.state()))))
    again = other_side(4)
    again.load_state(saved)
    with pytest.raises(EsperError, match="nobody has set its opponents"):
        again.begin(0, 1, 0)
    with pytest.raises(EsperError, match=r"against 'a', whom nobody has set"):
        again.set(drivers[1:], [1])
    again.set(drivers, [1, 2])
    for _ in range(2):
        here, there = act(other, 4), act(again, 4)
        assert all(torch.equal(here[name], there[name]) for name in here)
    first, second = (driver.calls for driver in drivers)
    for calls in (first, second):
        assert torch.equal(calls[-1][3], calls[-2][3]), "the noise too"
    assert again.draw(11) == other.draw(11) and again.learner_side.tolist() == [0, 1, 0, 1]
    with pytest.raises(ValueError, match="that of 4 matches, not of 1"):
        other_side(1).load_state(saved)


@pytest.mark.parametrize(
    ("names", "weights", "words"),
    [
        ("", [], "no opponent"),
        ("aa", [1, 1], "two opponents are called 'a'"),
        ("ab", [1], "1 weights for 2"),
        ("ab", [1, -1], "not finite numbers from 0"),
        ("a", [0], "with one above it"),
        ("a", [float("nan")], "not finite"),
    ],
)
def test_opponents_that_cannot_be_set(names: str, weights: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        other_side(1).set([Counting(name, 0) for name in names], weights)


def test_a_driver_that_breaks_its_contract_is_named() -> None:
    other = other_side(1)
    other.set([Counting("odd", 3)], [1])
    other.begin(0, 0, 0)
    with pytest.raises(
        PluginError, match=r"The driver 'odd' breaks its contract: its action of head 'play' goes from 3"
    ):
        act(other, 1)


# Noise, and rules that draw -----------------------------------------------------------------------------------------


def test_noise_belongs_to_a_match_a_step_a_side_and_a_place() -> None:
    seeds = np.array([3, 2**62, 3, 3], np.uint64)
    steps, sides = np.array([0, 0, 1, 0]), np.array([0, 0, 0, 1])
    numbers = noise(seeds, steps, sides, 5, 7)
    assert numbers.shape == (20, 7) and numbers.min() >= 0 and numbers.max() < 1
    assert len(np.unique(numbers)) == numbers.size
    assert (noise(seeds[2:3], steps[2:3], sides[2:3], 5, 7) == numbers[10:15]).all(), "whatever is drawn beside"
    assert (noise(seeds[:1], steps[:1], sides[:1], 2, 3) == numbers[:2, :3]).all(), "or for others"
    many = noise(np.arange(4000, dtype=np.uint64), np.zeros(4000, np.int64), np.zeros(4000, np.int64), 2, 3)
    counts = np.histogram(many, 16, (0, 1))[0]
    assert ((counts - 1500) ** 2 / 1500).sum() < 37.7, "chi squared with 15 degrees of freedom, p = 0.001"
    assert abs(np.corrcoef(many.reshape(4000, -1).T)[np.triu_indices(6, 1)]).max() < 0.06


class Drawing:
    """A rule that draws, or does not."""

    def __init__(self, draws: bool) -> None:
        self.draws, self.asked = draws, 0

    def reset(self, num_envs: int) -> None:
        pass

    def __call__(self, state: State, masks: Masks, generator: torch.Generator) -> dict[str, Tensor]:
        self.asked += 1
        rows = len(state["row"])
        return {"play": torch.randint(3, (rows,), generator=generator) if self.draws else torch.zeros(rows).long()}


@pytest.mark.parametrize("draws", [False, True])
def test_a_rule_that_draws_does_so_match_by_match(draws: bool) -> None:
    rule = Drawing(draws)
    driver = RuleDriver("rule", rule, lambda state: Masks({}), 4)
    seeds = np.arange(6, dtype=np.uint64)
    chance = torch.from_numpy(noise(seeds, np.zeros(6, np.int64), np.zeros(6, np.int64), 4, 1))
    begins = torch.ones(24, dtype=torch.bool)
    together, _ = driver({"row": torch.arange(24)}, (), begins, chance)
    assert rule.asked == (7 if draws else 1)
    part, _ = driver({"row": torch.arange(8)}, (), begins[:8], chance[8:16])
    assert torch.equal(part["play"], together["play"][8:16])
    assert len(together["play"].unique()) == (3 if draws else 1)

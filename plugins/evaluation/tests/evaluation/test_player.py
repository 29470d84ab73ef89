"""Playing episodes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from esper_core.api.player import load_player
from esper_core.contracts.actions import ActionSpec, Head
from esper_core.contracts.errors import EsperError, PluginError, UserError
from esper_core.contracts.foreign import Owner
from esper_core.contracts.protocols import Masks
from esper_core.registry.index import Index
from esper_core.runs.checkpoint import choose_checkpoint
from esper_core.runs.header import read_header
from esper_evaluation.schedule import Wandering
from esper_testing.player import ForeignRule, PlayerRule, Separately, derived_seed, play

PINNED = 22011607678846335
"""What records on disk were played with."""


class Watching:
    """Keeps the rows it is shown, and does nothing."""

    def __init__(self) -> None:
        self.shown: list[tuple[int, ...]] = []

    def reset(self, num_envs: int) -> None:
        self.shown.append((num_envs,))

    def __call__(self, state: Any, masks: Masks, generator: torch.Generator) -> dict[str, torch.Tensor]:
        assert masks.slot_given_op is not None
        self.shown.append((*state["target"].tolist(), *masks.heads["op"].shape, *masks.slot_given_op.shape))
        return {"op": torch.zeros(len(state["target"]), dtype=torch.int64)}


def test_every_rule_sees_its_own_environment_alone() -> None:
    rules = [Watching(), Watching()]
    both = Separately(rules, [0, 1])
    both.reset(2)
    masks = Masks({"op": torch.ones(2, 3, dtype=torch.bool)}, torch.ones(2, 3, 4, dtype=torch.bool))
    actions = both({"target": torch.tensor([7, 9])}, masks, torch.Generator())
    assert rules[0].shown == [(1,), (7, 1, 3, 1, 3, 4)] and rules[1].shown[1][0] == 9
    assert actions["op"].tolist() == [0, 0]


def test_what_is_played_is_kept_with_its_length_and_its_return(lamps: Any) -> None:
    environment, masks = lamps(2, epochs=5)
    rules = [Wandering(environment.actions) for _ in range(2)]
    steps: list[int] = []
    played = play(environment, masks, Separately(rules, [1, 2]), options={"instances": [3, 4]}, on_step=steps.append)
    assert steps == [0, 1, 2, 3, 4] and len(played.actions) == 5 and played.lengths.tolist() == [5, 5]
    assert played.column("op", 1) == [int(step["op"][1]) for step in played.actions]
    assert [e["instance"] for e in played.events] == [3, 4]
    assert played.returns() == [e["return"] for e in played.events]


def test_a_player_as_a_rule_draws_or_not_as_it_is_asked_to(runs: list[Any], index: Index, lamps: Any) -> None:
    player = load_player(read_header(choose_checkpoint(runs[0], "last")), index)
    environment, masks = lamps(16)
    state, _ = environment.reset(seed=1)
    acted = []
    for deterministic in (False, True):
        rule, other = PlayerRule(player, deterministic=deterministic), player.copy()
        rule.reset(16)
        other.reset(16)
        expected = other.act(state, deterministic, torch.Generator().manual_seed(5))
        acted.append(rule(state, masks(state), torch.Generator().manual_seed(5)))
        assert all(torch.equal(acted[-1][name], expected[name]) for name in expected)
    assert not torch.equal(acted[0]["op"], acted[1]["op"])
    with pytest.raises(UserError, match="in no episode"):
        player.save()


def test_an_episode_that_does_not_end_is_an_error_unless_steps_are_counted(lamps: Any) -> None:
    environment, masks = lamps(2, epochs=5)
    rules = Separately([Wandering(environment.actions) for _ in range(2)], [1, 2])
    assert play(environment, masks, rules, steps=2).lengths.tolist() == [2, 2]
    never = torch.zeros(2, dtype=torch.bool)
    step = environment.step
    environment.step = lambda actions: (*step(actions)[:2], never, never, {"events": []})
    with pytest.raises(EsperError, match="did not end within 5 steps"):
        play(environment, masks, rules)


def test_derived_seeds_depend_on_every_part_and_on_nothing_else() -> None:
    parts = [("policy", 0, 1), ("policy", 1, 0), ("policy", None, 0), ("random", 0, 1), ("policy", 0)]
    seeds = [derived_seed(*known) for known in parts]
    assert len(set(seeds)) == len(seeds) and all(0 <= seed < 2**63 for seed in seeds)
    assert derived_seed("policy", 0, 1) == seeds[0] == PINNED


@pytest.mark.parametrize(
    ("actions", "words"),
    [
        ({"op": torch.tensor([0, 3])}, "rule 'r' .* its action of head 'op' goes from 0 to 3, not from 0 to 2"),
        ({"op": torch.tensor([0.0, 1.0])}, r"head 'op' is float32 \[2\], not int \[2\]"),
        ({}, "its table of actions has nothing, not 'op'"),
    ],
)
def test_a_rule_that_does_something_else(actions: dict[str, Any], words: str) -> None:
    spec = ActionSpec((Head("op", ("WAIT", "UP", "DOWN")),), root="op")
    masks = Masks({"op": torch.ones(2, 3, dtype=torch.bool)}, None)
    with pytest.raises(PluginError, match=words):
        ForeignRule(lambda *_: actions, Owner("rule 'r'"), spec)({}, masks, torch.Generator())

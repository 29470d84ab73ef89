"""Rules in real matches."""

import numpy as np
import pytest
import torch

from esper_core.contracts.protocols import Masks
from esper_echelon.perception.observation import observe
from esper_echelon.rules.rules import Charge, Hold, Lieutenant
from esper_echelon.simulation.arena import Arena
from esper_echelon.simulation.roster import Roster

N = 6


class Still:
    def __call__(self, state, masks, generator):
        return {"act": torch.zeros(len(state["suite"]), 9)}


def wins(one, other, matches):
    """How often the first team wins and loses, and what was dealt with which part of the rewards."""
    arena = Arena(Roster(1), matches, largest=40)
    for match in range(matches):
        arena.begin(match, 50 + match, 40, 1, match % 2)
    size, paid = torch.full((matches * N,), 40.0), {}
    while not arena.over.all():
        seen = observe(arena)
        actions = [
            rule({"suite": torch.from_numpy(part.reshape(-1, 706)), "map_size": size}, Masks({}), None)["act"]
            for rule, part in zip((one, other), np.split(seen, 2, 1), strict=True)
        ]
        step = arena.step(
            torch.stack(actions).reshape(2, matches, N, 9).transpose(0, 1).reshape(matches, 12, 9).numpy()
        )
        for name, values in step.components.items():
            paid[name] = paid.get(name, 0.0) + values[:, :N].sum()
    return (arena.winner() == 0).sum(), (arena.winner() == 1).sum(), paid


@pytest.mark.parametrize("rule", [Lieutenant, Hold, Charge])
def test_a_rule_beats_who_does_nothing(rule):
    won, lost, paid = wins(rule(None, None), Still(), 4)
    assert (won, lost) == (4, 0) and min(paid[part] for part in ("approach", "zone", "damage", "kill")) > 0


@pytest.mark.slow
@pytest.mark.parametrize("other", [Hold, Charge])
def test_a_lieutenant_is_better_and_uses_paint(other):
    won, lost, paid = wins(Lieutenant(None, None), other(None, None), 40)
    assert won > 2 * lost and paid["assist"] > 0

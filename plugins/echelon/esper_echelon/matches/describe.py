"""Descriptions of the environment and of its features, without building anything."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import fields

from esper_core import (
    ActionSpec,
    ContinuousHead,
    EnvironmentDescription,
    Outcome,
    SlotConfig,
    StateField,
    StateSpec,
)
from esper_core.contracts.errors import ConfigError, did_you_mean
from esper_core.contracts.events import is_number
from esper_echelon.matches.config import EchelonConfig
from esper_echelon.matches.curriculum import LARGEST_MAP
from esper_echelon.perception.layout import FLAT_OBS_DIM
from esper_echelon.perception.schema import SUITE
from esper_echelon.simulation.tables import ACTIONS, DECISIONS

if TYPE_CHECKING:
    from esper_echelon.simulation.rewards import RewardWeights

HEAD = "act"
MAP_SIZE = "map_size"
"""The field of the state that positions in the field `suite` are relative to."""

FARTHEST = 2.0
"""Largest size of a number in an observation."""

OUTCOMES = (
    Outcome(
        "won", "fraction", "1 for a match that was won, 0.5 for a draw, 0 for one that was lost", True, by_mean=True
    ),
    Outcome("margin", "points", "the team's score in the zone less that of the other team", True),
    Outcome("survivors", "fraction", "share of the team that was alive in the end", True),
    Outcome("losses_caused", "fraction", "share of the other team that was dead in the end", True),
    Outcome("length", "steps", "decisions until the match was over", False),
)

SIDES = ("drawn", "opposite")
"""Where a team comes from: the corner that a match's seed has drawn, or the one opposite."""

TRAIN = {"rollout_steps": 120, "bptt_steps": 40, "num_minibatches": 4, "gamma": 0.99}
"""Half a match at once, so that no update waits for the longest; memory is learned through ten seconds of it."""


def reward_weights(given: Mapping[str, Any]) -> RewardWeights:
    """Return the weights of the reward, some of them given by name; raises ConfigError for what cannot be."""
    from esper_echelon.simulation.rewards import RewardWeights

    known = [entry.name for entry in fields(RewardWeights)]
    for name, value in given.items():
        if name not in known:
            raise ConfigError(
                f"The reward has no weight '{name}'.{did_you_mean(name, known)}", hint=f"It has {', '.join(known)}."
            )
        if not is_number(value) or isinstance(value, bool) or not math.isfinite(value):
            raise ConfigError(f"The weight '{name}' of the reward cannot be {value!r}.", hint="It is a finite number.")
    return RewardWeights(**{name: float(value) for name, value in given.items()})


def describe(config: EchelonConfig, slots: SlotConfig) -> EnvironmentDescription:
    """Return actions, state, horizon and rows: a match has one for each mech that the learner's team may have.

    Raises ConfigError for weights of the reward that cannot be.
    """
    from esper_echelon.simulation.roster import team_size

    reward_weights(config.rewards)
    state = (
        StateField(SUITE, ("E", FLAT_OBS_DIM), "float", "", "what the mech perceives", -FARTHEST, FARTHEST),
        StateField(MAP_SIZE, ("E",), "float", "m", "side of the map", 0, LARGEST_MAP),
    )
    return EnvironmentDescription(
        actions=ActionSpec((ContinuousHead(HEAD, ACTIONS),)),
        state=StateSpec(state),
        horizon=DECISIONS,
        outcomes=OUTCOMES,
        train=TRAIN,
        restarts=True,
        rows=team_size(config.packs),
        # A schedule goes by the games of all matches, at every step.
        shares=not config.schedule,
        sides=SIDES,
    )

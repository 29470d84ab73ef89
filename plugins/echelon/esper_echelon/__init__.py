"""Echelon: two teams of mechs that fight for a zone, its observation, networks, rules, curriculum and heat maps.

Names are loaded when they are first used, so that importing this package imports no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from esper_echelon.heat_maps.spatial import SpatialAccumulator
    from esper_echelon.matches.curriculum import CurriculumState
    from esper_echelon.networks.networks import ActorCriticLSTM, CombatSuiteActorCritic, LSTMState
    from esper_echelon.perception.layout import FLAT_OBS_DIM, SUITE_DESCRIPTOR_DIM
    from esper_echelon.perception.suite import SuiteObservation, flat_obs_to_suite_obs

_HOME = {
    "ActorCriticLSTM": "networks.networks",
    "CombatSuiteActorCritic": "networks.networks",
    "CurriculumState": "matches.curriculum",
    "FLAT_OBS_DIM": "perception.layout",
    "LSTMState": "networks.networks",
    "SUITE_DESCRIPTOR_DIM": "perception.layout",
    "SpatialAccumulator": "heat_maps.spatial",
    "SuiteObservation": "perception.suite",
    "flat_obs_to_suite_obs": "perception.suite",
}
"""Name → module that it is in."""

__all__ = [
    "FLAT_OBS_DIM",
    "SUITE_DESCRIPTOR_DIM",
    "ActorCriticLSTM",
    "CombatSuiteActorCritic",
    "CurriculumState",
    "LSTMState",
    "SpatialAccumulator",
    "SuiteObservation",
    "flat_obs_to_suite_obs",
]


if not TYPE_CHECKING:  # so that a name that does not exist is an error of types too

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module 'esper_echelon' has no attribute '{name}'")
        return globals().setdefault(name, getattr(importlib.import_module(f"esper_echelon.{_HOME[name]}"), name))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

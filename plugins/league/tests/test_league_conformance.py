"""The suite of opponents: what is right passes, and whoever breaks one thing is found out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import evolve

from esper_core.contracts.components import ComponentSpec
from esper_core.policy.drivers import PolicyDriver
from esper_core.registry.index import Component
from esper_core.registry.loading import load_index
from esper_testing.conformance.run import check_component


class Itself:
    """Plays against a copy that it forgets to make, and whose number it forgets to keep."""

    def __init__(self, config: Any, context: Any) -> None:
        self.begun = 0

    def begin(self, update: int, policy: Any, features: Any, masks: Any) -> Any:
        self.begun += 1
        return [PolicyDriver("itself", policy, features, masks, 2)], [1.0]

    def played(self, update: int, events: Any) -> dict[str, float]:
        return {"begun": float(self.begun)}

    def state(self) -> dict[str, Any]:
        return {}

    def load_state(self, state: Any) -> None:
        """Forget everything."""


def test_the_league_conforms(conforms: Callable[[str], None]) -> None:
    conforms("opponents/league")


def test_whoever_breaks_one_thing_is_found_out() -> None:
    spec = ComponentSpec(kind="opponents", name="itself", factory=f"{__name__}:Itself", summary="plays against itself")
    index, own = load_index(only=("league",)), Component(spec, "own", "esper-own", "0")
    results = check_component(own, evolve(index, components=(*index.components, own)))
    found = {result.name: result.message for result in results if result.status == "failed"}
    assert "it needs a copy" in found["copies"] and "has another begun" in found["resuming"]

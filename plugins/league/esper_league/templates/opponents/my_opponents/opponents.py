"""The opponents `my-opponents`: the learner itself, as it was when the update began."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from esper_core.contracts.protocols import BuildContext
from esper_core.policy.drivers import PolicyDriver
from my_opponents.config import MyOpponentsConfig

if TYPE_CHECKING:
    from esper_core.contracts.protocols import FeatureExtractor, MaskProvider
    from esper_core.contracts.sides import Driver
    from esper_core.policy.policy import Policy


class MyOpponents:
    """Kind `opponents`: whom a learner plays against, chosen before every rollout."""

    def __init__(self, config: MyOpponentsConfig, context: BuildContext) -> None:
        environment = context.parts["environment"]
        self.config, self._rows = config, environment.num_envs // len(environment.learner_side)
        self._games = self._won = 0.0

    def begin(
        self, update: int, policy: Policy, features: FeatureExtractor, masks: MaskProvider
    ) -> tuple[Sequence[Driver], Sequence[float]]:
        """Return drivers of different names, and how likely a match that begins is to draw each."""
        # The learner goes on learning in this update; its opponent does not.
        own = copy.deepcopy(policy).eval().requires_grad_(False)
        parts = copy.deepcopy(features), copy.deepcopy(masks)
        return [PolicyDriver("itself", own, *parts, self._rows, deterministic=self.config.certain)], [1.0]

    def played(self, update: int, events: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """Take in the matches that ended, and return metrics."""
        self._games += len(events)
        self._won += sum(event["won"] for event in events)
        return {"won_itself": self._won / self._games} if self._games else {}

    def state(self) -> dict[str, Any]:
        """Return what a run needs to go on exactly."""
        return {"games": self._games, "won": self._won}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where `state()` was taken."""
        self._games, self._won = state["games"], state["won"]

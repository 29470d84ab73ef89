"""The features `gymnasium`: the observation alone, unchanged."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from esper_core.contracts.protocols import BuildContext, Features
from esper_gymnasium_env.describe import describe_features


class GymnasiumFeatures:
    """Kind `features`. The mask is not part of it: it does not say which legal action is good."""

    def __init__(self, config: None, context: BuildContext) -> None:
        self.schema = describe_features(config, context.slots, context.actions, context.state_spec)
        self._dtype = context.dtype

    def __call__(self, state: Mapping[str, Tensor]) -> Features:
        """Map a state with `observation [E, D]` to `obs [E, D]`."""
        return Features(state["observation"].to(self._dtype), {})

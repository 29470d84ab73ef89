"""The features `suite`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esper_core.contracts.protocols import BuildContext, Features
from esper_echelon.perception.schema import SUITE, describe_suite
from esper_echelon.perception.suite import flat_obs_to_suite_obs

if TYPE_CHECKING:
    from esper_core.contracts.protocols import State


class SuiteFeatures:
    """Kind `features`: the suite observation as it is, with zeros in padding rows, whatever they hold."""

    def __init__(self, config: None, context: BuildContext) -> None:
        self.schema = describe_suite(config, context.slots, context.actions, context.state_spec)
        self._dtype = context.dtype

    def __call__(self, state: State) -> Features:
        """Map a state with `suite [E, 706]` to `obs [E, 706]`."""
        suite = flat_obs_to_suite_obs(state[SUITE].to(self._dtype))
        blank = suite._replace(
            contacts=suite.contacts.masked_fill((suite.contact_mask > 0.5).unsqueeze(-1), 0.0),
            squad=suite.squad.masked_fill((suite.squad_mask > 0.5).unsqueeze(-1), 0.0),
        )
        return Features(blank.flat(), {})

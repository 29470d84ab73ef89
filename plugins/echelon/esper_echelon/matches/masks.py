"""The mask provider `echelon`: every number is legal."""

from __future__ import annotations

from esper_core.contracts.protocols import BuildContext, Masks, State


class EchelonMasks:
    """Kind `masks`. All actions are numbers, and numbers have no masks: who is dead or cannot fire just does not."""

    def __init__(self, config: None, context: BuildContext) -> None:
        pass

    def __call__(self, state: State) -> Masks:
        """Return masks of no head."""
        return Masks({})

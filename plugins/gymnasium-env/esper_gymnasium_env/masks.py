"""The mask provider `gymnasium`: the masks that the environment gives."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from esper_core.contracts.protocols import BuildContext, Masks


class GymnasiumMasks:
    """Kind `masks`: the parts of the state's `action_mask` that belong to each head of categories.

    A head without any legal entry, as after the end of an episode, is entirely legal.
    """

    def __init__(self, config: None, context: BuildContext) -> None:
        self._names = [head.name for head in context.actions.categorical]
        self._sizes = [head.size for head in context.actions.categorical]

    def __call__(self, state: Mapping[str, Tensor]) -> Masks:
        """Map a state with `action_mask [E, Σ K]` to Masks of `[E, K]`."""
        parts = state["action_mask"].split(self._sizes, dim=-1)
        heads = zip(self._names, parts, strict=True)
        return Masks({name: legal | ~legal.any(-1, keepdim=True) for name, legal in heads})

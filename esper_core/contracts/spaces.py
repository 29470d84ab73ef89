"""Gymnasium's spaces of the action and the state table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.state import StateField, StateSpec

if TYPE_CHECKING:
    import gymnasium


def action_space(actions: ActionSpec) -> gymnasium.spaces.Dict:
    """Return the actions of one environment: head → one of its indices, or its numbers, float32 `[n]`."""
    import numpy as np
    from gymnasium import spaces

    categories = {head.name: spaces.Discrete(head.size) for head in actions.categorical}
    numbers = {
        h.name: spaces.Box(np.array(h.low, np.float32), np.array(h.high, np.float32)) for h in actions.continuous
    }
    return spaces.Dict({name: (categories | numbers)[name] for name in actions.names})


def observation_space(state: StateSpec, num_slots: int, num_ops: int) -> gymnasium.spaces.Dict:
    """Return the state of one environment: field → numbers within the declared bounds; bool fields are int8 here."""
    from gymnasium import spaces

    return spaces.Dict({entry.name: _box(entry, entry.sizes(1, num_slots, num_ops)[1:]) for entry in state.fields})


def _box(entry: StateField, shape: tuple[int, ...]) -> gymnasium.spaces.Box:
    import numpy as np
    from gymnasium import spaces

    kinds: dict[str, Any] = {"float": np.float32, "int": np.int64, "bool": np.int8, "uint8": np.uint8}
    low, high = (0, 1) if entry.dtype == "bool" else (entry.low, entry.high)
    return spaces.Box(low, high, shape, kinds[entry.dtype])

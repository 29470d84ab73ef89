"""Description of a Gymnasium environment; one is made to read its spaces."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any

from esper_core import (
    ActionSpec,
    EnvironmentDescription,
    Feature,
    FeatureSchema,
    Head,
    SlotConfig,
    StateField,
    StateSpec,
)
from esper_core.contracts.errors import PluginError, UserError
from esper_core.contracts.foreign import guarded
from esper_gymnasium_env.config import GymnasiumConfig
from esper_gymnasium_env.registered import find

if TYPE_CHECKING:
    import gymnasium

_logger = logging.getLogger(__name__)


def describe(config: GymnasiumConfig, slots: SlotConfig) -> EnvironmentDescription:
    """Return actions, state and horizon.

    Raises:
        UserError: the environment does not exist, or cannot be made.
        PluginError: it fails while it is made.
        ValueError: its actions are not categorical, its observations are not supported, an entry to observe does
            not exist, or nothing limits its episodes.
    """
    from esper_gymnasium_env.legality import seen_space
    from esper_gymnasium_env.scaling import Scaling

    made = make(config)
    try:
        actions = action_spec(config.id, made.action_space)
        try:
            scaling = Scaling.of(seen_space(made.observation_space), config.observe)
        except ValueError as error:
            raise ValueError(f"{config.id}: {error}") from error
        horizon = (made.spec and made.spec.max_episode_steps) or 0
    finally:
        close(made, config)
    if horizon <= 0:
        raise ValueError(f"{config.id} sets no limit to its episodes; set one with -o environment.horizon=STEPS")
    legal = sum(actions.sizes.values())
    state = (
        StateField(
            "observation",
            ("E", scaling.width),
            "float",
            "",
            "the observation; entries are bounded to −1..1",
            scaling.low,
            1.0,
        ),
        StateField("action_mask", ("E", legal), "bool", "", "which actions are legal, head after head"),
    )
    return EnvironmentDescription(actions=actions, state=StateSpec(state), horizon=horizon)


def describe_features(config: None, slots: SlotConfig, actions: ActionSpec, state_spec: StateSpec) -> FeatureSchema:
    """Return the layout of the features `gymnasium`: one column per entry of the observation."""
    entry = state_spec["observation"]
    (width,) = entry.sizes(1, slots.num_slots, len(actions.ops))[1:]
    names = (f"{entry.name}.{position}" for position in range(width))
    return FeatureSchema([Feature(name, name, entry.low, entry.high, entry.name) for name in names])


def owner(config: GymnasiumConfig) -> str:
    """Return how messages name the environment."""
    return f"The Gymnasium environment '{config.id}'"


def make(config: GymnasiumConfig) -> gymnasium.Env[Any, Any]:
    """Make one environment.

    Raises:
        UserError: it does not exist, or cannot be made with these options.
        PluginError: it fails while it is made.
    """
    import gymnasium

    spec = find(config.id)
    # A limit below 1 means none, which `make` takes as −1, and only as an argument.
    limit = config.horizon or (-1 if (spec.max_episode_steps or 1) < 1 else None)
    with guarded(owner(config), "being made"):
        try:
            return gymnasium.make(spec, limit, disable_env_checker=True, **config.kwargs)
        except (gymnasium.error.Error, ImportError, TypeError) as error:
            raise UserError(
                f"Gymnasium cannot make '{config.id}': {str(error).rstrip('.')}",
                hint="`kwargs` are passed on to it; they may not fit.",
            ) from error


def close(made: gymnasium.Env[Any, Any], config: GymnasiumConfig) -> None:
    """Close one environment; a failure is logged once, not raised."""
    try:
        with guarded(owner(config), "closing"):
            made.close()
    except PluginError as error:
        _warn_once(error.message)


@functools.cache
def _warn_once(message: str) -> None:
    _logger.warning("%s Results are not affected.", message)


def action_spec(name: str, space: gymnasium.Space[Any]) -> ActionSpec:
    """Return a table with one head per categorical action, called `action`, or `action0`, `action1` and so on.

    Raises:
        ValueError: the space is neither Discrete nor MultiDiscrete.
    """
    from gymnasium import spaces

    if isinstance(space, spaces.Discrete):
        first = int(space.start)
        return ActionSpec((Head("action", tuple(str(first + i) for i in range(int(space.n)))),))
    if isinstance(space, spaces.MultiDiscrete):
        counts, starts = space.nvec.flatten().tolist(), space.start.flatten().tolist()
        heads = [
            Head(f"action{position}", tuple(str(first + i) for i in range(count)))
            for position, (count, first) in enumerate(zip(counts, starts, strict=True))
        ]
        return ActionSpec(tuple(heads))
    raise ValueError(f"the actions of {name} are {space}; only Discrete and MultiDiscrete are supported")

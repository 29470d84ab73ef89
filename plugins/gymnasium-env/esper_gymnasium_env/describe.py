"""Description of a Gymnasium environment; one is made to read its spaces."""

from __future__ import annotations

import functools
import logging
import math
from typing import TYPE_CHECKING, Any

from esper_core import (
    ActionSpec,
    EnvironmentDescription,
    Feature,
    FeatureSchema,
    Outcome,
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

FARTHEST = 10.0
"""Largest normalised number, as in VecNormalize of stable-baselines3."""


OUTCOMES = (
    Outcome("return", "reward", "sum of the rewards of the episode, as the environment pays them", True),
    Outcome("length", "steps", "steps of the episode", False),
)

TRAIN = {"rollout_steps": 256, "update_epochs": 10, "lr": 1e-3}
"""Rollouts long enough for advantages to mean something, short enough that episodes of thousands of steps need not be
waited for, and as much learning from each as small tasks bear."""


def describe(config: GymnasiumConfig, slots: SlotConfig) -> EnvironmentDescription:
    """Return actions, state and horizon.

    Raises:
        UserError: the environment does not exist, or cannot be made.
        PluginError: it fails while it is made.
        ValueError: its actions or observations are not supported, an entry to observe does not exist, or nothing
            limits its episodes.
    """
    from esper_gymnasium_env.actions import action_spec
    from esper_gymnasium_env.legality import MASK, seen_space
    from esper_gymnasium_env.observing import Reader

    space, acts, horizon = look(config)
    actions = action_spec(config.id, acts, squash=config.squash)
    try:
        reader = Reader.of(seen_space(space), config.observe, config.flatten)
    except ValueError as error:
        raise ValueError(f"{config.id}: {error}") from error
    if horizon <= 0:
        raise ValueError(f"{config.id} sets no limit to its episodes; set one with -o environment.horizon=STEPS")
    scaling = reader.scaling(config.scale_obs)
    meaning = "the observation; entries are bounded to −1..1" if config.scale_obs else "the observation as it is"
    low, high = scaling.low, scaling.high
    if config.normalise_obs:
        meaning, low, high = "the observation as it is, to be normalised", -math.inf, math.inf
    legal = sum(head.size for head in actions.categorical)
    state = (
        StateField("observation", ("E", reader.width), "float", "", meaning, low, high),
        StateField(MASK, ("E", legal), "bool", "", "which actions are legal, head after head"),
    )
    images = () if reader.images is None else reader.images.fields
    return EnvironmentDescription(
        actions=actions,
        state=StateSpec((*state, *images)),
        horizon=horizon,
        train=TRAIN,
        restarts=True,
        # Running statistics are those of all rows, at every step.
        shares=not (config.normalise_obs or config.normalise_reward),
        outcomes=OUTCOMES,
    )


def look(config: GymnasiumConfig) -> tuple[gymnasium.Space[Any], gymnasium.Space[Any], int]:
    """Return the spaces of observations and actions of an environment, and its limit, 0 if it has none."""
    made = make(config)
    try:
        return made.observation_space, made.action_space, (made.spec and made.spec.max_episode_steps) or 0
    finally:
        close(made, config)


def describe_features(config: None, slots: SlotConfig, actions: ActionSpec, state_spec: StateSpec) -> FeatureSchema:
    """Return the layout of the features `gymnasium`: one column per entry of the observation, and its images."""
    from esper_gymnasium_env.images import array_of, fields_of

    entry = state_spec["observation"]
    low, high = (entry.low, entry.high) if math.isfinite(entry.high) else (-FARTHEST, FARTHEST)
    (width,) = entry.sizes(1, slots.num_slots, len(actions.ops))[1:]
    names = (f"{entry.name}.{position}" for position in range(width))
    columns = [Feature(name, name, low, high, entry.name) for name in names]
    return FeatureSchema(columns, arrays=map(array_of, fields_of(state_spec)))


def owner(config: GymnasiumConfig) -> str:
    """Return how messages name the environment."""
    return f"The Gymnasium environment '{config.id}'"


def make(config: GymnasiumConfig, render_mode: str | None = None) -> gymnasium.Env[Any, Any]:
    """Make one environment; a render mode says how it can be looked at.

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
            shown = {} if render_mode is None else {"render_mode": render_mode}
            return gymnasium.make(spec, limit, disable_env_checker=True, **shown, **config.kwargs)
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

"""The environment `gymnasium`: E single Gymnasium environments side by side."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from attrs import evolve
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor, from_numpy

from esper_core.contracts.errors import PluginError, UserError
from esper_core.contracts.protocols import BuildContext
from esper_core.contracts.spaces import action_space, observation_space
from esper_gymnasium_env.actions import Actions, Arrays
from esper_gymnasium_env.bridge import GymnasiumBridge
from esper_gymnasium_env.config import GymnasiumConfig
from esper_gymnasium_env.crew import shared_out
from esper_gymnasium_env.describe import describe, look, owner
from esper_gymnasium_env.episodes import Record, decoded, digest
from esper_gymnasium_env.group import Group, Seen, Spaces
from esper_gymnasium_env.legality import Legality, seen_space
from esper_gymnasium_env.moments import RewardScale
from esper_gymnasium_env.observing import Reader
from esper_gymnasium_env.randomness import HELD_OUT, episode_seed

_logger = logging.getLogger("esper")

Rows = NDArray[np.intp]
"""Numbers of environments, ascending."""


class GymnasiumEnvironment(VectorEnv[Any, Any, Any]):
    """Kind `environment`: scaled observations and action masks of E Gymnasium environments.

    Gymnasium's time limit truncates. Every episode begins with `reset(seed=…)`, and the seed of the run, the number of
    the environment and that of the episode determine its seed; so each can be played again, and a run goes on in the
    middle of episodes.
    """

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}  # noqa: RUF012

    def __init__(self, config: GymnasiumConfig, context: BuildContext) -> None:
        description = describe(config, context.slots)
        self.actions, self.state_spec = description.actions, description.state
        self.horizon, self.num_envs, self.device = description.horizon, context.num_envs, context.device
        shows, takes, _ = look(config)
        legality, reader = (
            Legality.of(config.id, self.actions),
            Reader.of(seen_space(shows), config.observe, config.flatten),
        )
        self._owner, self._translated = owner(config), Actions.of(takes)
        scaling = None if config.normalise_obs else reader.scaling(config.scale_obs)
        self._bridge = GymnasiumBridge(self._owner, shows, self._translated, reader, legality, scaling, self.device)
        self._moments = _moments_of(config, context)
        self._scale = RewardScale(self.num_envs, context.gamma) if config.normalise_reward else None
        make, self._share = partial(Group, config, legality, Spaces(shows, takes)), context.rows
        self._group = shared_out(make, self.num_envs, config.workers, context.seed, self._share.first)
        self._everyone, self._numbers = np.arange(self.num_envs), list(range(self.num_envs))
        self._seed, self._episodes = context.seed, np.zeros(self.num_envs, np.int64)
        self._seeds = np.zeros(self.num_envs, np.int64)
        self._rows = np.zeros((self.num_envs, reader.width))
        self._shown = self._rows if scaling is None else self._rows.astype(np.float32)
        self._images = None if reader.images is None else np.zeros((self.num_envs, reader.images.size), np.uint8)
        self._legal = np.ones((self.num_envs, legality.total), np.bool_)
        self._masked = False
        self._all = False
        self._running, self._lost = (np.zeros(self.num_envs, np.bool_) for _ in range(2))
        self._returns, self._lengths = np.zeros(self.num_envs), np.zeros(self.num_envs, np.int64)
        self._record = Record(self.num_envs)
        self.single_action_space = action_space(self.actions)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        slots = context.slots.num_slots
        self.single_observation_space = observation_space(self.state_spec, slots, len(self.actions.ops))
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Start new episodes, with `options["reset_mask"]`, bool `[E]`, only where it is true; the others go on.

        A seed begins the sequence of episodes anew. `options["instances"]` are the seeds of the episodes, one for each
        environment; they do not count among those of the sequence. Other options are passed on to the environments.

        Raises:
            PluginError: an environment fails, or returns an invalid observation or mask.
        """
        options = dict(options or {})
        rows = self._chosen(options.pop("reset_mask", None))
        if seed is not None:
            self._seed, self._episodes[:] = seed, 0
        instances = options.pop("instances", None)
        self._seeds[rows] = self._next_seeds(rows) if instances is None else instances
        seen = self._group.reset(rows.tolist(), self._seeds[rows].tolist(), options or None)
        self._begin(rows)
        self._take(rows, seen, learning=True)
        return self._state(), {}

    def step(self, actions: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor, dict[str, Any]]:
        """Take one step in every environment whose episode has not ended.

        Actions are what is executed: int64 `[E]` per head of categories, float32 `[E, numbers]` per head of numbers.

        Raises:
            UserError: the actions are not of that form, or NaN.
            PluginError: an environment fails, or returns an invalid observation, reward, flag or mask.
        """
        arrays = self._translated.arrays(actions, self.num_envs)
        self._record.add(arrays)
        if self._all:
            rows, found = self._everyone, self._group.step(self._numbers, arrays)
            reward, terminated, truncated = found.reward, found.terminated, found.truncated
            self._lengths += 1
            self._returns += reward
        else:
            rows = np.flatnonzero(self._running)
            reward = np.zeros(self.num_envs, np.float64)
            terminated, truncated, self._lost = np.zeros(self.num_envs, np.bool_), self._lost, self._lost & False
            if len(rows):
                found = self._group.step(rows.tolist(), tuple(array[rows] for array in arrays))
                reward[rows], terminated[rows], truncated[rows] = found.reward, found.terminated, found.truncated
                self._lengths[rows] += 1
                self._returns[rows] += found.reward
        if len(rows):
            self._take(rows, Seen(found.rows, found.legal, found.images), learning=True)
            if self._scale is not None:
                reward[rows] = self._scale(rows, reward[rows])
        ended, events = (terminated | truncated) & self._running, []
        if ended.any():
            events = [self._episode(row) for row in np.flatnonzero(ended).tolist()]
            self._running, self._all = self._running & ~ended, False
        tensor = self._bridge.tensor
        return self._state(), tensor(reward), tensor(terminated), tensor(truncated), {"events": events}

    def bridge(self) -> GymnasiumBridge:
        """Return the translation alone; an episode is begun to see whether it says what is legal beside what it shows.

        Raises:
            PluginError: the environment fails.
        """
        return evolve(self._bridge, needs_masks=self._group.says_masks(episode_seed(self._seed, 0, 0)))

    def close_extras(self, **kwargs: Any) -> None:
        """Close every environment; a failure is logged, not raised."""
        self._group.close()

    # Being judged and looked at -------------------------------------------------------------------------------------

    def held_out(self, count: int) -> list[int]:
        """Return seeds that no episode of training has."""
        return list(range(HELD_OUT, HELD_OUT + count))

    def outcomes(self) -> dict[str, Tensor]:
        """Return what each episode brought, and how long it was, float64 `[E]`."""
        found = {"return": self._returns, "length": self._lengths.astype(np.float64)}
        return {name: from_numpy(values.copy()) for name, values in found.items()}

    def show(self) -> float:
        """Make the first environment anew, so that it can be looked at; return its frames a second.

        Raises:
            UserError: it cannot be rendered.
        """
        return self._group.show()

    def frame(self) -> NDArray[np.uint8]:
        """Return how the first environment looks, uint8 `[height, width, 3]`.

        Raises:
            UserError: something that it renders with is not installed.
        """
        return self._group.frame()

    # Going on -------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Return what the next step or reset depends on: of each episode its seed, its actions and a digest.

        The digest is that of the last observation, by which `load_state` knows whether the episode was the same again.
        """
        # Where every episode has ended, all that can follow is a reset; others may have some that go on.
        shown = (self._running | (self._lengths > 0)) & (self._running.any() or not self._share.is_whole)
        going = [
            {
                "seed": int(self._seeds[row]),
                "actions": self._record.of(row, int(self._lengths[row])),
                "digest": self._digest(row),
                "ended": not bool(self._running[row]),
            }
            if shown[row]
            else None
            for row in range(self.num_envs)
        ]
        scale = None if self._scale is None else self._scale.state()
        return {"seed": self._seed, "episodes": self._episodes.tolist(), "going": going, "reward": scale}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Play the episodes of `state()` again and go on where it was taken.

        An episode that is not the same again ends with the next step, truncated, and this is said once.

        Raises:
            ValueError: the state is that of another number of environments.
        """
        going = state["going"]
        if len(going) != self.num_envs:
            raise ValueError(f"it is that of {len(going)} environments, not of {self.num_envs}")
        self._seed, self._episodes = state["seed"], np.array(state["episodes"], np.int64)
        if self._scale is not None and state["reward"] is not None:
            self._scale.load_state(state["reward"])
        self._running[:] = [episode is not None and not episode["ended"] for episode in going]
        self._lost[:] = False
        self._all = False
        blank = self._translated.blank()
        played = [_played(episode, blank) for episode in going]
        self._record.restore(played)
        self._lengths[:] = [len(arrays[0]) for arrays in played]
        self._seeds[:] = [0 if episode is None else episode["seed"] for episode in going]
        rows = np.flatnonzero([episode is not None for episode in going])
        if not len(rows):
            return
        found = self._group.replay(rows.tolist(), self._seeds[rows].tolist(), [played[row] for row in rows])
        self._returns[rows] = found.returns
        self._take(rows, Seen(found.rows, found.legal, found.images), learning=False)
        same = found.going & [going[row]["digest"] == self._digest(row) for row in rows.tolist()]
        lost = rows[~same & self._running[rows]]
        self._running[lost], self._lost[lost] = False, True
        self._all = bool(self._running.all())
        if len(lost):
            _logger.warning(
                "%s does not repeat episodes: %d of %d that were being played came out differently when played again "
                "from their seeds. They end here and new ones begin, so the run does not go on exactly as it would "
                "have.",
                self._owner,
                len(lost),
                int(self._running.sum()) + len(lost),
            )

    def joined(self, states: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return the state of all rows."""
        rows = {name: [row for state in states for row in state[name]] for name in ("episodes", "going")}
        if all(row is None or row["ended"] for row in rows["going"]):
            rows["going"] = [None] * len(rows["going"])
        return {**states[0], **rows}

    def parted(self, state: Mapping[str, Any]) -> dict[str, Any]:
        """Return the state of these rows; raises ValueError where it is that of another number of rows altogether."""
        if (found := len(state["going"])) != self._share.total:
            raise ValueError(f"it is that of {found} environments, not of {self._share.total}")
        return {**state, **{name: state[name][self._share.rows] for name in ("episodes", "going")}}

    # Its pieces -----------------------------------------------------------------------------------------------------

    def _chosen(self, mask: Any) -> Rows:
        """Return the rows of a reset mask, all without one."""
        if mask is None:
            return self._everyone
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (self.num_envs,):
            raise ValueError(f"reset_mask is {mask!r:.80}, not a numpy array of bool [{self.num_envs}]")
        if not mask.any():
            raise ValueError("reset_mask is true nowhere, so there is nothing to reset")
        return np.flatnonzero(mask)

    def _next_seeds(self, rows: Rows) -> list[int]:
        """Return the seeds of the episodes that begin in some rows, and count them."""
        first = self._share.first
        seeds = [episode_seed(self._seed, first + row, int(self._episodes[row])) for row in rows.tolist()]
        self._episodes[rows] += 1
        return seeds

    def _begin(self, rows: Rows) -> None:
        self._running[rows], self._lost[rows] = True, False
        self._all = bool(self._running.all())
        self._returns[rows], self._lengths[rows] = 0.0, 0
        self._record.begin(rows)
        if self._scale is not None:
            self._scale.begin(rows)

    def _take(self, rows: Rows, seen: Seen, *, learning: bool) -> None:
        """Keep what some rows show, once it is known to be finite; statistics learn from it."""
        shown = self._bridge.shown(seen.rows)
        if shown is None:
            raise self._not_finite(rows, seen.rows)
        if learning and self._moments is not None:
            self._moments.update(seen.rows)
        if len(rows) == self.num_envs:
            self._rows, self._shown = seen.rows, shown
        else:
            self._rows[rows], self._shown[rows] = seen.rows, shown
        if self._masked or seen.legal is not None:
            self._legal[rows], self._masked = True if seen.legal is None else seen.legal, True
        if seen.images is not None and self._images is not None:
            self._look(rows, seen.images, self._images)

    def _look(self, rows: Rows, images: NDArray[np.uint8], kept: NDArray[np.uint8]) -> None:
        """Keep the images that some rows show, once they are known to be finite."""
        assert self._bridge.reader.images is not None
        if (found := self._bridge.reader.images.not_finite(images)) is not None:
            row = int(rows[found[0]])
            raise self._not_a_number(row, f"a number that is not finite in {found[1]!r}")
        kept[rows] = images

    def _digest(self, row: int) -> str:
        """Return a digest of the last observation of a row."""
        return digest(self._rows[row]) if self._images is None else digest(self._rows[row], self._images[row])

    def _not_finite(self, rows: Rows, values: NDArray[np.float64]) -> PluginError:
        place, entry = np.argwhere(~np.isfinite(values))[0].tolist()
        name = self._bridge.reader.name(entry)
        return self._not_a_number(int(rows[place]), f"{values[place, entry]:g} as {name}")

    def _not_a_number(self, row: int, what: str) -> PluginError:
        when = f"after step {self._lengths[row] - 1}" if self._lengths[row] else "at the start of an episode"
        return PluginError(
            f"{self._owner} returned {what} {when} in environment {self._share.first + row}; observations are finite "
            "numbers.",
            hint=f"Its episode began with reset(seed={self._seeds[row]}). Its author must find the cause.",
        )

    def _episode(self, row: int) -> dict[str, Any]:
        length = int(self._lengths[row])
        paid = float(self._returns[row])
        return {"env": row, "step": length - 1, "type": "episode", "return": paid, "length": length}

    def _state(self) -> dict[str, Tensor]:
        return self._bridge.state(self._shown.copy(), self._legal.copy(), self._images)


def _moments_of(config: GymnasiumConfig, context: BuildContext) -> Any:
    """Return the statistics that the features normalise observations with, or None where nothing is normalised.

    Raises:
        UserError: observations are to be normalised, by features that cannot.
    """
    features = context.parts.get("features")
    if not config.normalise_obs or features is None:
        return None
    moments = getattr(features, "moments", None)
    if moments is None:
        raise UserError(
            f"environment.normalise_obs needs features that normalise, and {type(features).__name__} does not.",
            hint="Use --features gymnasium, or leave environment.normalise_obs out.",
        )
    return moments


def _played(episode: Mapping[str, Any] | None, blank: Arrays) -> Arrays:
    """Return the actions of a saved episode, `[T, *shape]` per leaf."""
    texts: Sequence[str] = episode["actions"] if episode is not None else ()
    if not texts:
        return tuple(array[:0] for array in blank)
    return tuple(decoded(text, array) for text, array in zip(texts, blank, strict=True))

"""Single Gymnasium environments that live in one process: reset, stepped and read together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.wrappers import OrderEnforcing, TimeLimit
from numpy.typing import NDArray

from esper_core.contracts.errors import EsperError, PluginError
from esper_core.contracts.foreign import DEBUG_HINT, described, guarded
from esper_gymnasium_env.actions import Actions, Arrays
from esper_gymnasium_env.answers import malformed
from esper_gymnasium_env.config import GymnasiumConfig
from esper_gymnasium_env.describe import close, make, owner
from esper_gymnasium_env.legality import MASK, Legality, ask_method, has_method, is_masked, seen_space
from esper_gymnasium_env.observing import Reader
from esper_gymnasium_env.randomness import give_own_spaces, seed_spaces
from esper_gymnasium_env.rendering import frame_of, make_shown

_WELL_FORMED: Any = (None, 0.0, False, False, {})

LARGEST = float(np.finfo(np.float32).max)
"""Largest reward that can be learned from."""


class Spaces(NamedTuple):
    """What an environment shows and takes, as it declares it."""

    observation: gymnasium.Space[Any]
    action: gymnasium.Space[Any]


class Seen(NamedTuple):
    """What n environments show: entries float64 `[n, D]`, and what is legal, bool `[n, Σ K]`, or None: everything.

    `images` are the bytes of images that are not among the entries, or None.
    """

    rows: NDArray[np.float64]
    legal: NDArray[np.bool_] | None
    images: NDArray[np.uint8] | None = None


class Stepped(NamedTuple):
    """What came of a step of n environments: rewards, float64, and flags, bool `[n]`; the rest as in `Seen`."""

    rows: NDArray[np.float64]
    legal: NDArray[np.bool_] | None
    reward: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    images: NDArray[np.uint8] | None = None


class Replayed(NamedTuple):
    """What came of episodes that were played again: as in `Seen`, and the sum of rewards, float64 `[n]`.

    `going` is where the episode goes on, and can be gone on with: bool `[n]`.
    """

    rows: NDArray[np.float64]
    legal: NDArray[np.bool_] | None
    returns: NDArray[np.float64]
    going: NDArray[np.bool_]
    images: NDArray[np.uint8] | None = None


class Group:
    """Plays `count` environments one after the other, of which the run has others too; `first` is the first's number.

    Rows are counted from 0 here. Every method raises PluginError, which names environment, step and cause.
    """

    def __init__(self, config: GymnasiumConfig, legality: Legality, known: Spaces, first: int, count: int) -> None:
        self._owner, self._config, self._first = owner(config), config, first
        self._envs = [make(config) for _ in range(count)]
        give_own_spaces(self._envs)
        self._reader = Reader.of(seen_space(known.observation), config.observe, config.flatten)
        self._actions = Actions.of(known.action)
        self._legality, self._known = legality, known
        self._steps, self._limits = zip(*map(_stripped, self._envs), strict=True)
        self._has_mask = is_masked(known.observation)
        self._has_method, self._methods = [False] * count, False
        self._seeds, self._lengths = [0] * count, [0] * count
        self._checked = [Spaces(single.observation_space, single.action_space) for single in self._envs]
        for row, found in enumerate(self._checked):
            self._check_spaces(row, found)

    def reset(self, rows: Sequence[int], seeds: Sequence[int], options: dict[str, Any] | None) -> Seen:
        """Start an episode in some rows, each from its seed; options are passed on."""
        observations, infos = [], []
        row = -1
        try:
            for row, seed in zip(rows, seeds, strict=True):
                single = self._envs[row]
                self._seeds[row], self._lengths[row] = seed, 0
                seed_spaces(single, seed)
                answer = single.reset(seed=seed, options=options)
                self._check_form(row, "reset", answer)
                observation, info = answer
                observations.append(observation)
                infos.append(info)
                self._has_method[row] = has_method(single)
                found, known = (single.observation_space, single.action_space), self._checked[row]
                if found[0] is not known[0] or found[1] is not known[1]:
                    self._check_spaces(row, Spaces(*found))
                    self._checked[row] = Spaces(*found)
        except BaseException:
            with self._guarded(row, "starting an episode"):
                raise
        self._methods = any(self._has_method)
        legal = self._legal(rows, observations, infos, None, None)
        return Seen(self._read(rows, observations), legal, self._look(rows, observations))

    def step(self, rows: Sequence[int], actions: Arrays) -> Stepped:
        """Take one step in some rows; actions are theirs alone, in this order."""
        observations, paid, over, cut, infos = [], [], [], [], []
        steps, limits, lengths = self._steps, self._limits, self._lengths
        row, answer = -1, _WELL_FORMED
        try:
            for row, action in zip(rows, self._actions.rows(actions), strict=True):
                answer = steps[row](action)
                observation, reward, terminated, truncated, info = answer
                observations.append(observation)
                paid.append(reward)
                over.append(terminated)
                cut.append(True if lengths[row] + 1 >= limits[row] else truncated)
                infos.append(info)
        except BaseException:
            self._check_form(row, "step", answer)
            with self._guarded(row):
                raise
        reward = self._rewards(rows, paid)
        terminated, truncated = self._flags(rows, over), self._flags(rows, cut)
        seen, images = self._read(rows, observations), self._look(rows, observations)
        legal = self._legal(rows, observations, infos, terminated, truncated)
        for row in rows:
            self._lengths[row] += 1
        return Stepped(seen, legal, reward, terminated, truncated, images)

    def replay(self, rows: Sequence[int], seeds: Sequence[int], played: Sequence[Arrays]) -> Replayed:
        """Play episodes again, each from its seed with the actions that were taken, `[T, *shape]` per leaf."""
        count = len(rows)
        shown, returns, going = np.zeros((count, self._reader.width)), np.zeros(count), np.ones(count, np.bool_)
        legal = np.ones((count, self._legality.total), np.bool_)
        pictures = None if self._reader.images is None else np.zeros((count, self._reader.images.size), np.uint8)
        for place, (row, seed, arrays) in enumerate(zip(rows, seeds, played, strict=True)):
            try:
                seen: Seen | Stepped = self.reset([row], [seed], None)
                for t in range(len(arrays[0])):
                    seen = stepped = self.step([row], tuple(array[t : t + 1] for array in arrays))
                    returns[place] += stepped.reward[0]
                    if stepped.terminated[0] or stepped.truncated[0]:
                        going[place] = False
                        break
            except EsperError:
                # What happens again only sometimes is not gone on with; what always fails does so in the next episode.
                going[place] = False
                continue
            shown[place] = seen.rows[0]
            legal[place] = True if seen.legal is None else seen.legal[0]
            if pictures is not None and seen.images is not None:
                pictures[place] = seen.images[0]
        return Replayed(shown, legal, returns, going, pictures)

    def show(self) -> float:
        """Make the first environment anew, so that it can be looked at; return its frames a second."""
        shown, pace = make_shown(self._config, self._envs[0].metadata.get("render_modes") or ())
        close(self._envs[0], self._config)
        self._envs[0] = shown
        give_own_spaces(self._envs)
        self._steps, self._limits = zip(*map(_stripped, self._envs), strict=True)
        self._checked[0] = Spaces(shown.observation_space, shown.action_space)
        self._check_spaces(0, self._checked[0])
        return pace

    def frame(self) -> NDArray[np.uint8]:
        """Return how the first environment looks, uint8 `[height, width, 3]`."""
        return frame_of(self._envs[0], self._config)

    def says_masks(self, seed: int) -> bool:
        """Return whether an environment says what is legal beside what it shows; an episode is begun to see it."""
        single = self._envs[0]
        with self._guarded(0, "starting an episode"):
            answer = single.reset(seed=seed)
            self._check_form(0, "reset", answer)
            observation, info = answer
            self._has_method[0] = has_method(single)
            return not self._has_mask and self._said(0, observation, info) is not None

    def close(self) -> None:
        """Close every environment; a failure is logged, not raised."""
        for single in self._envs:
            close(single, self._config)

    # What environments return ---------------------------------------------------------------------------------------

    def _read(self, rows: Sequence[int], observations: Sequence[Any]) -> NDArray[np.float64]:
        return self._all(rows, observations, self._reader, self._unread)

    def _look(self, rows: Sequence[int], observations: Sequence[Any]) -> NDArray[np.uint8] | None:
        images = self._reader.images
        return None if images is None else self._all(rows, observations, images, self._unread)

    def _unread(self, row: int, error: Exception) -> PluginError:
        return PluginError(
            f"{self._owner} returned an observation that does not fit its space {self._known.observation} "
            f"{self._place(row)}: {described(error)}.",
            hint="Its author must return observations that its observation_space contains.",
        )

    def _legal(
        self,
        rows: Sequence[int],
        observations: Sequence[Any],
        infos: Sequence[Any],
        terminated: NDArray[np.bool_] | None,
        truncated: NDArray[np.bool_] | None,
    ) -> NDArray[np.bool_] | None:
        """Return what is legal; nothing is asked of environments whose episode terminated."""
        told = self._has_mask or self._methods
        for row, info in zip(rows, infos, strict=True):
            if type(info) is not dict and not isinstance(info, Mapping):
                self._check_form(row, "step", (*_WELL_FORMED[:-1], info))
            told = told or MASK in info
        if not told:  # as by far the most environments
            return None
        said = []
        over = [False] * len(rows) if terminated is None else terminated.tolist()
        when = "at the start of an episode" if terminated is None else "at step {}"
        row = -1
        try:
            for place, row in enumerate(rows):
                said.append(None if over[place] else self._said(row, observations[place], infos[place]))
        except BaseException:
            with self._guarded(row, f"saying what is legal {when.format(self._lengths[row])}"):
                raise
        if all(mask is None for mask in said):
            return None

        def refused(row: int, error: Exception) -> PluginError:
            hint = getattr(error, "hint", DEBUG_HINT)
            unread = f"{self._owner} gave an action mask that cannot be read: {described(error)}."
            message = error.message if isinstance(error, EsperError) else unread
            where = f"{when.format(self._lengths[row])} in environment {self._first + row}"
            return PluginError(f"{message} That was {where}.", hint=hint)

        def table(masks: Sequence[tuple[Any, bool]]) -> NDArray[np.bool_]:
            return self._legality.table([mask for mask, _ in masks], np.array([over for _, over in masks]))

        ended = [False] * len(rows) if truncated is None else truncated.tolist()
        return self._all(rows, list(zip(said, ended, strict=True)), table, refused)

    def _said(self, row: int, observation: Any, info: Mapping[str, Any]) -> Any:
        """Return the mask as an environment gives it: in `info`, in the observation, or by itself; or None."""
        if info.get(MASK) is not None:
            return info[MASK]
        if self._has_mask:
            return observation[MASK]
        return ask_method(self._envs[row]) if self._has_method[row] else None

    def _rewards(self, rows: Sequence[int], paid: Sequence[Any]) -> NDArray[np.float64]:
        """Return rewards as floats; arrays with one entry are accepted."""
        try:
            reward = np.array(paid, np.float64)
            if reward.shape == (len(rows),) and all(-LARGEST <= value <= LARGEST for value in reward.tolist()):
                return reward
        except (TypeError, ValueError, RuntimeError):
            pass
        return np.array([self._reward(row, reward) for row, reward in zip(rows, paid, strict=True)])

    def _reward(self, row: int, reward: Any) -> float:
        try:
            value = float(np.asarray(reward).item())
        except (TypeError, ValueError, RuntimeError):
            value = math.nan
        if not abs(value) <= LARGEST:
            raise PluginError(
                f"{self._owner} returned the reward {reward!r} {self._place(row)}; a reward is one finite number, at "
                f"most {LARGEST:.2g}, the largest in float32.",
                hint="Its author must change the reward; a wrapper can scale it.",
            )
        return value

    def _flags(self, rows: Sequence[int], said: Sequence[Any]) -> NDArray[np.bool_]:
        """Return terminated or truncated as bools; arrays with one entry are accepted."""
        try:
            flags = np.array(said)
        except ValueError:
            flags = np.array(None)
        if flags.dtype == np.bool_ and flags.shape == (len(rows),):
            return flags
        return np.array([self._flag(row, flag) for row, flag in zip(rows, said, strict=True)])

    def _flag(self, row: int, said: Any) -> bool:
        found = np.asarray(said)
        if found.size != 1 or found.dtype.kind not in "biu":
            raise PluginError(
                f"{self._owner} returned {said!r} as terminated or truncated {self._place(row)}; these are bool."
            )
        return bool(found.item())

    def _all(
        self,
        rows: Sequence[int],
        values: Sequence[Any],
        convert: Callable[[Sequence[Any]], NDArray[Any]],
        refused: Callable[[int, Exception], PluginError],
    ) -> NDArray[Any]:
        """Convert what all rows returned at once; where that fails, name the row that it fails for."""
        try:
            return convert(values)
        except Exception as error:
            for row, value in zip(rows, values, strict=True):
                try:
                    convert([value])
                except Exception as alone:
                    raise refused(row, alone) from alone
            raise refused(rows[0], error) from error

    # Naming ---------------------------------------------------------------------------------------------------------

    def _check_spaces(self, row: int, found: Spaces) -> None:
        for what, there, here in zip(("shows", "takes"), self._known, found, strict=True):
            if here != there:
                raise PluginError(
                    f"{self._owner} changes its spaces: it {what} {there}, and environment {self._first + row} {here}.",
                    hint="Its author must keep the spaces that it declares when it is made, in every episode.",
                )

    def _check_form(self, row: int, method: str, answer: Any) -> None:
        if (what := malformed(method, answer)) is not None:
            place = f"in environment {self._first + row}" if method == "reset" else self._place(row)
            raise PluginError(
                f"{self._owner} returned {what} {place}.",
                hint=f"Its episode began with reset(seed={self._seeds[row]}). Its author must return what "
                "methods of gymnasium.Env do; environments of its predecessor gym are converted by shimmy.",
            )

    def _place(self, row: int) -> str:
        return f"at step {self._lengths[row]} in environment {self._first + row}"

    @contextmanager
    def _guarded(self, row: int, doing: str = "") -> Iterator[None]:
        """Name the environment, what it was doing, and how to see it again, in what is raised within."""
        again = f"Its episode began with reset(seed={self._seeds[row]})."
        what = f"{doing or f'taking step {self._lengths[row]}'} in environment {self._first + row}"
        with guarded(self._owner, what, hint=f"{again} {DEBUG_HINT}"):
            yield


def _stripped(single: gymnasium.Env[Any, Any]) -> tuple[Callable[[Any], tuple[Any, ...]], float]:
    """Return what takes a step, and after how many an episode is truncated.

    Where Gymnasium's own wrappers are outermost, what they do at a step is done here: they take as long as a simple
    environment does.
    """
    limit = math.inf
    if type(single) is TimeLimit:
        limit, single = single._max_episode_steps, single.env
    if type(single) is OrderEnforcing:
        single = single.env
    return single.step, limit

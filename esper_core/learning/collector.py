"""Collecting a rollout: environment → features → masks → policy → step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, Protocol

import numpy as np
import torch
from attrs import define, frozen
from numpy.typing import NDArray
from torch import Tensor

from esper_core.contracts.errors import PluginError
from esper_core.contracts.foreign import UNKNOWN, Owners
from esper_core.contracts.protocols import Environment, FeatureExtractor, Features, MaskProvider, Masks, State
from esper_core.contracts.tensors import mapped
from esper_core.learning.boundary import absent_rows, take_privileged, take_reset, take_step
from esper_core.learning.episodes import Episodes
from esper_core.learning.guard import NotFinite
from esper_core.learning.rollout import Rollout
from esper_core.learning.stopwatch import Stopwatch
from esper_core.learning.teacher import Teacher
from esper_core.policy.boundary import check_mask_form, take_features
from esper_core.policy.executed import executed
from esper_core.policy.masking import check_masks
from esper_core.policy.policy import Policy

Seen = tuple[Features, Masks]
Flags = NDArray[np.bool_]


@frozen
class Collected:
    """What a collection brought beside the rollout; `steps` are without padding.

    `seconds` are those of `features`, `masks`, `policy` (acting, and writing into the rollout), `environment` (reset
    and step, less the phases that the environment names itself), and those phases. `returns` are the summed rewards of
    the episodes that ended, where a rollout is part of episodes; else None.
    """

    events: list[dict[str, Any]]
    steps: int
    seconds: dict[str, float]
    returns: list[float] | None = None


class Collecting(Protocol):
    """What the trainer asks for a rollout: a `Collector`, or what puts those of several processes together."""

    restarts: bool
    teacher: Teacher | None
    episodes: Episodes | None

    def collect(self, seed: int | None, on_step: Callable[[int], object] = ...) -> Collected:
        """Fill the rollout."""


@define
class Collector:
    """Plays in every environment, into a rollout.

    Without `restarts` that is one episode each, from a zero recurrent state. With it, as many steps as the rollout
    holds: rows whose match has ended, `rows` side by side, start anew, and the next rollout goes on with `episodes`.
    Messages count rows from `first` on.
    """

    environment: Environment
    features: FeatureExtractor
    masks: MaskProvider
    policy: Policy
    rollout: Rollout
    generator: torch.Generator
    owners: Owners = UNKNOWN
    restarts: bool = False
    rows: int = 1
    episodes: Episodes | None = None
    teacher: Teacher | None = None
    first: int = 0

    def collect(self, seed: int | None, on_step: Callable[[int], object] = lambda _: None) -> Collected:
        """Play as many steps as the rollout holds, or until every episode has ended.

        `on_step` is called with the number of steps taken: 0 once episodes have begun, then after each step. Raises
        PluginError where a part failed, broke its contract, or gave a reward or an observation that is not finite, and
        NotFinite where the policy became so. `seed` is that of a reset of all, where one is needed.
        """
        watch, events, returns = Stopwatch(), list[dict[str, Any]](), list[float]()
        self.rollout.begin()
        try:
            self._play(seed, on_step, watch, events, returns)
        except Exception:
            # What is not finite may be why something failed; it comes first.
            self._check_played()
            raise
        self._check_played()
        watch.lap("policy")
        steps = int(self.rollout.valid.sum())
        return Collected(events, steps, watch.seconds, returns if self.restarts else None)

    def _play(
        self,
        seed: int | None,
        on_step: Callable[[int], object],
        watch: Stopwatch,
        events: list[dict[str, Any]],
        returns: list[float],
    ) -> None:
        """Write steps into the rollout. What decides how it goes on is looked at on the CPU, in numpy."""
        playing, self.episodes = self.episodes, None
        rollout, owner, environment = self.rollout, self.owners["environment"], self.environment
        envs, device, dtype = rollout.num_envs, rollout.rewards.device, rollout.rewards.dtype
        said, nobody = (environment.state_spec, environment.actions, envs), np.zeros(envs, np.bool_)
        start, starts_nowhere = nobody, torch.zeros(envs, dtype=torch.bool, device=device)
        if playing is None:
            playing, start = self._started(None, watch, seed=seed), ~nobody
        state, recurrent = playing.state, playing.recurrent
        ended, earned, told = playing.ended, playing.returns, playing.privileged
        on_step(0)
        seen: Seen | None = None
        everyone = not ended.any()
        for t in range(rollout.horizon):
            if self.restarts and not everyone and (over := self._over(ended)).any():
                begun = self._started(Episodes(state, recurrent, ended, earned), watch, over)
                state, ended, earned, start, seen = begun.state, begun.ended, begun.returns, start | over, None
                told = begun.privileged
                everyone = not ended.any()
            alive = ~ended
            seen = self._look(t, state, told, alive, watch) if seen is None else _without(seen, alive)
            rollout.add_obs(t, *seen, recurrent)
            if self.teacher is not None and self.teacher.teaches:
                rollout.add_advice(t, self.teacher.advise(state, seen[1], envs))
                watch.lap("teacher")
            starting = starts_nowhere if start is nobody else torch.from_numpy(start).to(device)
            acted = self.policy.get_action(
                *seen, recurrent, generator=self.generator, episode_start=starting, check=False
            )
            rollout.add_action(t, acted)
            recurrent = acted.state
            watch.lap("policy")
            with owner.doing(f"taking step {t}"):
                found: Any = environment.step(executed(environment.actions, acted.actions))
            stepped = take_step(owner, found, *said, device)
            told = take_privileged(owner, found[4], envs, self.policy.privileged, rollout.rewards)
            watch.lap("environment", stepped.seconds)
            terminated, truncated = stepped.terminated.cpu().numpy(), stepped.truncated.cpu().numpy()
            reward = stepped.reward.detach().to("cpu", dtype).numpy()
            if not everyone:
                reward, terminated, truncated = np.where(alive, reward, 0), terminated & alive, truncated & alive
            if not math.isfinite(reward.sum()) and (wrong := ~np.isfinite(reward)).any():
                self._refuse("environment", f"the reward of step {t}", int(wrong.argmax()))
            rollout.add_outcome(t, start, alive, reward, terminated, truncated)
            state, earned, start, seen = stepped.state, earned + reward, nobody, None
            events.extend(stepped.events)
            last, finished = t + 1 == rollout.horizon, terminated | truncated
            if finished.any():
                ended, everyone = ended | finished, False
                returns += earned[finished].tolist()
            if last or not everyone:
                left = truncated & ~terminated | ~ended & last
                seen = self._value(t, state, told, left, ended, recurrent, watch) if left.any() else None
            on_step(t + 1)
            if not self.restarts and ended.all():
                break
        if self.restarts:
            self.episodes = Episodes(state, recurrent, ended, earned, told)

    def _over(self, ended: Flags) -> Flags:
        """Return the rows of matches in which every row has ended, bool `[E]`."""
        over: Flags = ended.reshape(-1, self.rows).all(1).repeat(self.rows)
        return over

    def _started(
        self, playing: Episodes | None, watch: Stopwatch, over: Flags | None = None, *, seed: int | None = None
    ) -> Episodes:
        """Return the episodes after new ones began where matches are `over`; without these, everywhere."""
        owner, environment, rollout = self.owners["environment"], self.environment, self.rollout
        watch.lap("policy")
        with owner.doing("starting episodes"):
            if over is None:
                found: Any = environment.reset(seed=seed)
            else:
                found = environment.reset(options={"reset_mask": over})
        state, seconds = take_reset(owner, found, environment.state_spec, environment.actions, rollout.num_envs)
        absent = absent_rows(owner, found[1], rollout.num_envs, rollout.rewards.device).cpu().numpy()
        told = take_privileged(owner, found[1], rollout.num_envs, self.policy.privileged, rollout.rewards)
        watch.lap("environment", seconds)
        if playing is None or over is None:
            begun = self.policy.initial_state(rollout.num_envs)
            playing = Episodes(state, begun, absent, np.zeros(rollout.num_envs), told)
        else:
            ended, earned = np.where(over, absent, playing.ended), np.where(over, 0.0, playing.returns)
            playing = Episodes(state, playing.recurrent, ended, earned, told)
        if (empty := self._over(playing.ended).nonzero()[0]).size:
            match = int(empty[0]) // self.rows
            raise owner.breach(f"its info['absent'] leaves nobody in match {match}, which has just begun")
        return playing

    @torch.no_grad()
    def _value(
        self, t: int, state: State, told: Tensor | None, left: Flags, ended: Flags, recurrent: Any, watch: Stopwatch
    ) -> Seen:
        """Store the values of the states in which step t `left` rows whose future is not recorded; return what is seen.

        These are rows that it truncated, and after the last step all that go on.
        """
        rollout = self.rollout
        seen = self._look(t + 1, state, told, left | ~ended, watch)
        self._check_seen(seen[0], t + 1)
        check_masks(rollout.actions_spec, seen[1], self.owners["masks"])
        where = torch.from_numpy(left).to(rollout.rewards.device)
        rollout.add_value(t, where, self.policy.value(*seen, recurrent))
        return seen

    def _look(self, t: int, state: State, told: Tensor | None, needed: Flags, watch: Stopwatch) -> Seen:
        """Return what is seen, and `told` to critics alone, and legal.

        Where it is not `needed`, bool `[E]`, nothing is seen and everything legal.
        """
        rollout, envs = self.rollout, self.rollout.num_envs
        device, dtype = rollout.rewards.device, rollout.rewards.dtype
        watch.lap("policy")
        owner = self.owners["features"]
        with owner.doing(f"looking at step {t}"):
            found = self.features(state)
        features = take_features(owner, found, self.features.schema, envs, dtype, device)
        if told is not None:
            features = features._replace(privileged=told)
        watch.lap("features")
        owner = self.owners["masks"]
        with owner.doing(f"saying what is legal at step {t}"):
            masks = self.masks(state)
        check_mask_form(owner, masks, rollout.actions_spec, envs, device)
        watch.lap("masks")
        return _without((features, masks), needed)

    # What is looked at for a whole rollout at once: at every step it would cost as much as acting --------------------

    def _check_played(self) -> None:
        """Finish the rollout; check what was seen, what was legal, and what the policy made of it."""
        rollout = self.rollout
        rollout.finish()
        self._check_seen(rollout.features)
        check_masks(rollout.actions_spec, rollout.masks, self.owners["masks"])
        if self.teacher is not None and self.teacher.teaches:
            self.teacher.check(rollout)
        for log_prob in rollout.log_prob.values():
            if (wrong := _not_finite(log_prob.T)) is not None:
                raise NotFinite(f"the policy's log-probabilities at step {wrong[0]} became NaN or infinite")

    def _check_seen(self, features: Features, t: int | None = None) -> None:
        """Check what is seen at step t, `[E, ...]`, or at all steps, `[E, T, ...]`."""
        said = {"observation": features.obs}
        said |= {f"array '{name}'": value for name, value in features.arrays.items() if value.is_floating_point()}
        if features.privileged is not None:
            said["info['privileged']"] = features.privileged
        for what, value in said.items():
            # The earliest step is what to tell, then the first environment.
            wrong = _not_finite(value.unsqueeze(0) if t is not None else value.transpose(0, 1))
            if wrong is not None:
                step, env, *at = wrong
                names = self.features.schema.names if what == "observation" else ()
                self._refuse("features", f"the {what} of step {step if t is None else t}", env, at, names)

    def _refuse(self, kind: str, what: str, env: int, at: Sequence[int] = (), names: Sequence[str] = ()) -> NoReturn:
        which = f" ({names[at[0]]})" if names else f" at {list(at)}" if at else ""
        raise PluginError(
            f"{self.owners[kind]}: {what} in environment {self.first + env}{which} is not finite.",
            hint="Find the cause in the environment or in the features; training on it would ruin the policy.",
        )


def _not_finite(value: Tensor) -> list[int] | None:
    """Return where a tensor is not finite first, or None."""
    # Half the time of looking at every number: a sum that is finite has no other in it.
    if math.isfinite(value.detach().sum()):
        return None
    wrong = (~torch.isfinite(value)).nonzero()
    found: list[int] | None = wrong[0].tolist() if len(wrong) else None
    return found


def _without(seen: Seen, needed: Flags) -> Seen:
    """Return what is seen with nothing in the rows that are not needed, so that nothing there is learned from."""
    if needed.all():
        return seen
    features, masks = seen
    rows = torch.from_numpy(needed).to(features.obs.device)
    features = mapped(features, lambda value: torch.where(_beside(rows, value), value, torch.zeros_like(value)))
    return features, mapped(masks, lambda value: value | ~_beside(rows, value))


def _beside(rows: Tensor, value: Tensor) -> Tensor:
    """Return `rows [E]` with as many dimensions as a value `[E, ...]`."""
    return rows.view(-1, *[1] * (value.dim() - 1))

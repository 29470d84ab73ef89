"""Collecting a rollout: environment → features → masks → policy → step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from attrs import define, frozen
from torch import Tensor

from esper_core.contracts.errors import PluginError
from esper_core.contracts.foreign import UNKNOWN, Owner, Owners
from esper_core.contracts.protocols import Environment, FeatureExtractor, Features, MaskProvider, Masks, State
from esper_core.contracts.tensors import mapped
from esper_core.learning.boundary import absent_rows, take_reset, take_step
from esper_core.learning.episodes import Episodes
from esper_core.learning.guard import check_finite
from esper_core.learning.rollout import Rollout
from esper_core.learning.stopwatch import Stopwatch
from esper_core.policy.boundary import check_mask_form, take_features
from esper_core.policy.executed import executed
from esper_core.policy.masking import check_masks
from esper_core.policy.policy import Policy

Seen = tuple[Features, Masks]


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


@define
class Collector:
    """Plays in every environment, into a rollout.

    Without `restarts` that is one episode each, from a zero recurrent state. With it, as many steps as the rollout
    holds: rows whose match has ended, `rows` side by side, start anew, and the next rollout goes on with `episodes`.
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

    def collect(self, seed: int | None, on_step: Callable[[int], object] = lambda _: None) -> Collected:
        """Play as many steps as the rollout holds, or until every episode has ended.

        `on_step` is called with the number of steps taken: 0 once episodes have begun, then after each step. Raises
        PluginError where a part failed, broke its contract, or gave a reward or an observation that is not finite, and
        NotFinite where the policy became so. `seed` is that of a reset of all, where one is needed.
        """
        playing, self.episodes = self.episodes, None
        rollout, watch, events, returns = self.rollout, Stopwatch(), [], []
        owner, environment, envs = self.owners["environment"], self.environment, rollout.num_envs
        said = (environment.state_spec, environment.actions, envs)
        rollout.begin()
        start = torch.zeros_like(rollout.valid[:, 0])
        if playing is None:
            playing, start = self._started(None, watch, seed=seed), ~start
        state, recurrent, ended, earned = playing.state, playing.recurrent, playing.ended, playing.returns
        on_step(0)
        seen: Seen | None = None
        for t in range(rollout.horizon):
            if self.restarts and bool((over := self._over(ended)).any()):
                playing = self._started(Episodes(state, recurrent, ended, earned), watch, over)
                state, ended, earned, start, seen = playing.state, playing.ended, playing.returns, start | over, None
            alive = ~ended
            seen = self._look(t, state, alive, watch) if seen is None else _without(seen, alive)
            rollout.add_start(t, start, recurrent)
            rollout.add_obs(t, *seen)
            acted = self.policy.get_action(*seen, recurrent, generator=self.generator, episode_start=start)
            check_finite(f"the policy's log-probabilities at step {t}", torch.stack(list(acted.log_prob.values())))
            recurrent = acted.state
            rollout.add_action(t, acted.actions, acted.log_prob)
            watch.lap("policy")
            with owner.doing(f"taking step {t}"):
                found: Any = environment.step(executed(environment.actions, acted.actions))
            stepped = take_step(owner, found, *said, rollout.rewards.device)
            watch.lap("environment", stepped.seconds)
            reward = stepped.reward.to(rollout.rewards.dtype)
            self._check(owner, reward, f"the reward of step {t}", alive)
            rollout.add_reward(t, reward, stepped.terminated, stepped.truncated, alive)
            state, earned = stepped.state, earned + rollout.rewards[:, t]
            ended = ended | stepped.terminated | stepped.truncated
            if bool((finished := alive & ended).any()):
                returns += earned[finished].tolist()
            events.extend(stepped.events)
            seen = self._value(t, state, ended, recurrent, watch)
            on_step(t + 1)
            start = torch.zeros_like(start)
            if not self.restarts and bool(ended.all()):
                break
        rollout.finish(t + 1)
        if self.restarts:
            self.episodes = Episodes(state, recurrent, ended, earned)
        watch.lap("policy")
        steps = int(rollout.valid.sum())
        return Collected(events, steps, watch.seconds, returns if self.restarts else None)

    def _over(self, ended: Tensor) -> Tensor:
        """Return the rows of matches in which every row has ended, bool `[E]`."""
        return ended.view(-1, self.rows).all(1).repeat_interleave(self.rows)

    def _started(
        self, playing: Episodes | None, watch: Stopwatch, over: Tensor | None = None, *, seed: int | None = None
    ) -> Episodes:
        """Return the episodes after new ones began where matches are `over`; without these, everywhere."""
        owner, environment, rollout = self.owners["environment"], self.environment, self.rollout
        watch.lap("policy")
        with owner.doing("starting episodes"):
            if over is None:
                found: Any = environment.reset(seed=seed)
            else:
                found = environment.reset(options={"reset_mask": over.cpu().numpy()})
        state, seconds = take_reset(owner, found, environment.state_spec, environment.actions, rollout.num_envs)
        absent = absent_rows(owner, found[1], rollout.num_envs, rollout.rewards.device)
        watch.lap("environment", seconds)
        if playing is None or over is None:
            earned = torch.zeros_like(absent, dtype=torch.float64)
            playing = Episodes(state, self.policy.initial_state(rollout.num_envs), absent, earned)
        else:
            earned = torch.where(over, 0.0, playing.returns)
            playing = Episodes(state, playing.recurrent, torch.where(over, absent, playing.ended), earned)
        if empty := self._over(playing.ended).nonzero().flatten().tolist():
            match = empty[0] // self.rows
            raise owner.breach(f"its info['absent'] leaves nobody in match {match}, which has just begun")
        return playing

    @torch.no_grad()
    def _value(self, t: int, state: State, ended: Tensor, recurrent: Any, watch: Stopwatch) -> Seen | None:
        """Store the values of the states in which step t left rows whose future is not recorded; return what is seen.

        These are rows that it truncated, and after the last step all that go on.
        """
        rollout = self.rollout
        where = rollout.truncated[:, t] & ~rollout.terminated[:, t]
        if t + 1 == rollout.horizon:
            where = where | ~ended
        if not bool(where.any()):
            return None
        seen = self._look(t + 1, state, where | ~ended, watch)
        check_masks(rollout.actions_spec, seen[1], self.owners["masks"])
        rollout.add_value(t, where, self.policy.value(*seen, recurrent))
        return seen

    def _look(self, t: int, state: State, needed: Tensor, watch: Stopwatch) -> Seen:
        """Return what is seen and legal; where it is not `needed`, bool `[E]`, nothing is seen and everything legal."""
        rollout, envs = self.rollout, self.rollout.num_envs
        device, dtype = rollout.rewards.device, rollout.rewards.dtype
        watch.lap("policy")
        owner = self.owners["features"]
        with owner.doing(f"looking at step {t}"):
            found = self.features(state)
        features = take_features(owner, found, self.features.schema, envs, dtype, device)
        self._check(owner, features.obs, f"the observation of step {t}", needed, self.features.schema.names)
        for name, value in features.arrays.items():
            if value.is_floating_point():
                self._check(owner, value, f"the array '{name}' of step {t}", needed)
        watch.lap("features")
        owner = self.owners["masks"]
        with owner.doing(f"saying what is legal at step {t}"):
            masks = self.masks(state)
        check_mask_form(owner, masks, rollout.actions_spec, envs, device)
        watch.lap("masks")
        return _without((features, masks), needed)

    def _check(self, owner: Owner, value: Tensor, what: str, needed: Tensor, names: Sequence[str] = ()) -> None:
        # Half the time of looking at every number, at every step: a sum that is finite has no other in it.
        if math.isfinite(value.detach().sum()):
            return
        wrong = ~torch.isfinite(value) & _beside(needed, value)
        if not bool(wrong.any()):
            return
        env, *at = wrong.nonzero()[0].tolist()
        which = f" ({names[at[0]]})" if names else f" at {at}" if at else ""
        raise PluginError(
            f"{owner}: {what} in environment {env}{which} is not finite.",
            hint="Find the cause in the environment or in the features; training on it would ruin the policy.",
        )


def _without(seen: Seen, needed: Tensor) -> Seen:
    """Return what is seen with nothing in the rows that are not needed, so that nothing there is learned from."""
    if bool(needed.all()):
        return seen
    features, masks = seen
    features = mapped(features, lambda value: torch.where(_beside(needed, value), value, torch.zeros_like(value)))
    return features, mapped(masks, lambda value: value | ~_beside(needed, value))


def _beside(rows: Tensor, value: Tensor) -> Tensor:
    """Return `rows [E]` with as many dimensions as a value `[E, ...]`."""
    return rows.view(-1, *[1] * (value.dim() - 1))

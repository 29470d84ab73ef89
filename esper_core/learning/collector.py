"""Collecting whole episodes: environment → features → masks → policy → step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from esper_core.contracts.errors import PluginError
from esper_core.contracts.foreign import UNKNOWN, Owner, Owners
from esper_core.contracts.protocols import Environment, FeatureExtractor, Features, MaskProvider, Masks, State
from esper_core.learning.boundary import take_reset, take_step
from esper_core.learning.guard import check_finite
from esper_core.learning.rollout import Rollout
from esper_core.learning.stopwatch import Stopwatch
from esper_core.policy.boundary import check_mask_form, take_features
from esper_core.policy.executed import executed
from esper_core.policy.policy import Policy


@frozen
class Collected:
    """What a collection brought beside the rollout; `steps` are without padding.

    `seconds` are those of `features`, `masks`, `policy` (acting, and writing into the rollout), `environment` (reset
    and step, less the phases that the environment names itself), and those phases.
    """

    events: list[dict[str, Any]]
    steps: int
    seconds: dict[str, float]


@frozen
class Collector:
    """Plays one episode in every environment, from a zero recurrent state, into a rollout."""

    environment: Environment
    features: FeatureExtractor
    masks: MaskProvider
    policy: Policy
    rollout: Rollout
    generator: torch.Generator
    owners: Owners = UNKNOWN

    def collect(self, seed: int | None, on_step: Callable[[int], object] = lambda _: None) -> Collected:
        """Play until every episode has ended, at most `horizon` steps.

        `on_step` is called with the number of steps taken: 0 once the episodes have begun, then after each step. Raises
        PluginError where a part failed, broke its contract, or gave a reward or an observation that is not finite, and
        NotFinite where the policy became so.
        """
        rollout, watch, events = self.rollout, Stopwatch(), []
        owner, environment, envs = self.owners["environment"], self.environment, self.rollout.num_envs
        said = (environment.state_spec, environment.actions, envs)
        rollout.begin()
        with owner.doing("starting episodes"):
            found: Any = environment.reset(seed=seed)
        state, seconds = take_reset(owner, found, *said)
        watch.lap("environment", seconds)
        recurrent = self.policy.initial_state(envs)
        running = torch.ones_like(rollout.valid[:, 0])
        seen = self._look(0, state, watch)
        on_step(0)
        for t in range(rollout.horizon):
            rollout.add_obs(t, *seen)
            acted = self.policy.get_action(
                *seen, recurrent, generator=self.generator, episode_start=rollout.episode_start[:, t]
            )
            check_finite(f"the policy's log-probabilities at step {t}", torch.stack(list(acted.log_prob.values())))
            recurrent = acted.state
            rollout.add_action(t, acted.actions, acted.log_prob)
            watch.lap("policy")
            with owner.doing(f"taking step {t}"):
                found = environment.step(executed(environment.actions, acted.actions))
            stepped = take_step(owner, found, *said, rollout.rewards.device)
            watch.lap("environment", stepped.seconds)
            reward = stepped.reward.to(rollout.rewards.dtype)
            self._check(owner, reward, f"the reward of step {t}")
            rollout.add_reward(t, reward, stepped.terminated, stepped.truncated, running)
            running = running & ~(stepped.terminated | stepped.truncated)
            events.extend(stepped.events)
            seen = self._look(t + 1, stepped.state, watch)
            on_step(t + 1)
            if not bool(running.any()):
                break
        rollout.finish(t + 1, *seen)
        watch.lap("policy")
        return Collected(events, int(rollout.valid.sum()), watch.seconds)

    def _look(self, t: int, state: State, watch: Stopwatch) -> tuple[Features, Masks]:
        rollout, envs = self.rollout, self.rollout.num_envs
        device, dtype = rollout.rewards.device, rollout.rewards.dtype
        watch.lap("policy")
        owner = self.owners["features"]
        with owner.doing(f"looking at step {t}"):
            found = self.features(state)
        features = take_features(owner, found, self.features.schema, envs, dtype, device)
        self._check(owner, features.obs, f"the observation of step {t}")
        watch.lap("features")
        owner = self.owners["masks"]
        with owner.doing(f"saying what is legal at step {t}"):
            masks = self.masks(state)
        check_mask_form(owner, masks, rollout.actions_spec, envs, device)
        watch.lap("masks")
        return features, masks

    def _check(self, owner: Owner, value: Tensor, what: str) -> None:
        finite = torch.isfinite(value)
        if bool(finite.all()):
            return
        env, *column = (~finite).nonzero()[0].tolist()
        which = f" ({self.features.schema.names[column[0]]})" if column else ""
        raise PluginError(
            f"{owner}: {what} in environment {env}{which} is not finite.",
            hint="Find the cause in the environment or in the features; training on it would ruin the policy.",
        )

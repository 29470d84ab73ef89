"""The speed of environments alone: a rule plays them, so that nothing is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from esper_core.bench.repeats import one_thread
from esper_core.bench.speed import Speed
from esper_core.contracts.protocols import Environment, FeatureExtractor, MaskProvider, Rule
from esper_core.learning.stopwatch import Stopwatch
from esper_core.registry.build import build_beside, build_parts, make_context, resolve_device
from esper_core.registry.plan import describe_plan
from esper_core.registry.resolve import resolve

if TYPE_CHECKING:
    from esper_core.contracts.protocols import Say
    from esper_core.registry.index import Index
    from esper_core.registry.plan import Plan

WARM_UP_STEPS = 2


def measure_play(plan: Plan, index: Index, rule: str, episodes: int, say: Say) -> Speed:
    """Let a rule play whole episodes from the plan's seed and return the speed.

    Features and masks are computed in every step, as in a run. Before the clock starts a few steps are taken, so that
    what the environment prepares once and keeps is not measured.
    """
    say("preparing environments")
    with one_thread():
        parts = build_parts(plan, index, only=set(plan.kinds) - {"network", "critic", "loss"} | {"environment"})
        environment = parts["environment"]
        try:
            device = resolve_device(plan.device)
            context = make_context(plan, describe_plan(plan, index), device=device, parts=parts)
            player = build_beside(resolve(index, "rule", rule), index, context)
            play = _Play(environment, parts["features"], parts["masks"], player, plan.seed)
            play.episode(WARM_UP_STEPS)
            play.begin()
            for number in range(episodes):
                say(f"playing: episode {number + 1} of {episodes}")
                play.episode(environment.horizon)
        finally:
            environment.close()
    seconds = play.watch.seconds
    return Speed(play.steps, sum(seconds.values()), seconds)


class _Play:
    """A rule, what it acts on, and the time it takes."""

    def __init__(
        self, environment: Environment, features: FeatureExtractor, masks: MaskProvider, rule: Rule, seed: int
    ) -> None:
        self.environment, self.features, self.masks, self.rule, self.seed = environment, features, masks, rule, seed
        self.begin()

    def begin(self) -> None:
        """Start the random streams and the clock anew."""
        self.generator = torch.Generator().manual_seed(self.seed)
        self.reset_seed: int | None = self.seed
        self.steps, self.watch = 0, Stopwatch()

    def episode(self, steps: int) -> None:
        """Take steps from the beginning of new episodes, at most until all have ended."""
        watch = self.watch
        state, info = self.environment.reset(seed=self.reset_seed)
        self.reset_seed = None
        self.rule.reset(self.environment.num_envs)
        running = torch.ones(self.environment.num_envs, dtype=torch.bool)
        watch.lap("environment", info.get("seconds"))
        for _ in range(steps):
            self.features(state)
            watch.lap("features")
            masks = self.masks(state)
            watch.lap("masks")
            actions = self.rule(state, masks, self.generator)
            watch.lap("policy")
            state, _, terminated, truncated, info = self.environment.step(actions)
            self.steps += int(running.sum())
            running &= ~(terminated | truncated).cpu()
            watch.lap("environment", info.get("seconds"))
            if not bool(running.any()):
                return

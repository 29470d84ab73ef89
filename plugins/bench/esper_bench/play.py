"""The speed of environments alone: a rule plays them, so that nothing is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from attrs import frozen
from torch import Tensor

from esper_bench.repeats import one_thread
from esper_bench.speed import Speed
from esper_core.composition.build import build_beside, build_environment
from esper_core.composition.plan import owners_of
from esper_core.contracts.foreign import Owners, close_safely
from esper_core.contracts.protocols import FeatureExtractor, Masks, Rule
from esper_core.learning.stopwatch import Stopwatch
from esper_core.registry.resolve import resolve
from esper_testing.player import ForeignRule, play

if TYPE_CHECKING:
    from esper_core.composition.plan import Plan
    from esper_core.contracts.protocols import Say, State
    from esper_core.registry.index import Index

WARM_UP_STEPS = 2


def measure_play(plan: Plan, index: Index, rule: str, episodes: int, say: Say) -> Speed:
    """Let a rule play whole episodes from the plan's seed and return the speed.

    Features and masks are computed in every step, as in a run. Before the clock starts a few steps are taken, so that
    what the environment prepares once and keeps is not measured.
    """
    say("preparing environments")
    with one_thread():
        context, owners = build_environment(plan, index), owners_of(plan, index)
        parts, environment = context.parts, context.parts["environment"]
        try:
            component = resolve(index, "rule", rule)
            player = ForeignRule(build_beside(component, index, context), component.owner, environment.actions)
            features, masks = parts["features"], parts["masks"]
            warming = _Watched(player, features, Stopwatch(), owners)
            play(environment, masks, warming, seed=plan.seed, steps=WARM_UP_STEPS, owners=owners)
            watch, generator, steps = Stopwatch(), torch.Generator().manual_seed(plan.seed), 0
            watched = _Watched(player, features, watch, owners)
            for number in range(episodes):
                say(f"playing: episode {number + 1} of {episodes}")
                seed = plan.seed if number == 0 else None
                played = play(environment, masks, watched, generator, seed=seed, watch=watch, owners=owners)
                steps += int(played.lengths.sum())
        finally:
            close_safely(owners["environment"], environment.close, say)
    return Speed(steps, sum(watch.seconds.values()), watch.seconds)


@frozen
class _Watched:
    """A rule before whose every turn features are computed, as in a run."""

    rule: Rule
    features: FeatureExtractor
    watch: Stopwatch
    owners: Owners

    def reset(self, num_envs: int) -> None:
        self.rule.reset(num_envs)

    def __call__(self, state: State, masks: Masks, generator: torch.Generator) -> dict[str, Tensor]:
        with self.owners["features"].doing("looking"):
            self.features(state)
        self.watch.lap("features")
        return self.rule(state, masks, generator)

"""The same steps in every runtime."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

from torch import Tensor

from esper_growth.actions import Algorithm
from esper_growth.conformance import stand_in
from esper_growth.fused.runtime import FusedRuntime
from esper_growth.model import SeedSetting
from esper_growth.one_by_one import EngineRuntime, LoopRuntime
from esper_growth.problems import Problems
from esper_growth.protocols import Blueprint, Host, Task
from esper_growth.stages import Stage

HOSTS, SLOTS, EPOCHS, BOUND = 3, 2, 2, 1e-9

GROWN: tuple[dict[int, SeedSetting], ...] = (
    {
        0: SeedSetting(Stage.TRAINING, 0.0, Algorithm.ADD, False),
        1: SeedSetting(Stage.HOLDING, 0.7, Algorithm.GATE, False),
    },
    {0: SeedSetting(Stage.BLENDING, 0.3, Algorithm.MULTIPLY, False)},
    {},
)
"""How seeds take part, host by host."""


def check_steps(host: Host, task: Task, blueprints: Mapping[str, Blueprint]) -> None:
    """Assert that the other runtimes take the steps that the loop takes, to 1e-9 in float64.

    Args:
        host: What trains.
        task: What it is trained on, in float64.
        blueprints: At most one, which every seed is of; without one there are no seeds.
    """
    settings = [dict(seeds) if blueprints else {} for seeds in GROWN]

    def train(kind: type[FusedRuntime] | type[LoopRuntime]) -> list[dict[str, Tensor]]:
        with closing(kind(stand_in.CONFIG, Problems(task, host, blueprints, SLOTS))) as runtime:
            runtime.start(range(HOSTS))
            for env, seeds in enumerate(settings):
                for slot, setting in seeds.items():
                    runtime.germinate(env, slot, next(iter(blueprints)), setting.algorithm)
            for _ in range(EPOCHS):
                runtime.train_epoch(settings, [True] * HOSTS)
            return [runtime.weights(env) for env in range(HOSTS)]

    expected = train(LoopRuntime)
    for kind in (EngineRuntime, FusedRuntime):
        worst, where = 0.0, ""
        for found, right in zip(train(kind), expected, strict=True):
            for name, value in right.items():
                difference = float((value - found[name]).abs().max())
                if not difference <= worst:
                    worst, where = difference, name
        assert worst < BOUND, f"in the runtime '{kind.name}', '{where}' is off by {worst:.1e}"

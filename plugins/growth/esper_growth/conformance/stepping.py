"""The same steps in both runtimes."""

from __future__ import annotations

from collections.abc import Mapping

from esper_growth.actions import Algorithm
from esper_growth.conformance import stand_in
from esper_growth.fused.runtime import FusedRuntime
from esper_growth.loop import LoopRuntime
from esper_growth.model import SeedSetting
from esper_growth.protocols import Blueprint, Host, Task
from esper_growth.stages import Stage

HOSTS, SLOTS, EPOCHS = 3, 2, 2

GROWN: tuple[dict[int, SeedSetting], ...] = (
    {
        0: SeedSetting(Stage.TRAINING, 0.0, Algorithm.ADD, False),
        1: SeedSetting(Stage.HOLDING, 0.7, Algorithm.GATE, False),
    },
    {0: SeedSetting(Stage.BLENDING, 0.3, Algorithm.MULTIPLY, False)},
    {},
)
"""How seeds take part, host by host."""


def largest_difference(host: Host, task: Task, blueprints: Mapping[str, Blueprint]) -> tuple[float, str]:
    """Return by how much, and where, a parameter differs most after the same steps fused and one by one.

    Args:
        host: What trains.
        task: What it is trained on.
        blueprints: At most one, which every seed is of; without one there are no seeds.
    """
    runtimes = [kind(stand_in.CONFIG, task, host, blueprints, SLOTS) for kind in (FusedRuntime, LoopRuntime)]
    settings = [dict(seeds) if blueprints else {} for seeds in GROWN]
    for runtime in runtimes:
        runtime.start(range(HOSTS))
        for env, seeds in enumerate(settings):
            for slot, setting in seeds.items():
                runtime.germinate(env, slot, next(iter(blueprints)), setting.algorithm)
        for _ in range(EPOCHS):
            runtime.train_epoch(settings, [True] * HOSTS)
    fused, loop = runtimes
    assert isinstance(fused, FusedRuntime) and isinstance(loop, LoopRuntime)
    worst, where = 0.0, ""
    for env, run in enumerate(loop.hosts):
        content = fused.read(env)
        for name, parameter in run.model.named_parameters():
            difference = float((parameter.detach() - content[name][0]).abs().max())
            if not difference <= worst:
                worst, where = difference, name
    for runtime in runtimes:
        runtime.close()
    return worst, where

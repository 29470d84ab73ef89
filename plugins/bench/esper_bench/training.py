"""The speed of training as it really runs: the trainer of a plan, update included."""

from __future__ import annotations

from typing import TYPE_CHECKING

from esper_bench.speed import Speed
from esper_core.contracts.foreign import close_safely
from esper_core.learning.session import open_session

if TYPE_CHECKING:
    from esper_core.composition.plan import Plan
    from esper_core.contracts.protocols import Say
    from esper_core.learning.trainer import StepProgress
    from esper_core.registry.index import Index

SAY_EVERY = 20
"""Steps between two words about progress."""


def measure_training(plan: Plan, index: Index, updates: int, say: Say) -> Speed:
    """Train for some updates and return the speed of the median one.

    The environment is reset once before the clock starts, so that what it prepares once and keeps is not measured.
    """
    say("preparing environments")
    trainer = open_session(plan, index)
    owner = trainer.owners["environment"]

    def on_step(progress: StepProgress) -> None:
        if progress.phase == "collect" and progress.step % SAY_EVERY == 0:
            say(f"training: update {progress.update} of {updates}, step {progress.step} of {progress.steps}")

    speeds, before = [], 0
    try:
        with owner.doing("starting episodes"):
            trainer.environment.reset()
        for update in trainer.run(updates, on_step):
            timing = update.timing
            speeds.append(Speed(update.environment_steps - before, timing["seconds"], timing["phases"]))
            before = update.environment_steps
    finally:
        close_safely(owner, trainer.environment.close, say)
    return sorted(speeds, key=lambda speed: speed.seconds / speed.steps)[len(speeds) // 2]

"""The workload `my-workload`: how fast `lstm-v1` trains a few small hosts, and where the time goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from esper_bench.machine import Ceilings
from esper_bench.training import measure_training
from esper_bench.workload import Target
from my_workload.config import MyWorkloadConfig

if TYPE_CHECKING:
    from esper_core.composition.plan import Plan
    from esper_core.contracts.protocols import Say
    from esper_core.registry.index import Index

SPEED = "environment_steps_per_second"


class MyWorkload:
    """Kind `workload`."""

    def __init__(self, config: MyWorkloadConfig, context: None = None) -> None:
        self.config = config
        # A bound that a laptop reaches: one that nothing can miss says nothing.
        self.targets = (Target(SPEED, 20.0, meaning=f"{config.envs} hosts, {config.slots} slots, update included"),)

    @property
    def choices(self) -> dict[str, Any]:
        """What is trained: fields of a `PlanRequest`. The user's flags come on top."""
        return {
            "policy": "lstm-v1",
            "environment": "growth",
            "slots": str(self.config.slots),
            "envs": self.config.envs,
            "epochs": self.config.epochs,
            # Few hosts, again and again: what one costs does not depend on which it is.
            "options": ("environment.instances=2", "task.train_samples=200"),
            "seed": 0,
            "device": "cpu",
        }

    def measure(self, plan: Plan, index: Index, *, quick: bool, say: Say) -> dict[str, Any]:
        """Train, and return steps per second and the seconds of every phase."""
        return measure_training(plan, index, 1 if quick else self.config.updates, say).figures()

    def evidence(
        self, plan: Plan, index: Index, figure: str, figures: Mapping[str, Any], ceilings: Ceilings
    ) -> dict[str, Any]:
        """Return why a figure that misses its target could be no better here: what the time was spent on."""
        return {"phases": figures["phases"], "cores_at_once": ceilings.cores_at_once}

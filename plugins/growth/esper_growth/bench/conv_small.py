"""The workload `conv-small`: four hosts of the size that the nearest public system trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from esper_bench.machine import Ceilings, measure_ceilings
from esper_bench.play import measure_play
from esper_bench.workload import Target
from esper_growth.bench.comparison import TURNS, compare, targets
from esper_growth.bench.floor import evidence
from esper_growth.bench.hosts import HostBench

if TYPE_CHECKING:
    from esper_core.composition.plan import Plan
    from esper_core.contracts.protocols import Say
    from esper_core.registry.index import Index


@frozen
class ConvSmallWorkload:
    """Kind `workload`: 8-16-32 channels on 3×32×32 synthetic images, two batches of 128 and 64 validation samples.

    Attributes:
        envs: E.
        slots: N.
        epochs: Host epochs per episode.
        episodes: Episodes that the rule `random` plays in every environment; one when quick.
        turns: Turns of the comparison.
        samples: Training samples.
        size: Height and width of an image.
    """

    envs: int = 4
    slots: int = 3
    epochs: int = 20
    episodes: int = 10
    turns: int = TURNS
    samples: int = 256
    size: int = 32
    targets: tuple[Target, ...] = field(init=False)

    @targets.default
    def _targets(self) -> tuple[Target, ...]:
        return targets(over_plain_loop=3.0, share_of_best=0.35)

    @property
    def choices(self) -> dict[str, Any]:
        """What is trained."""
        return {
            "policy": "lstm-v2",
            "slots": str(self.slots),
            "uses": {"environment": "growth", "task": "synthetic", "host": "conv"},
            "options": (
                "environment.instances=2",
                "environment.batch_size=128",
                f"task.samples={self.samples}",
                f"task.size={self.size}",
            ),
            "envs": self.envs,
            "epochs": self.epochs,
            "seed": 0,
            "device": "cpu",
        }

    def measure(self, plan: Plan, index: Index, *, quick: bool, say: Say) -> dict[str, Any]:
        """Return how hosts train beside the plain loop, and the speed of uniform legal play."""
        bench = HostBench.of(plan, index)
        figures = compare(bench, measure_ceilings(), hosts=plan.envs, turns=self.turns, say=say)
        return figures | measure_play(plan, index, "random", 1 if quick else self.episodes, say).figures()

    def evidence(
        self, plan: Plan, index: Index, figure: str, figures: Mapping[str, Any], ceilings: Ceilings
    ) -> dict[str, Any]:
        """Return what an epoch costs, or what else bounds the figure."""
        return evidence(HostBench.of(plan, index), ceilings, figure, figures)


def conv_small(config: None, context: None) -> ConvSmallWorkload:
    """Return the workload at its full size."""
    return ConvSmallWorkload()

"""The workload `conv-small`: four hosts of the size that the nearest public system trains, played at random."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from esper_bench.machine import Ceilings
from esper_bench.play import measure_play
from esper_bench.workload import Target
from esper_growth.bench.floor import epoch_evidence
from esper_growth.bench.rates import HostBench, Way

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
        episodes: Episodes that the rule `random` plays in every environment.
        quick_episodes: The same when quick.
        samples: Training samples.
        size: Height and width of an image.
    """

    envs: int = 4
    slots: int = 3
    epochs: int = 60
    episodes: int = 10
    quick_episodes: int = 3
    samples: int = 256
    size: int = 32
    targets: tuple[Target, ...] = field(init=False)

    @targets.default
    def _targets(self) -> tuple[Target, ...]:
        return (Target("environment_steps_per_second", 35.0, meaning=f"{self.envs} hosts, {self.slots} slots"),)

    @property
    def choices(self) -> dict[str, Any]:
        """What is trained."""
        return {
            "policy": "lstm-v2",
            "slots": str(self.slots),
            "uses": {"environment": "growth", "task": "synthetic", "host": "conv"},
            "options": (
                "environment.runtime=fused",
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
        """Return the speed of uniform legal play."""
        return measure_play(plan, index, "random", self.quick_episodes if quick else self.episodes, say).figures()

    def evidence(
        self, plan: Plan, index: Index, figure: str, figures: Mapping[str, Any], ceilings: Ceilings
    ) -> dict[str, Any]:
        """Return what an epoch costs with empty slots, and with a seed in every slot."""
        bench = HostBench.of(plan, index)
        ways = {"loop": Way("loop", 1), "fused": Way("fused", bench.config.workers)}
        evidence: dict[str, Any] = {}
        for what, occupied in (("empty", 0), ("occupied", self.slots)):
            rates = bench.rates(ways, envs=self.envs, slots=self.slots, occupied=occupied, repeats=3)
            evidence[what] = epoch_evidence(bench, ceilings, slots=self.slots, occupied=occupied, rates=rates)
        return evidence


def conv_small(config: None, context: None) -> ConvSmallWorkload:
    """Return the workload at its full size."""
    return ConvSmallWorkload()

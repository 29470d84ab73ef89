"""The workload `digits`: sixteen small hosts with three slots on real digits, and the whole run around them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import asdict, evolve, field, frozen

from esper_bench import pieces
from esper_bench.cost import count
from esper_bench.machine import Ceilings
from esper_bench.repeats import median_ratio, median_seconds, one_thread
from esper_bench.training import measure_training
from esper_bench.workload import Target
from esper_core import SlotConfig
from esper_growth.bench.floor import epoch_evidence
from esper_growth.bench.rates import HostBench, Way

if TYPE_CHECKING:
    from esper_core.composition.plan import Plan
    from esper_core.contracts.protocols import Say
    from esper_core.registry.index import Index

HOST_FIGURES = {"fused_over_loop": "occupied", "fused_over_loop_empty": "empty"}
GAE_STEPS, GAE_ENVS = 150, 16
UPDATE_STEPS, UPDATE_ENVS = 150, 4


@frozen
class DigitsWorkload:
    """Kind `workload`. Hosts repeat few instances: what they cost does not depend on which they are.

    Attributes:
        envs: E.
        slots: N.
        epochs: Host epochs per episode.
        observed_slots: N of the step whose features and masks are measured.
        repeats: Turns of each comparison of runtimes, quick or not.
        updates: Updates of the training run when not quick.
        table_envs: E of the rows of the table, each with 0, 1 and all slots occupied.
        table_slots: N of the rows that show how speed scales with it.
        train_samples: Size of the training split.
    """

    envs: int = 16
    slots: int = 3
    epochs: int = 60
    observed_slots: int = 5
    repeats: int = 5
    updates: int = 3
    table_envs: tuple[int, ...] = (1, 4, 16, 64)
    table_slots: tuple[int, ...] = (1, 3, 5, 8)
    train_samples: int = 1000
    targets: tuple[Target, ...] = field(init=False)

    @targets.default
    def _targets(self) -> tuple[Target, ...]:
        every = f"{self.envs} hosts, {self.slots} slots"
        return (
            Target("fused_over_loop", 2.5, meaning=f"hosts·epochs/s over the plain loop, {every} that all hold a seed"),
            Target("fused_over_loop_empty", 2.5, meaning="the same with empty slots"),
            Target(
                "features_and_masks_ms",
                0.6,
                smaller_is_better=True,
                meaning=f"per step, {self.envs} × {self.observed_slots} slots",
            ),
            Target("gae_ms", 3.0, smaller_is_better=True, meaning=f"{GAE_ENVS} × {GAE_STEPS} steps"),
            Target(
                "other_share",
                0.10,
                smaller_is_better=True,
                meaning="of a training run's wall time, neither host training nor validation",
            ),
        )

    @property
    def choices(self) -> dict[str, Any]:
        """What is trained."""
        return {
            "policy": "lstm-v2",
            "slots": str(self.slots),
            "uses": {"environment": "growth", "task": "digits", "host": "pointwise"},
            "options": (
                "environment.runtime=fused",
                "environment.instances=2",
                f"task.train_samples={self.train_samples}",
            ),
            "envs": self.envs,
            "epochs": self.epochs,
            "seed": 0,
            "device": "cpu",
        }

    def measure(self, plan: Plan, index: Index, *, quick: bool, say: Say) -> dict[str, Any]:
        """Return the figures; the tables only when there is time for them."""
        bench = HostBench.of(plan, index)
        figures: dict[str, Any] = {}
        rates: dict[str, dict[str, float]] = {}
        for name, what in HOST_FIGURES.items():
            say(f"training hosts, fused and one by one: slots {what}")
            occupied = self.slots if what == "occupied" else 0
            ways = {"loop": Way("loop", 1), "fused": Way("fused", bench.config.workers)}
            seconds = bench.compare(ways, envs=self.envs, slots=self.slots, occupied=occupied, repeats=self.repeats)
            figures[name] = median_ratio(seconds["loop"], seconds["fused"])
            rates[what] = {way: self.envs / statistics.median(times) for way, times in seconds.items()}
        figures |= measure_training(plan, index, 1 if quick else self.updates, say).figures()
        say("features and masks, advantages, update")
        figures |= self._pieces(plan, index, quick)
        figures["host_epochs_per_second"] = rates
        if not quick:
            figures["by_envs"] = list(self._by_envs(bench, say))
            figures["by_slots"] = list(self._by_slots(bench, say))
        return figures

    def evidence(
        self, plan: Plan, index: Index, figure: str, figures: Mapping[str, Any], ceilings: Ceilings
    ) -> dict[str, Any]:
        """Return what the work costs: per host and epoch, per call, or per phase."""
        if figure in HOST_FIGURES:
            what = HOST_FIGURES[figure]
            rates = figures["host_epochs_per_second"][what]
            occupied = self.slots if what == "occupied" else 0
            bench = HostBench.of(plan, index)
            return epoch_evidence(bench, ceilings, slots=self.slots, occupied=occupied, rates=rates)
        if figure == "other_share":
            return {"phases": figures["phases"]}
        work = (
            pieces.advantages(GAE_STEPS, GAE_ENVS)
            if figure == "gae_ms"
            else pieces.features_and_masks(self._observed(plan), index)
        )
        with one_thread():
            cost = count(work)
        return {"per": "call", **asdict(cost), "least_ms": cost.least_seconds(ceilings) * 1e3}

    def _observed(self, plan: Plan) -> Plan:
        return evolve(plan, slots=SlotConfig.for_grid(1, self.observed_slots).slot_ids)

    def _pieces(self, plan: Plan, index: Index, quick: bool) -> dict[str, float]:
        with one_thread():
            observe = pieces.features_and_masks(self._observed(plan), index)
            estimate = pieces.advantages(GAE_STEPS, GAE_ENVS)
            found = {
                "features_and_masks_ms": median_seconds(observe, repeats=300, warm_up=20) * 1e3,
                "gae_ms": median_seconds(estimate, repeats=50, warm_up=5) * 1e3,
            }
        repeats = 3 if quick else 9
        found["update_ms"] = pieces.update_seconds(plan, index, UPDATE_STEPS, UPDATE_ENVS, repeats) * 1e3
        return found

    def _by_envs(self, bench: HostBench, say: Say) -> list[dict[str, float]]:
        rows = []
        for envs in self.table_envs:
            for occupied in dict.fromkeys((0, 1, self.slots)):
                say(f"training hosts in four ways: {envs} hosts, {occupied} of {self.slots} slots occupied")
                repeats = max(2, min(self.repeats, 64 // envs))
                rates = self._rates(bench, envs, self.slots, occupied, repeats)
                rows.append({"hosts": envs, "occupied": occupied, **rates})
        return rows

    def _by_slots(self, bench: HostBench, say: Say) -> list[dict[str, float]]:
        rows = []
        for slots in self.table_slots:
            say(f"training hosts in four ways: {self.envs} hosts, {slots} empty slots")
            rows.append({"slots": slots, **self._rates(bench, self.envs, slots, 0, self.repeats)})
        return rows

    def _rates(self, bench: HostBench, envs: int, slots: int, occupied: int, repeats: int) -> dict[str, float]:
        """Return hosts·epochs/s of both runtimes, in one process and on all cores."""
        every = bench.config.workers
        ways = {
            "loop_1_process": Way("loop", 1),
            "loop_all_cores": Way("loop", every),
            "fused_1_process": Way("fused", 1),
            "fused_all_cores": Way("fused", every),
        }
        return bench.rates(ways, envs=envs, slots=slots, occupied=occupied, repeats=repeats)


def digits(config: None, context: None) -> DigitsWorkload:
    """Return the workload at its full size."""
    return DigitsWorkload()

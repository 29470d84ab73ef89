"""The workload `digits`: sixteen small hosts with three slots on real digits, and the whole run around them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from attrs import asdict, evolve, field, frozen

from esper_bench import pieces
from esper_bench.cost import count
from esper_bench.machine import Ceilings, measure_ceilings
from esper_bench.repeats import median_seconds, one_thread
from esper_bench.training import measure_training
from esper_bench.workload import Target
from esper_core import SlotConfig
from esper_growth.bench.comparison import ONE, TURNS, TWO, compare, take_turns, targets
from esper_growth.bench.floor import evidence
from esper_growth.bench.hosts import HostBench

if TYPE_CHECKING:
    from esper_core.composition.plan import Plan
    from esper_core.contracts.protocols import Say
    from esper_core.registry.index import Index

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
        turns: Turns of the comparison with the plain loop, quick or not.
        table_turns: The same of each row of a table.
        updates: Updates of the training run when not quick.
        table_envs: E of the rows of the table, each with 0, 1 and all slots occupied.
        table_slots: N of the rows that show how speed scales with it.
        train_samples: Size of the training split.
    """

    envs: int = 16
    slots: int = 3
    epochs: int = 60
    observed_slots: int = 5
    turns: int = TURNS
    table_turns: int = 3
    updates: int = 3
    table_envs: tuple[int, ...] = (1, 4, 16, 64)
    table_slots: tuple[int, ...] = (1, 3, 5, 8)
    train_samples: int = 1000
    targets: tuple[Target, ...] = field(init=False)

    @targets.default
    def _targets(self) -> tuple[Target, ...]:
        return (
            *targets(over_plain_loop=2.5, share_of_best=0.35),
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
        figures = compare(bench, measure_ceilings(), hosts=plan.envs, turns=self.turns, say=say)
        figures |= measure_training(plan, index, 1 if quick else self.updates, say).figures()
        say("features and masks, advantages, update")
        figures |= self._pieces(plan, index, quick)
        if not quick:
            figures["by_envs"] = list(self._by_envs(bench, say))
            figures["by_slots"] = list(self._by_slots(bench, say))
        return figures

    def evidence(
        self, plan: Plan, index: Index, figure: str, figures: Mapping[str, Any], ceilings: Ceilings
    ) -> dict[str, Any]:
        """Return what the work costs: per host and epoch, per call, or per phase."""
        if "." in figure:
            return evidence(HostBench.of(plan, index), ceilings, figure, figures)
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

    def _by_envs(self, bench: HostBench, say: Say) -> Iterator[dict[str, float]]:
        for envs in self.table_envs:
            for occupied in dict.fromkeys((0, 1, self.slots)):
                say(f"training hosts: {envs} of them, {occupied} of {self.slots} slots occupied")
                yield {"hosts": envs, "occupied": occupied, **self._row(bench, envs, occupied)}

    def _by_slots(self, bench: HostBench, say: Say) -> Iterator[dict[str, float]]:
        for slots in self.table_slots:
            say(f"training hosts: {self.envs} of them, {slots} empty slots")
            yield {"slots": slots, **self._row(evolve(bench, slots=slots), self.envs, 0)}

    def _row(self, bench: HostBench, envs: int, occupied: int) -> dict[str, float]:
        """Return speeds over the fastest plain loop's, and hosts·epochs/s of the faster of one process and two."""
        speeds = take_turns(bench, envs, occupied, self.table_turns).speeds()
        found = {way.replace(" ", "_"): speeds[way][0] for way in (ONE, TWO)}
        return {**found, "epochs_per_second": max(speeds[way][1] for way in (ONE, TWO))}


def digits(config: None, context: None) -> DigitsWorkload:
    """Return the workload at its full size."""
    return DigitsWorkload()

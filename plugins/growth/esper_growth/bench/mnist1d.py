"""The workload `mnist1d`: hosts on curves, one of wide convolutions and one of attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from esper_bench.machine import Ceilings, measure_ceilings
from esper_bench.play import measure_play
from esper_bench.workload import Target
from esper_core.composition.plan import PlanRequest, make_plan
from esper_growth.bench.comparison import TURNS, compare, targets
from esper_growth.bench.floor import evidence
from esper_growth.bench.hosts import HostBench

if TYPE_CHECKING:
    from esper_core.composition.plan import Plan
    from esper_core.contracts.protocols import Say
    from esper_core.registry.index import Index

HOSTS = ("capable", "transformer")


@frozen
class Mnist1dWorkload:
    """Kind `workload`: what is measured of each host; a ratio of the workload is that of the host that fares worse.

    Attributes:
        envs: E.
        slots: N.
        epochs: Host epochs per episode.
        episodes: Episodes that the rule `random` plays with the first of the hosts; one when quick.
        turns: Turns of the comparison.
        train_samples: Training samples.
        samples: Samples in all, validation and test included.
    """

    envs: int = 4
    slots: int = 3
    epochs: int = 20
    episodes: int = 5
    turns: int = TURNS
    train_samples: int = 1000
    samples: int = 5000
    targets: tuple[Target, ...] = field(init=False)

    @targets.default
    def _targets(self) -> tuple[Target, ...]:
        return targets(over_plain_loop=2.0)

    @property
    def choices(self) -> dict[str, Any]:
        """What is trained."""
        return self.choices_of(HOSTS[0])

    def measure(self, plan: Plan, index: Index, *, quick: bool, say: Say) -> dict[str, Any]:
        """Return how hosts train beside the plain loop, the worst of them and each, and the speed of legal play."""
        ceilings = measure_ceilings()
        hosts = {
            host: compare(self._bench(host, plan, index), ceilings, hosts=plan.envs, turns=self.turns, say=say)
            for host in HOSTS
        }
        return {
            **self.worst([*hosts.values()]),
            "hosts": {host: _tables(found) for host, found in hosts.items()},
            "runtime": ", ".join(dict.fromkeys(found["runtime"] for found in hosts.values())),
            "ways": [{"host": host, **row} for host, found in hosts.items() for row in found["ways"]],
            **measure_play(plan, index, "random", 1 if quick else self.episodes, say).figures(),
        }

    def evidence(
        self, plan: Plan, index: Index, figure: str, figures: Mapping[str, Any], ceilings: Ceilings
    ) -> dict[str, Any]:
        """Return what bounds the figure, host by host."""
        ways = {host: [row for row in figures["ways"] if row["host"] == host] for host in HOSTS}
        return {
            host: evidence(self._bench(host, plan, index), ceilings, figure, {"ways": ways[host]}) for host in HOSTS
        }

    def worst(self, hosts: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
        """Return the tables of ratios, each ratio that of the host where it is furthest from what is wanted."""
        smaller = {target.figure for target in self.targets if target.smaller_is_better}
        return {
            table: {
                row: (max if f"{table}.{row}" in smaller else min)(host[table][row] for host in hosts) for row in rows
            }
            for table, rows in _tables(hosts[0]).items()
        }

    def choices_of(self, host: str) -> dict[str, Any]:
        """Return what is trained with a host."""
        return {
            "policy": "lstm-v2",
            "slots": str(self.slots),
            "uses": {"environment": "growth", "task": "mnist1d", "host": host},
            "options": (
                "environment.instances=2",
                f"task.train_samples={self.train_samples}",
                f"task.samples={self.samples}",
            ),
            "envs": self.envs,
            "epochs": self.epochs,
            "seed": 0,
            "device": "cpu",
        }

    def _bench(self, host: str, plan: Plan, index: Index) -> HostBench:
        """Return the bench of a host that trains as the plan has it."""
        own = HostBench.of(make_plan(PlanRequest(**self.choices_of(host)), index), index)
        return evolve(own, config=HostBench.of(plan, index).config)


def _tables(figures: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    return {name: rows for name, rows in figures.items() if isinstance(rows, dict)}


def mnist1d(config: None, context: None) -> Mnist1dWorkload:
    """Return the workload at its full size."""
    return Mnist1dWorkload()

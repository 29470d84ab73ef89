"""The runtime of a plan beside the plain loop on one core, and beside itself in two processes; all take turns."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from attrs import evolve, frozen

from esper_bench.machine import PRODUCT_FLOPS, Ceilings, products
from esper_bench.repeats import Work, median_ratio, one_thread, side_by_side
from esper_bench.workload import Target
from esper_core.contracts.protocols import Say
from esper_growth.bench.floor import epoch_cost
from esper_growth.bench.hosts import HostBench
from esper_growth.bench.plain import PLAIN, PlainLoop, ways

OCCUPIED = {"empty": False, "occupied": True}
ONE, TWO = "one process", "two processes"
TURNS = 9
PRODUCTS = 5
"""Matrix products in a turn, to tell how fast the core is at that moment."""


@frozen
class Turns:
    """What everything took, turn by turn.

    Attributes:
        runtime: What trains hosts beside the plain loop.
        hosts: How many it trains in a turn; the plain loop trains one.
        plain: Seconds of an epoch, by way of writing the plain loop.
        one: Seconds of an epoch of all hosts in one process.
        two: The same in two.
        gflops: 10⁹ operations per second of a matrix product.
    """

    runtime: str
    hosts: int
    plain: Mapping[str, Sequence[float]]
    one: Sequence[float]
    two: Sequence[float]
    gflops: Sequence[float]

    @property
    def over_plain(self) -> dict[str, float]:
        """Host epochs of the runtime per one of the plain loop, on one core, by way of writing that."""
        each = [seconds / self.hosts for seconds in self.one]
        return {way: median_ratio(seconds, each) for way, seconds in self.plain.items()}

    @property
    def fastest(self) -> str:
        """The fastest way of writing the plain loop."""
        return min(self.over_plain, key=self.over_plain.__getitem__)

    def speeds(self) -> dict[str, tuple[float, float]]:
        """Return of every way its speed as a multiple of the fastest plain loop's, and hosts·epochs/s."""
        measured = {f"{PLAIN}, {way}": (seconds, 1) for way, seconds in self.plain.items()}
        measured |= {ONE: (self.one, self.hosts), TWO: (self.two, self.hosts)}
        base = self.plain[self.fastest]
        return {
            name: (hosts * median_ratio(base, seconds), hosts / statistics.median(seconds))
            for name, (seconds, hosts) in measured.items()
        }

    def share_of_best(self, bench: HostBench, occupied: int, ceilings: Ceilings) -> float:
        """Return which part of an epoch its products would take at the speed that matrix products had then."""
        cost = epoch_cost(bench, occupied)
        return statistics.median(
            self.hosts * cost.least_seconds_of_products(evolve(ceilings, gflops=gflops)) / seconds
            for gflops, seconds in zip(self.gflops, self.one, strict=True)
        )


def take_turns(bench: HostBench, hosts: int, occupied: int, turns: int) -> Turns:
    """Measure an epoch in every way, with seeds in the first few slots of every host."""
    with ExitStack() as stack:
        stack.enter_context(one_thread())
        one, two = (stack.enter_context(bench.hosts(hosts, occupied, workers)) for workers in (1, 2))
        # Only now: the runtime tells the allocator to keep memory, which the plain loop is to have as well.
        plain = {way: PlainLoop(bench, occupied, way).train_epoch for way in ways(bench)}
        works = {**plain, ONE: one.train_epoch, TWO: two.train_epoch, "products": _repeated(products(), PRODUCTS)}
        seconds = side_by_side(works, turns)
    return Turns(
        runtime=one.runtime.name,
        hosts=hosts,
        plain={way: seconds[way] for way in plain},
        one=seconds[ONE],
        two=seconds[TWO],
        gflops=[PRODUCTS * PRODUCT_FLOPS / taken / 1e9 for taken in seconds["products"]],
    )


def ablated_over_plain(bench: HostBench, hosts: int, turns: int) -> float:
    """Return what a validation with every seed off in turn takes, over one of the same hosts as they are."""
    with one_thread(), bench.hosts(hosts, bench.slots) as grown:
        seconds = side_by_side({"ablated": grown.ablate, "plain": grown.validate}, turns)
    return median_ratio(seconds["ablated"], seconds["plain"])


def _repeated(work: Work, times: int) -> Work:
    def repeated() -> None:
        for _ in range(times):
            work()

    return repeated


def targets(*, over_plain_loop: float, share_of_best: float = 0.0) -> tuple[Target, ...]:
    """Return the targets of what `compare` returns."""
    found = []
    for what, seeds in (("empty", "with empty slots"), ("occupied", "with a seed in full in every slot")):
        meaning = f"host epochs per core, over the fastest plain loop, {seeds}"
        found.append(Target(f"over_plain_loop.{what}", over_plain_loop, meaning=meaning))
    for what in OCCUPIED if share_of_best else ():
        meaning = "least time of an epoch's products at this core's best, over the time of an epoch"
        found.append(Target(f"share_of_best.{what}", share_of_best, meaning=meaning))
    return (
        *found,
        Target("processes.two_over_one", 1.85, meaning="host epochs, two processes over one"),
        Target(
            "validation.ablated_over_plain",
            3.0,
            smaller_is_better=True,
            meaning="time with every seed off in turn, over one pass of the same hosts",
        ),
    )


def compare(bench: HostBench, ceilings: Ceilings, *, hosts: int, turns: int, say: Say) -> dict[str, Any]:
    """Return how hosts train, ratios first: `over_plain_loop`, `share_of_best`, `processes`, `validation`.

    Args:
        bench: The hosts.
        ceilings: Of one core.
        hosts: How many the runtime trains side by side.
        turns: How often everything is measured.
        say: Told what is measured.
    """
    measured: dict[str, Turns] = {}
    shares: dict[str, float] = {}
    for what, grown in OCCUPIED.items():
        say(f"training {bench.parts['host'].name} beside the plain loop: slots {what}")
        occupied = bench.slots if grown else 0
        measured[what] = take_turns(bench, hosts, occupied, turns)
        shares[what] = measured[what].share_of_best(bench, occupied, ceilings)
    two = {what: median_ratio(found.one, found.two) for what, found in measured.items()}
    say("validating with seeds off in turn, and without")
    return {
        "over_plain_loop": {what: min(found.over_plain.values()) for what, found in measured.items()},
        "share_of_best": shares,
        "processes": {"two_over_one": min(two.values()), **two},
        "validation": {"ablated_over_plain": ablated_over_plain(bench, hosts, turns)},
        "runtime": measured["empty"].runtime,
        "ways": _rows({what: found.speeds() for what, found in measured.items()}),
    }


def _rows(speeds: Mapping[str, Mapping[str, tuple[float, float]]]) -> list[dict[str, Any]]:
    """Return a row per way: its speed over the fastest plain loop's, and absolute."""
    return [
        {
            "way": way,
            **{what: found[way][0] for what, found in speeds.items()},
            **{f"{what}_epochs_per_second": found[way][1] for what, found in speeds.items()},
        }
        for way in next(iter(speeds.values()))
    ]

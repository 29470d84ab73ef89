"""The floor under a host's epoch: what it costs, and how long that takes at this machine's best."""

from __future__ import annotations

from typing import Any

from attrs import asdict

from esper_bench.cost import Cost, count
from esper_bench.machine import Ceilings
from esper_bench.repeats import one_thread
from esper_core.system.machine import cores
from esper_growth.bench.rates import HostBench, Way


def epoch_cost(bench: HostBench, slots: int, occupied: int) -> Cost:
    """Return what one epoch of one host costs, counted in the plain loop, where nothing is hidden in a kernel."""
    with one_thread(), bench.hosts(Way("loop", 1), 1, slots, occupied) as hosts:
        hosts.train_epoch()
        return count(hosts.train_epoch)


def epoch_evidence(
    bench: HostBench, ceilings: Ceilings, *, slots: int, occupied: int, rates: dict[str, float]
) -> dict[str, Any]:
    """Return what an epoch of a host costs and the least it can take.

    For the loop that is every operation it calls. However well hosts are fused, the products stay: for them it is the
    arithmetic and the traffic of the products alone, as if all else were free.

    Args:
        bench: The hosts.
        ceilings: Of one core.
        slots: N.
        occupied: Slots that hold a seed.
        rates: Hosts·epochs/s of `loop`, on one core, and of `fused`, on as many as there are workers.
    """
    cost = epoch_cost(bench, slots, occupied)
    used = min(bench.config.workers or cores(), cores())
    loop, fused = cost.least_seconds(ceilings), cost.least_seconds_of_products(ceilings)
    return {
        "per": "host and epoch",
        **asdict(cost),
        "loop": _against(1 / rates["loop"], loop),
        "fused": {"cores": used, **_against(used / rates["fused"], fused)},
        "host_epochs_per_second_at_best": used / fused,
        "ratio_at_best": used / fused / rates["loop"],
    }


def _against(measured: float, least: float) -> dict[str, float]:
    return {"core_seconds": measured, "least_core_seconds": least, "share_of_best": least / measured}

"""The floor under a host's epoch: what it costs, and how long that takes at this machine's best."""

from __future__ import annotations

from typing import Any

from attrs import asdict, evolve

from esper_core.bench.cost import Cost, count
from esper_core.bench.machine import Ceilings
from esper_core.bench.repeats import one_thread
from esper_core.runs.provenance import cores
from esper_growth.bench.rates import HostBench, Way


def busy_cores(workers: int) -> int:
    """Return how many cores that many workers keep busy; 0 workers are one per core."""
    return min(workers or cores(), cores())


def epoch_cost(bench: HostBench, runtime: str, slots: int, occupied: int) -> Cost:
    """Return what one epoch of one host costs."""
    envs = bench.config.hosts_per_group if runtime == "fused" else 1
    with one_thread(), bench.hosts(Way(runtime, 1), envs, slots, occupied) as hosts:
        hosts.train_epoch()
        return count(hosts.train_epoch).shared_by(envs)


def epoch_evidence(
    bench: HostBench, ceilings: Ceilings, *, slots: int, occupied: int, measured: dict[str, float]
) -> dict[str, Any]:
    """Return cost and least time per host and epoch of each runtime, and what ratio those would allow.

    Args:
        bench: The hosts.
        ceilings: Of one core.
        slots: N.
        occupied: Slots that hold a seed.
        measured: Runtime → seconds per host and epoch on the cores it used.
    """
    used = {"loop": 1, "fused": busy_cores(bench.config.workers)}
    loop = epoch_cost(bench, "loop", slots, occupied)
    # The arithmetic is the same. Counting it in the fused hosts would count too much: to torch's counter the weight
    # gradient of a convolution in groups is one without groups.
    costs = {"loop": loop, "fused": evolve(epoch_cost(bench, "fused", slots, occupied), flops=loop.flops)}
    evidence: dict[str, Any] = {}
    for runtime, cost in costs.items():
        seconds = measured[runtime]
        least = cost.least_seconds(ceilings)
        evidence[runtime] = {
            **asdict(cost),
            "cores": used[runtime],
            "measured_core_seconds": seconds * used[runtime],
            "least_core_seconds": least,
            "share_of_best": least / (seconds * used[runtime]),
        }
    best = evidence["fused"]["least_core_seconds"] / used["fused"]
    return {"per": "host and epoch", **evidence, "ratio_at_best": measured["loop"] / best}

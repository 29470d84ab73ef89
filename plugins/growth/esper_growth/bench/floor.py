"""The floor under a host's epoch: what it costs, and how long that takes at this machine's best."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from attrs import asdict

from esper_bench.cost import Cost, count
from esper_bench.machine import Ceilings
from esper_bench.repeats import one_thread
from esper_core.system.machine import cores
from esper_growth.bench.hosts import IN_FULL, HostBench
from esper_growth.bench.plain import PLAIN, PlainLoop, ways
from esper_growth.model import GrownHost, Seed


def epoch_cost(bench: HostBench, occupied: int) -> Cost:
    """Return what one epoch of one host costs, counted in the plain loop, where nothing is hidden in a kernel."""
    loop = PlainLoop(bench, occupied, ways(bench)[0])
    with one_thread():
        loop.train_epoch()
        return count(loop.train_epoch)


def evidence(bench: HostBench, ceilings: Ceilings, figure: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return why a figure of `compare` could be no better here, or how much."""
    table, _, row = figure.partition(".")
    if table == "processes":
        return {"cores": cores(), "cores_at_once": ceilings.cores_at_once}
    if table == "validation":
        return {"operations_of_products": _ablated_cost(bench)}
    cost = epoch_cost(bench, bench.slots if row == "occupied" else 0)
    least = cost.least_seconds_of_products(ceilings)
    if table == "share_of_best":
        return {"per": "host and epoch", **asdict(cost), "least_core_seconds": least}
    speeds = {entry["way"]: entry[f"{row}_epochs_per_second"] for entry in figures["ways"]}
    fastest = 1 / max(speed for way, speed in speeds.items() if way.startswith(PLAIN))
    return {
        "seconds_of_the_fastest_plain_loop": fastest,
        "least_seconds_of_all_it_calls": cost.least_seconds(ceilings),
        "over_plain_loop_at_best": fastest / least,
    }


def _ablated_cost(bench: HostBench) -> float:
    """Return the products of a validation with every seed off in turn, over those of one validation."""
    builder, inputs = bench.problems.at(0).builder, bench.problems.at(0).task.validation.inputs[:1]
    grown, settings = GrownHost(builder.host(0)), dict.fromkeys(range(bench.slots), IN_FULL)
    for slot in settings:
        grown.seeds[str(slot)] = Seed(builder.branch(0, slot, 1, bench.seed))
    with torch.no_grad():
        plain = count(lambda: grown(inputs, settings))
    return count(lambda: grown.ablate(inputs, settings, False)).flops / plain.flops

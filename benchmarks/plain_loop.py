"""The networks that hosts are, trained as a user of PyTorch would: no runtime of ours, no bound on what has grown.

    python benchmarks/plain_loop.py                              # every workload, every way of writing it
    python benchmarks/plain_loop.py --workloads conv-small --json

For every network there are as many ways as are usual: channels first or last, GroupNorm or BatchNorm; for a transformer
channels first or one token after the other. A network is measured empty and with a seed in full in each of its slots
(`conv_light`, on a transformer `mlp`), on one core, all ways taking turns. `esper bench` measures the same loops beside
the runtime that training uses; this script is for looking at them alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
from typing import Any

from esper_bench.repeats import one_thread, side_by_side
from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_growth.bench.conv_small import ConvSmallWorkload
from esper_growth.bench.digits import DigitsWorkload
from esper_growth.bench.hosts import HostBench
from esper_growth.bench.mnist1d import HOSTS, Mnist1dWorkload
from esper_growth.bench.plain import PlainLoop, ways
from esper_growth.memory import keep_freed_memory


def choices() -> dict[str, dict[str, Any]]:
    """Return what is trained: name → fields of a plan's request."""
    mnist1d = Mnist1dWorkload()
    return {
        "conv-small": ConvSmallWorkload().choices,
        "digits": DigitsWorkload().choices,
        **{f"mnist1d-{host}": mnist1d.choices_of(host) for host in HOSTS},
    }


def measure(bench: HostBench, turns: int) -> list[dict[str, Any]]:
    """Return milliseconds of an epoch of one network, by how full its slots are and how it is written."""
    rows = []
    for what, occupied in (("empty", 0), ("occupied", bench.slots)):
        loops = {way: PlainLoop(bench, occupied, way) for way in ways(bench)}
        with one_thread():
            seconds = side_by_side({way: loop.train_epoch for way, loop in loops.items()}, turns)
        rows += [{"slots": what, "way": way, "ms": 1e3 * statistics.median(of)} for way, of in seconds.items()]
    return rows


def bench_of(chosen: dict[str, Any], index: Index) -> HostBench:
    """Return what a workload trains."""
    return HostBench.of(make_plan(PlanRequest(**chosen), index), index)


def main() -> None:
    """Measure, and print one line per way, or one document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = choices()
    parser.add_argument("--workloads", nargs="+", choices=known, default=list(known))
    parser.add_argument("--turns", type=int, default=9, help="epochs that are measured of each")
    parser.add_argument("--json", action="store_true", help="print JSON")
    said = parser.parse_args()
    # As the processes of the runtimes do.
    keep_freed_memory()
    index, found = load_index(), {}
    for name in said.workloads:
        found[name] = measure(bench_of(known[name], index), said.turns)
        for row in [] if said.json else found[name]:
            print(f"{name:22}{row['slots']:10}{row['way']:28}{row['ms']:10.1f} ms", flush=True)
    if said.json:
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()

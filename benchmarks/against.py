"""How fast hosts train in this checkout's default runtime and in that of another, both on one core.

    git worktree add ../folded bc65853
    python benchmarks/against.py ../folded                          # digits, 16 hosts
    python benchmarks/against.py ../folded --workload conv-small --json

Each checkout has a process of its own. They take turns, who is first changes from turn to turn, and so does the core
that both are pinned to (where the system can pin). What differs between the checkouts besides runtimes does not matter:
only `esper_growth.make.growth`, the environment's factory, is asked for a runtime. `over` is the median over turns of
the other's seconds by this one's, with empty slots and with `conv_light` in full in all three.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]
CHILD = "--child"
SLOTS = 3
WORKLOADS = {"digits": {"hosts": 16, "batch_size": 100}, "conv-small": {"hosts": 4, "batch_size": 128}}
"""Name → how many hosts train side by side, and their batches."""


class Side:
    """A checkout, and the process in which its hosts train."""

    def __init__(self, checkout: Path, workload: str, stack: ExitStack) -> None:
        folders = [checkout, *sorted((checkout / "plugins").glob("*"))]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders)), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, __file__, CHILD, workload]
        pipes: Mapping[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = stack.enter_context(subprocess.Popen(command, env=environment, **pipes))
        stack.callback(self.process.terminate)
        self.seconds: dict[str, list[float]] = {"empty": [], "occupied": []}
        said = self._answer()
        self.runtime: str = said["runtime"]
        if checkout not in Path(said["source"]).parents:
            raise SystemExit(f"{checkout} was to be measured, but what was imported is {said['source']}.")

    def epoch(self, what: str, core: int) -> float:
        """Train all hosts for one epoch on a core; return the seconds."""
        assert self.process.stdin is not None
        print(json.dumps([what, core]), file=self.process.stdin, flush=True)
        return float(self._answer()["seconds"])

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit("A process ended; what it said is above.")
        answer: dict[str, Any] = json.loads(line)
        return answer


def child(workload: str) -> None:
    """Train hosts as the parent asks: what is in the slots and which core, line by line."""
    import time

    import torch
    from attrs import evolve
    from surroundings import surroundings

    import esper_growth.make
    from esper_growth.actions import NOOP, Algorithm
    from esper_growth.blueprints.image import conv_light
    from esper_growth.config import ConvConfig, DigitsConfig, GrowthConfig, PointwiseConfig, SyntheticConfig
    from esper_growth.hosts.conv import ConvHost
    from esper_growth.hosts.uniform import PointwiseHost
    from esper_growth.model import SeedSetting
    from esper_growth.stages import Stage
    from esper_growth.tasks.digits import digits
    from esper_growth.tasks.synthetic import synthetic

    torch.set_num_threads(1)
    hosts, batch = WORKLOADS[workload]["hosts"], WORKLOADS[workload]["batch_size"]
    context: Any = surroundings(SLOTS, hosts)
    of_digits = workload == "digits"
    parts = {
        "task": digits(DigitsConfig(), context) if of_digits else synthetic(SyntheticConfig(), context),
        "host": PointwiseHost(PointwiseConfig(), context) if of_digits else ConvHost(ConvConfig(), context),
        "blueprint": {"conv_light": conv_light(None, context)},
    }
    config = GrowthConfig(workers=1, batch_size=batch, blueprints=(NOOP, "conv_light"))
    setting = SeedSetting(Stage.HOLDING, 1.0, Algorithm.ADD, frozen=False)
    runtimes = {}
    for what, occupied in (("empty", 0), ("occupied", SLOTS)):
        runtime = esper_growth.make.growth(config, evolve(context, parts=parts)).runtime
        runtime.start(range(hosts))
        for env in range(hosts):
            for slot in range(occupied):
                runtime.germinate(env, slot, "conv_light", Algorithm.ADD)
        runtimes[what] = runtime, [dict.fromkeys(range(occupied), setting) for _ in range(hosts)]
    print(json.dumps({"runtime": runtime.name, "source": esper_growth.make.__file__}), flush=True)
    for line in sys.stdin:
        what, core = json.loads(line)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {core})
        runtime, settings = runtimes[what]
        started = time.perf_counter()
        runtime.train_epoch(settings, [True] * hosts)
        print(json.dumps({"seconds": time.perf_counter() - started}), flush=True)


def compare(there: Path, workload: str, pairs: int) -> dict[str, Any]:
    """Return the other's seconds by ours, and hosts·epochs/s of both."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    with ExitStack() as stack:
        here, other = (Side(checkout, workload, stack) for checkout in (HERE, there))
        for turn in range(-1, pairs):
            core = cores[turn % len(cores)]
            for what in here.seconds:
                for side in (here, other) if turn % 2 else (other, here):
                    seconds = side.epoch(what, core)
                    # The first turn, in which kernels may be compiled and memory is fetched, does not count.
                    if turn >= 0:
                        side.seconds[what].append(seconds)
    hosts = WORKLOADS[workload]["hosts"]
    return {
        "workload": workload,
        "runtimes": {"here": here.runtime, "there": other.runtime},
        "over": {
            what: statistics.median(b / a for a, b in zip(here.seconds[what], other.seconds[what], strict=True))
            for what in here.seconds
        },
        "host_epochs_per_second": {
            name: {what: hosts / statistics.median(taken) for what, taken in side.seconds.items()}
            for name, side in (("here", here), ("there", other))
        },
    }


def main() -> None:
    """Compare, and print a table or one document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="the folder of the other checkout")
    parser.add_argument("--workload", choices=WORKLOADS, default="digits")
    parser.add_argument("--pairs", type=int, default=15, help="turns that are measured")
    parser.add_argument("--json", action="store_true", help="print JSON")
    said = parser.parse_args()
    if not (said.checkout / "plugins" / "growth").is_dir():
        parser.error(f"{said.checkout} is no checkout: it has no plugins/growth.")
    found = compare(said.checkout.resolve(), said.workload, said.pairs)
    if said.json:
        print(json.dumps(found, indent=2))
        return
    print(f"{found['workload']}: {found['runtimes']['here']} here, {found['runtimes']['there']} in {said.checkout}")
    print(f"{'slots':12}{'here over there':>16}{'here, epochs/s':>18}{'there, epochs/s':>18}")
    for what, ratio in found["over"].items():
        rates = [found["host_epochs_per_second"][name][what] for name in ("here", "there")]
        print(f"{what:12}{ratio:16.2f}{rates[0]:18.1f}{rates[1]:18.1f}")


if __name__ == "__main__":
    if sys.argv[1:2] == [CHILD]:
        child(sys.argv[2])
    else:
        main()

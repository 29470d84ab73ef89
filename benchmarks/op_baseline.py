"""Does the operation head learn? Both baselines of `op-conditioned-critic` on the probe P7, update by update.

    python benchmarks/op_baseline.py

The critic is fitted first, while the policy stays as it began; then both learn. Each line is π(best) after an update,
the mean over the probe's seeds, and the lowest and highest of them.
"""

from __future__ import annotations

import argparse
import statistics

from attrs import evolve

from esper_core.registry.index import load_index
from esper_core.registry.plan import PlanRequest, make_plan
from esper_factored_ppo.probes.plan import WIDTH, find_probe, without_environment
from esper_factored_ppo.probes.playing import play

PROBE, BAR = "P7 op-only bandit", 40


def curves(baseline: str, seeds: int) -> list[list[float]]:
    """Return π(best) after every update, one list per seed."""
    index = load_index()
    options = [f"critic.baseline={baseline}"]
    request = PlanRequest(
        policy="lstm-v2", environment="growth", uses={"critic": "op-conditioned-critic"}, options=options
    )
    plan = without_environment(make_plan(request, index), index, width=WIDTH)
    probe = evolve(find_probe(PROBE), seeds=tuple(range(seeds)))
    return [[probe.measure(trainer)["π(best)"] for trainer in play(probe, plan, index, seed)] for seed in probe.seeds]


def plot(title: str, runs: list[list[float]], every: int) -> None:
    """Print one line per update shown: mean, range, and the mean as a bar."""
    print(f"\n{title}\n update  mean   lowest  highest")
    for update in range(0, len(runs[0]), every):
        values = [run[update] for run in runs]
        mean = statistics.fmean(values)
        print(f"{update + 1:7}  {mean:.2f}   {min(values):.2f}    {max(values):.2f}     |{'#' * round(BAR * mean)}")


def main() -> None:
    """Print both curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8, help="Runs of each baseline.")
    parser.add_argument("--every", type=int, default=3, help="Updates from one line to the next.")
    said = parser.parse_args()
    for baseline, meaning in (("expected", "V(s), the default"), ("sampled", "Q(s, op taken)")):
        plot(f"baseline={baseline}: {meaning}", curves(baseline, said.seeds), said.every)


if __name__ == "__main__":
    main()

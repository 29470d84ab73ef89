"""The ten policies of docs/evidence.md: what trains them, and how they learned.

    python benchmarks/evidence.py [--figure learning.png]    # the table of the record that is kept
    python benchmarks/evidence.py RUNS                       # trains what is missing in the folder RUNS
    python benchmarks/evidence.py RUNS --read                # what is there; with --keep, the record

A run takes about a quarter of an hour of a core. `--only taught-v1` trains one half of them, beside the other one.
"""

from __future__ import annotations

import argparse

from curves import METRICS, draw, mean, over_runs, part, png
from experiment import MIXED, Experiment, Run
from tables import markdown

SEEDS = (0, 1, 2, 3, 4)
POLICIES = ("taught-slots", "taught-v1")
PLAN = (
    *("--registry", str(MIXED), "--slots", "3", "--envs", "16", "--updates", "48", "--workers", "1"),
    *("-o", "environment.runtime=engine"),
)
PARTS = 4
EXPERIMENT = Experiment("evidence", ("environment_steps", *METRICS.values()))


def run(policy: str, seed: int) -> Run:
    """Return a run of one of the policies."""
    return Run(policy, seed, [*PLAN, "--policy", policy])


def learned(of: Experiment = EXPERIMENT) -> str:
    """Quarters of the updates: the mean over seeds, and the least and the largest."""
    rows = [["policy", "seeds", "quarter", *METRICS]]
    for policy in POLICIES:
        found = [lines for seed in SEEDS if (lines := of.lines(run(policy, seed)))]
        for number in range(PARTS if found else 0):
            parts = [part(lines, number, PARTS) for lines in found]
            cells = [over_runs([mean(own, name) for own in parts]) for name in METRICS.values()]
            rows.append([f"`{policy}`", str(len(found)), str(number + 1), *cells])
    return markdown(rows)


TABLES = {"learned": learned}


def main() -> None:
    """Train, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=POLICIES, default=list(POLICIES), help="what to train")
    parser.add_argument("--figure", type=png, help="draw returns over steps into this PNG")
    of, said = EXPERIMENT.chosen(parser)
    runs = [run(policy, seed) for seed in SEEDS for policy in POLICIES if policy in said.only]
    of.prepare(said, runs)
    print(learned(of))
    if said.keep:
        print(f"{of.keep(runs)}: kept")
    if said.figure:
        known = {name: [lines for seed in SEEDS if (lines := of.lines(run(name, seed)))] for name in POLICIES}
        draw({name: found for name, found in known.items() if found}, "return", said.figure)


if __name__ == "__main__":
    main()

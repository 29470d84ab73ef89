"""Where an evaluated policy is worth something: arms by kind of problem, and the policy minus each of them.

    python benchmarks/problems.py runs/lstm-v2-…/evaluation/…/episodes.jsonl

Reads what `esper evaluate` has kept. First the mean test accuracy of every arm, then the mean of `policy` minus each
arm, instance by instance, with its 95 % interval over instances and policy seeds. Where a checkpoint or rule was played
in several versions, the last one counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gap import problem

from esper_core.system.json_files import read_lines
from esper_evaluation.statistics import Bootstrap, Values, pooled_mean

WORDS = ("task", "samples", "host")


def of_arm(episodes: Sequence[dict[str, Any]], name: str, instances: Sequence[int]) -> Values:
    """Return an arm's test accuracy, `[S, I]`: policy seeds, or one row, then instances."""
    scores = {(e["seed"], e["instance"]): e["outcomes"]["test_accuracy"] for e in episodes if e["arm"] == name}
    seeds = sorted({seed for seed, _ in scores}, key=str)
    return np.array([[scores[seed, instance] for instance in instances] for seed in seeds])


def difference(policy: Values, other: Values) -> str:
    """Return the mean of the paired differences of two arms `[S, I]`, with its interval."""
    bootstrap = Bootstrap.draw(policy.shape[1], len(policy))
    found = (bootstrap.sampled(pooled_mean, policy) - bootstrap.sampled(pooled_mean, other)).estimate
    return f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def main() -> None:
    """Print two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("episodes", type=Path, help="episodes.jsonl of an evaluation")
    parser.add_argument("--by", nargs="+", choices=WORDS, default=["task", "host"], help="what a kind of problem is")
    parser.add_argument("--arms", nargs="+", default=["static", "all-on", "all-on-heavy"], help="arms beside policy")
    chosen = parser.parse_args()
    arms = ["policy", *chosen.arms]
    episodes = [line.entry for line in read_lines(chosen.episodes) if line.entry["arm"] in arms]
    kinds: dict[tuple[str, ...], set[int]] = {}
    for episode in episodes:
        words = dict(zip(WORDS, map(str, problem(episode["tags"])), strict=True))
        kinds.setdefault(tuple(words[word] for word in chosen.by), set()).add(episode["instance"])
    if missing := set(arms) - {episode["arm"] for episode in episodes}:
        parser.error(f"{chosen.episodes} has no episodes of {', '.join(sorted(missing))}.")
    played = {arm: {e["instance"] for e in episodes if e["arm"] == arm} for arm in arms}
    if len(set(map(frozenset, played.values()))) > 1:
        counts = ", ".join(f"{arm} {len(instances)}" for arm, instances in played.items())
        parser.error(f"the arms played different instances ({counts}); esper evaluate plays what is missing.")
    rows = [(kind, sorted(instances)) for kind, instances in sorted(kinds.items())]
    rows.append((("all", *[""] * (len(chosen.by) - 1)), sorted(set().union(*kinds.values()))))
    accuracy, differences = [], []
    for kind, instances in rows:
        values = [of_arm(episodes, name, instances) for name in arms]
        accuracy.append([*kind, str(len(instances)), *(f"{value.mean():.3f}" for value in values)])
        differences.append([*kind, str(len(instances)), *(difference(values[0], value) for value in values[1:])])
    titles = [*chosen.by, "instances"]
    for heads, cells in (([*titles, *arms], accuracy), ([*titles, *(f"− {name}" for name in arms[1:])], differences)):
        print(f"| {' | '.join(heads)} |")
        print("|" + " --- |" * len(heads))
        for cell in cells:
            print(f"| {' | '.join(cell)} |")
        print()


if __name__ == "__main__":
    main()

"""Is there anything to learn? Every rule on training instances of a family: the best one, and the best by problem.

    python benchmarks/gap.py

The family is that of benchmarks/mixed.toml. A policy that beats every rule must tell instances apart. By how much it
could is what the best rule of each instance's kind of problem (task, training samples and host) gains on the single
best rule. Each instance is scored by the rule that is best on the *other* instances of its kind, so luck gains
nothing.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from esper_core.composition.build import build_beside, build_environment
from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.composition.recipes import load_recipes
from esper_core.registry.loading import load_index
from esper_core.registry.resolve import resolve
from esper_evaluation.knowledge import oracle_gap
from esper_evaluation.statistics import Values
from esper_testing.player import Separately, derived_seed, play

RULES = ("static", "random", "periodic", "plateau", "all-on", "all-on-heavy")
SIDE_BY_SIDE = 16
RECIPES = Path(__file__).with_name("mixed.toml")


def problem(event: Mapping[str, Any]) -> tuple[str, int, str]:
    """Return task, training samples and host of an episode."""
    task, samples = re.match(r"(.*?)-(\d+)", event["task"]).groups()  # type: ignore[union-attr]
    return task, int(samples), event["host"].split("-")[0]


def scores(instances: int, slots: int, options: tuple[str, ...]) -> tuple[list[tuple[str, int, str]], Values]:
    """Return the problem of every instance, and test accuracies `[rules, instances]`."""
    index = load_index()
    request = PlanRequest(
        policy="lstm-v2",
        slots=str(slots),
        options=(f"environment.instances={instances}", *options),
        envs=SIDE_BY_SIDE,
        seed=0,
        device="cpu",
    )
    plan = make_plan(request, index, load_recipes(RECIPES))
    context = build_environment(plan, index)
    environment, masks = context.parts["environment"], context.parts["masks"]
    problems: dict[int, tuple[str, int, str]] = {}
    found = np.empty((len(RULES), instances))
    try:
        for row, name in enumerate(RULES):
            for first in range(0, instances, SIDE_BY_SIDE):
                numbers = [min(first + env, instances - 1) for env in range(SIDE_BY_SIDE)]
                rules = [build_beside(resolve(index, "rule", name), index, context) for _ in numbers]
                rule = Separately(rules, [derived_seed(name, number) for number in numbers])
                played = play(environment, masks, rule, options={"instances": numbers})
                problems |= {event["instance"]: problem(event) for event in played.events if event["type"] == "episode"}
                found[row, numbers] = environment.outcomes()["test_accuracy"]
                print(f"{name}: {min(first + SIDE_BY_SIDE, instances)} of {instances}", flush=True)
    finally:
        environment.close()
    return [problems[number] for number in range(instances)], found


def main() -> None:
    """Print the rules by kind of problem, and the gap."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", type=int, default=3, help="Slots of every host.")
    parser.add_argument("--instances", type=int, default=96, help="Training instances, from number 0 on.")
    parser.add_argument("-o", "--option", action="append", default=[], help="KIND.key=VALUE, as for esper train.")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    problems, found = scores(chosen.instances, chosen.slots, tuple(chosen.option))
    print(f"\n{'problem':34}{'':>4}" + "".join(f"{name:>14}" for name in RULES))
    for kind in sorted(set(problems)):
        members = [i for i, other in enumerate(problems) if other == kind]
        means = "".join(f"{value:14.3f}" for value in found[:, members].mean(axis=1))
        print(f"{kind[0]:17}{kind[1]:5}  {kind[2]:10}{len(members):4}{means}")
    print(f"{'all':38}" + "".join(f"{value:14.3f}" for value in found.mean(axis=1)))
    gap = oracle_gap(found, problems)
    if gap is None:
        print("\nNo two instances are of one kind, or all are: there is nothing to choose by.")
        return
    print(
        f"\nthe best rule of each kind of problem − the best rule: {gap.value:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}]"
    )


if __name__ == "__main__":
    main()

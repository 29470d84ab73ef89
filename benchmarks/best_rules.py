"""The best rule for each kind of world, chosen on training instances: a teacher, as options of the rule `by-kind`.

    python benchmarks/best_rules.py --policy lstm-v2 --instances 64 [--fields axes host_parameters train_samples]
    esper train --registry benchmarks/mixed.toml --policy lstm-v2 --use rule=by-kind -o 'rule.rules=[…]'

A kind is what the state says of a world from the first epoch on: the axes of its samples, the parameters of its host,
and with `train_samples` how many it learns from.
Rules are compared by their mean return, which is what a policy is paid; instances are those that training draws.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch

from esper_core.composition.build import build_beside, build_environment
from esper_core.composition.plan import Plan, PlanRequest, make_plan
from esper_core.composition.recipes import load_recipes
from esper_core.contracts.errors import EsperError
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_core.registry.resolve import resolve
from esper_growth.by_kind import RULES
from esper_testing.player import Separately, derived_seed, play

FIELDS = ("axes", "host_parameters")
TOLD = (*FIELDS, "train_samples")
RECIPES = Path(__file__).with_name("mixed.toml")

Kind = tuple[int, ...]


def returns(
    plan: Plan, index: Index, instances: int, fields: Sequence[str] = FIELDS
) -> dict[str, dict[Kind, list[float]]]:
    """Return the returns of every rule by kind of world, on the training instances 0 to `instances` − 1."""
    context = build_environment(plan, index)
    environment, masks = context.parts["environment"], context.parts["masks"]
    found: dict[str, dict[Kind, list[float]]] = {name: defaultdict(list) for name in RULES}
    try:
        for name in RULES:
            for first in range(0, instances, plan.envs):
                numbers = [min(first + env, instances - 1) for env in range(plan.envs)]
                rules = [build_beside(resolve(index, "rule", name), index, context) for _ in numbers]
                rule = Separately(rules, [derived_seed(name, number) for number in numbers])
                played = play(environment, masks, rule, options={"instances": numbers})
                kinds = [tuple(int(environment.described[f][env]) for f in fields) for env in range(plan.envs)]
                for event in (event for event in played.events if event["type"] == "episode"):
                    if event["env"] < instances - first:
                        found[name][kinds[event["env"]]].append(event["return"])
                print(f"{name}: {min(first + plan.envs, instances)} of {instances}", flush=True)
    finally:
        environment.close()
    return found


def best(found: dict[str, dict[Kind, list[float]]]) -> dict[Kind, str]:
    """Return the rule with the highest mean return of each kind; of equals the first."""
    kinds = sorted({kind for by_kind in found.values() for kind in by_kind})
    return {
        kind: max(found, key=lambda name, kind=kind: sum(found[name][kind]) / len(found[name][kind]))  # type: ignore[misc]
        for kind in kinds
    }


def main() -> None:
    """Print means, and the options of the teacher."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="lstm-v2", help="Recipe of --registry: which worlds there are.")
    parser.add_argument("--registry", type=Path, default=RECIPES, help="File with recipes.")
    parser.add_argument("--slots", default="3", help="Slots of every host.")
    parser.add_argument("--instances", type=int, default=64, help="Training instances, from number 0 on.")
    parser.add_argument("--fields", nargs="+", choices=TOLD, default=FIELDS, help="State fields that tell kinds apart.")
    parser.add_argument("--envs", type=int, default=16, help="Hosts side by side.")
    parser.add_argument("-o", "--option", action="append", default=[], help="KIND.key=VALUE, as for esper train.")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    index = load_index()
    request = PlanRequest(
        policy=chosen.policy, slots=chosen.slots, options=chosen.option, envs=chosen.envs, seed=0, device="cpu"
    )
    try:
        plan = make_plan(request, index, load_recipes(chosen.registry))
    except EsperError as error:
        sys.exit(f"best_rules.py: {error}")
    found = returns(plan, index, chosen.instances, chosen.fields)
    print(f"\n{' '.join(chosen.fields):36}{'':>4}" + "".join(f"{name:>14}" for name in found))
    choice = best(found)
    for kind in choice:
        means = "".join(f"{sum(by[kind]) / len(by[kind]):14.3f}" for by in found.values())
        print(f"{' '.join(map(str, kind)):36}{len(found['static'][kind]):4}{means}")
    rules = [
        " ".join(f"{f}={v}" for f, v in zip(chosen.fields, k, strict=True)) + f": {name}" for k, name in choice.items()
    ]
    print(f"\n--use rule=by-kind -o 'rule.rules={json.dumps(rules)}'")


if __name__ == "__main__":
    main()

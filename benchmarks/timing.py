"""Is it worth something to grow over time? Rules, schedules and final topologies where the task changes.

    python benchmarks/timing.py drift            # a task that changes: the tables of the record that is kept
    python benchmarks/timing.py budget           # the family mixed, where FLOPs have a price
    python benchmarks/timing.py drift --play     # plays it all; with --keep, the record

Arms: the installed rules; the schedules `heavy@E` and `light@E`, which start `all-on-heavy` or `all-on` at an epoch E;
`after-fall`, which starts `all-on-heavy` once accuracy has fallen by 5 points in an epoch; and `replay of` each, what
it made permanent, there from the first epoch on. Every number is given without and with the price of FLOPs
(`environment.reward_flops` of benchmarks/timing.toml): rules do not look at it, so both are of the same episodes. The
best arm of a kind is chosen on training instances; what is printed is of held-out ones, with an interval where there
are ten at least. `looked-at.jsonl` says nothing of them: no policy plays here.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from record import RECORDS, SUFFIX, save, saved
from tables import between, markdown
from torch import Tensor

from esper_core.composition.build import build_beside, build_environment
from esper_core.composition.plan import PlanRequest, make_plan
from esper_core.composition.recipes import load_recipes
from esper_core.contracts.errors import EsperError
from esper_core.contracts.protocols import BuildContext, Rule
from esper_core.registry.loading import load_index
from esper_core.registry.resolve import resolve
from esper_evaluation.statistics import Bootstrap, pooled_mean
from esper_growth.environment import HELD_OUT
from esper_growth.rules import AllOn
from esper_testing.player import Separately, derived_seed, play

RECIPES = Path(__file__).with_name("timing.toml")
SIDE_BY_SIDE = 16
RULES = ("static", "periodic", "plateau", "all-on", "all-on-heavy")
LATE = (10, 20, 30)
LABELS = {"light": "conv_light", "heavy": "conv_heavy"}
FALL = 0.05
POLICIES = ("drift", "budget")
TITLES = {"accuracy": "test accuracy", "net": "less the price of FLOPs"}
FEW = 10
"""Fewer instances allow no interval, as docs/evaluation.md says."""


class Measured(NamedTuple):
    """Tasks of the held-out instances; each arm's test and net accuracy `[2, I]`, on training and on held-out ones."""

    tasks: list[str]
    training: dict[str, NDArray[Any]]
    held: dict[str, NDArray[Any]]


class From(AllOn):
    """A blueprint in every slot from an epoch on."""

    def __init__(self, label: str, epoch: int, context: BuildContext) -> None:
        super().__init__(None, context)
        self.LABEL, self._epoch = label, epoch

    def _due(self, env: int, state: Mapping[str, Tensor]) -> bool:
        return int(state["epoch"][env]) >= self._epoch


class AfterFall(AllOn):
    """conv-heavy in every slot once accuracy has fallen in an epoch."""

    LABEL = "conv_heavy"

    def reset(self, num_envs: int) -> None:
        """Forget all falls."""
        self._fallen = [False] * num_envs

    def _due(self, env: int, state: Mapping[str, Tensor]) -> bool:
        last = float(state["accuracy_history"][env, -1])
        self._fallen[env] |= int(state["epoch"][env]) > 1 and last - float(state["accuracy"][env]) > FALL
        return self._fallen[env]


def measure(policy: str, numbers: list[int], options: tuple[str, ...]) -> tuple[list[str], dict[str, NDArray[Any]]]:
    """Return the task of every instance, and each arm's test and net accuracy, `[2, I]`."""
    index = load_index()
    request = PlanRequest(policy=policy, slots="3", options=options, envs=SIDE_BY_SIDE, seed=0, device="cpu")
    plan = make_plan(request, index, load_recipes(RECIPES))
    context = build_environment(plan, index)
    environment, masks = context.parts["environment"], context.parts["masks"]

    def made(name: str) -> Rule:
        rule: Rule = build_beside(resolve(index, "rule", name), index, context)
        return rule

    arms = {name: partial(made, name) for name in RULES}
    arms |= {f"{how}@{at}": partial(From, label, at, context) for how, label in LABELS.items() for at in LATE}
    arms["after-fall"] = partial(AfterFall, context=context, config=None)
    tasks: dict[int, str] = {}
    found: dict[str, NDArray[Any]] = {}

    def played(arm: str, make: Any, first: int, **more: Any) -> None:
        envs = [numbers[first + env] for env in range(SIDE_BY_SIDE)]
        rule = Separately([make() for _ in envs], [derived_seed(arm, number) for number in envs])
        events = play(environment, masks, rule, options={"instances": envs, **more}).events
        tasks.update({event["instance"]: event["task"] for event in events if event["type"] == "episode"})
        outcomes = environment.outcomes()
        rows = found.setdefault(arm, np.empty((2, len(numbers))))
        rows[0, first : first + SIDE_BY_SIDE] = outcomes["test_accuracy"]
        rows[1, first : first + SIDE_BY_SIDE] = outcomes["net_accuracy"]

    try:
        for first in range(0, len(numbers), SIDE_BY_SIDE):
            for arm, make in arms.items():
                played(arm, make, first)
                if arm in (*RULES[1:], "after-fall"):
                    played(f"replay of {arm}", partial(made, "static"), first, topologies=environment.topologies())
            print(f"{first + SIDE_BY_SIDE} of {len(numbers)} instances", flush=True)
    finally:
        environment.close()
    return [tasks[number] for number in numbers], found


def kind_of(task: str) -> str:
    """Return what kind of task an instance has: how it changes, or which data it has and how many samples."""
    return task.split("@")[0].removeprefix("drift-") if task.startswith("drift-") else re.sub(r"(-\d+).*", r"\1", task)


def tables(measured: Measured) -> dict[str, str]:
    """Return tables of arms, and of what timing is worth, with 95 % intervals over instances where there are enough."""
    kinds = [kind_of(task) for task in measured.tasks]
    columns = {kind: [i for i, other in enumerate(kinds) if other == kind] for kind in sorted(set(kinds))}
    columns["all"] = list(range(len(kinds)))
    heads = [f"{kind} ({len(at)})" for kind, at in columns.items()]
    training, held = measured.training, measured.held
    schedules = [arm for arm in held if "@" in arm]
    topologies = ["static", *(arm for arm in held if arm.startswith("replay"))]
    grown = [arm for arm in held if f"replay of {arm}" in held]
    found = {}
    for row, (name, title) in enumerate(TITLES.items()):
        means = [
            [f"`{arm}`", *(f"{values[row, at].mean():.3f}" for at in columns.values())] for arm, values in held.items()
        ]
        found[name] = markdown([[title, *heads], *means])

        chosen = {arm: float(values[row].mean()) for arm, values in training.items()}
        fixed, schedule, rule = (max(arms, key=chosen.__getitem__) for arms in (topologies, schedules, grown))
        pairs = [(arm, f"replay of {arm}") for arm in grown]
        pairs += [(rule, fixed), (schedule, fixed), ("after-fall", fixed), ("after-fall", schedule)]
        rows = [[title, *heads]]
        for arm, other in dict.fromkeys(pairs):
            apart = held[arm][row] - held[other][row]
            rows.append([f"`{arm}` − `{other}`", *(difference(apart[at]) for at in columns.values())])
        found[f"{name} differences"] = markdown(rows)
    return found


def difference(apart: NDArray[Any]) -> str:
    """Return a mean of differences `[I]`, with its interval unless there are too few."""
    known = Bootstrap.draw(len(apart), 1).sampled(pooled_mean, apart[None]).estimate
    shown = between(known, 3, signed=True)
    return shown if len(apart) >= FEW else shown.split(" [")[0]


def read(policy: str) -> Measured:
    """Return what is kept; raises ValueError where there is nothing."""
    kept = saved(record_of(policy))
    parts = ({arm: np.array(v) for arm, v in kept[name].items()} for name in ("training", "held"))
    return Measured(kept["tasks"], *parts)


def keep(policy: str, measured: Measured) -> Path:
    """Write every number of it, compressed; return where."""
    parts = {"training": measured.training, "held": measured.held}
    numbers = {name: {arm: v.round(6).tolist() for arm, v in part.items()} for name, part in parts.items()}
    return save(record_of(policy), {"tasks": measured.tasks, **numbers})


def record_of(policy: str) -> Path:
    """Return where it is kept what was measured with a recipe."""
    return RECORDS / "worlds" / f"timing-{policy}{SUFFIX}"


@cache
def _kept(policy: str) -> dict[str, str]:
    return tables(read(policy))


TABLES = {
    f"{policy} {name}{more}": partial(lambda policy, name: _kept(policy)[name], policy, f"{name}{more}")
    for policy in POLICIES
    for name in TITLES
    for more in ("", " differences")
}


def main() -> None:
    """Measure, or read what was measured, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("policy", choices=POLICIES, help="Recipe of timing.toml.")
    parser.add_argument("--play", action="store_true", help="Measure, instead of reading what is kept.")
    parser.add_argument("--training", type=int, default=32, help="Instances to choose on, from 0 on; 16 at a time.")
    parser.add_argument("--instances", type=int, default=48, help="Held-out instances; 16 at a time.")
    parser.add_argument("--fresh", type=int, default=HELD_OUT + 50_000, help="The first of them.")
    parser.add_argument("--keep", action="store_true", help="Keep every number of what was measured.")
    parser.add_argument("-o", "--option", action="append", default=[], help="KIND.key=VALUE, as for esper train.")
    chosen = parser.parse_args()
    if chosen.training % SIDE_BY_SIDE or chosen.instances % SIDE_BY_SIDE or min(chosen.training, chosen.instances) < 1:
        parser.error(f"{SIDE_BY_SIDE} instances are played at a time: --training and --instances are multiples of it.")
    if chosen.keep and not chosen.play:
        parser.error("--keep keeps what was measured: with --play.")
    torch.set_num_threads(1)
    measured = read(chosen.policy) if not chosen.play else play_all(chosen)
    if chosen.keep:
        print(f"{keep(chosen.policy, measured)}: kept\n")
    print("\n\n".join(tables(measured).values()))


def play_all(chosen: argparse.Namespace) -> Measured:
    """Measure on training instances, and on held-out ones."""
    options = tuple(chosen.option)
    _, training = measure(chosen.policy, list(range(chosen.training)), options)
    tasks, held = measure(chosen.policy, [chosen.fresh + i for i in range(chosen.instances)], options)
    return Measured(tasks, training, held)


if __name__ == "__main__":
    try:
        main()
    except (EsperError, OSError, ValueError) as error:
        sys.exit(f"timing.py: {error}")

"""What is there to win? By kind of world: the best rule, a selector, open-loop schedules, and hindsight without luck.

    python benchmarks/headroom.py                   # benchmarks/mixed.toml, with as many episodes as a policy has
    python benchmarks/headroom.py --episodes 320 --searches 2 --scored 32 --json

Everything is chosen on the training instances 0 to --training − 1, and scored on the next --scored ones, which are
neither trained on nor held out. Test accuracy, as the mean over instances:

- `best rule`: the rule of the highest mean on training instances; `by kind`: the same within each kind, task and host.
- `selector`: the rule that a shallow tree chooses by what the instance is of (esper_evaluation.selector).
- `schedule`: the best open-loop schedule of the kind, found with --episodes episodes by the search of `best-fixed`: the
  mean over --searches searches; beside it the least and the largest. A kind without training instances has none, and
  counts with the best rule.
- `per instance`: the best of all rules and schedules on each instance, chosen on one half of its repeats and scored
  on the other, both ways round; `hindsight` is chosen and scored on the same ones, so what it is above that is luck.
  A rule that is deterministic has no luck within an instance, which fixes weights, data and order. So repeat r lets
  everybody wait for r epochs first: nearly the same, with luck of its own.

Differences are to the best rule, with 95 % bootstrap intervals over instances. What was played is kept in --out, and
the same command goes on from there.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import define, field
from gap import problem

from esper_core.cli.counting import counting
from esper_core.composition.build import build_beside, build_environment
from esper_core.composition.plan import Plan, PlanRequest, describe_plan, make_plan
from esper_core.composition.recipes import load_recipes
from esper_core.contracts.actions import ActionSpec
from esper_core.contracts.protocols import Rule
from esper_core.policy.legality import neutral
from esper_core.registry.index import Index
from esper_core.registry.loading import load_index
from esper_core.registry.resolve import resolve
from esper_core.system.content import digest
from esper_core.system.json_files import append_lines, read_lines
from esper_evaluation.circumstances import circumstances
from esper_evaluation.schedule import Schedule, Wandering, recorded
from esper_evaluation.search import Search
from esper_evaluation.selecting import Watching
from esper_evaluation.selector import Selector
from esper_evaluation.statistics import Bootstrap, Estimate, Values, pooled_mean
from esper_testing.player import derived_seed, play

RULES = ("static", "random", "periodic", "plateau", "all-on", "all-on-heavy")
RECIPES = Path(__file__).with_name("mixed.toml")
ACCURACY = "test_accuracy"


class Late:
    """A rule that waits for some epochs, and then does what another does."""

    def __init__(self, spec: ActionSpec, rule: Rule, wait: int) -> None:
        self._spec, self._rule, self._wait = spec, rule, wait

    def reset(self, num_envs: int) -> None:
        """Begin an episode."""
        self._step = 0
        self._rule.reset(num_envs)

    def __call__(self, state: Any, masks: Any, generator: torch.Generator) -> Any:
        """Return the actions of this step."""
        self._step += 1
        if self._step <= self._wait:
            return neutral(self._spec, 1, next(iter(state.values())).device)
        return self._rule(state, masks, generator)


@define
class Field:
    """An environment to play in, and what was played there: one line per batch, written when it is done.

    Attributes:
        path: File of the lines.
        show: Called with how many episodes are done, and of how many.
        total: Episodes that there are, as far as that is known.
        done: Those that are played or on record.
    """

    plan: Plan
    index: Index
    path: Path
    show: Callable[..., None]
    total: int
    done: int = 0
    context: Any = None
    kept: dict[str, dict[str, Any]] = field(factory=dict)
    fields: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        self.context = build_environment(self.plan, self.index)
        self.fields = describe_plan(self.plan, self.index).world
        said = circumstances(self.plan, self.index, "cpu", self.context.parts["environment"])
        self.path = self.path / f"{digest(said)}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.kept = {line.entry["job"]: line.entry for line in read_lines(self.path)}

    def close(self) -> None:
        """End the environment's processes."""
        self.context.parts["environment"].close()

    def rule(self, name: str) -> Rule:
        """Return an installed rule."""
        made: Rule = build_beside(resolve(self.index, "rule", name), self.index, self.context)
        return made

    def batch(self, job: str, rules: Sequence[Rule], numbers: Sequence[int], schedules: bool = False) -> dict[str, Any]:
        """Return what came of a batch of episodes, which are played where they are not on record."""
        if job not in self.kept:
            environment, masks = self.context.parts["environment"], self.context.parts["masks"]
            watching = Watching(rules, [derived_seed(job, env) for env in range(len(rules))], self.fields)
            played = play(environment, masks, watching, options={"instances": list(numbers)})
            line = {
                "job": job,
                "accuracy": environment.outcomes()[ACCURACY].tolist(),
                "returns": played.returns(),
                "kinds": [" ".join((problem(told)[0], problem(told)[2])) for told in played.tags()],
                "world": watching.world,
            }
            if schedules:
                line["schedules"] = [recorded(environment.actions, played, env) for env in range(len(rules))]
            append_lines(self.path, [line], within=self.path.parent)
            self.kept[job] = line
        self.done += len(numbers)
        self.show(self.done, max(self.done, self.total))
        return self.kept[job]

    def all(self, name: str, make: Callable[[], Rule], numbers: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Return what came of one way to act on every instance."""
        found: dict[int, dict[str, Any]] = {}
        envs = self.plan.envs
        for first in range(0, len(numbers), envs):
            batch = list(numbers[first : first + envs])
            filled = [*batch, *[batch[-1]] * (envs - len(batch))]
            line = self.batch(f"{name} on {filled}", [make() for _ in filled], filled)
            for env, number in enumerate(batch):
                found[number] = {key: line[key][env] for key in ("accuracy", "kinds", "world")}
        return found

    def searched(self, kind: str, seed: int, numbers: Sequence[int], episodes: int) -> list[list[int]]:
        """Return the best schedule that a search finds on instances of a kind, by return as a policy learns."""
        envs, spec = self.plan.envs, self.context.actions
        draws = np.random.default_rng(seed)

        def play_batch(batch: int, rows: Sequence[Any]) -> dict[str, Any]:
            rules: list[Rule] = [Wandering(spec) if known is None else Schedule(spec, known) for known in rows]
            chosen = draws.choice(numbers, envs).tolist()
            job = f"search {seed} of {episodes} for {kind}, batch {batch} on {chosen}"
            return self.batch(job, rules, chosen, schedules=rows[0] is None)

        return [list(row) for row in Search(max(1, episodes // envs), envs).run({}, play_batch).rows]


def split_halves(values: Values) -> tuple[Values, Values]:
    """Return the best of each instance, chosen on one half of its repeats and scored on the other; and in hindsight.

    Args:
        values: `[C, I, R]`: candidates, instances, repeats; R is even.
    """
    halves = values[..., ::2].mean(axis=-1), values[..., 1::2].mean(axis=-1)
    across = [
        np.take_along_axis(score, chosen.argmax(axis=0)[None], axis=0)[0] for chosen, score in (halves, halves[::-1])
    ]
    return (across[0] + across[1]) / 2, values.mean(axis=-1).max(axis=0)


def estimate(values: Values) -> Estimate:
    """Return the mean over instances `[I]` with its interval."""
    return Bootstrap.draw(len(values), 1).sampled(pooled_mean, values[None]).estimate


def measure(arena: Field, said: argparse.Namespace) -> dict[str, Any]:
    """Play what is missing, and return the table as JSON-able values."""
    spec = arena.context.actions
    learned, scored = range(said.training), range(said.training, said.training + said.scored)
    training = {name: arena.all(name, lambda n=name: arena.rule(n), learned) for name in RULES}  # type: ignore[misc]
    repeated = {
        name: [
            arena.all(f"{name}, {wait} late", lambda n=name, w=wait: Late(spec, arena.rule(n), w), scored)  # type: ignore[misc]
            for wait in range(said.repeats)
        ]
        for name in RULES
    }
    of_training = {number: found["kinds"] for number, found in training["static"].items()}
    of_scored = {number: found["kinds"] for number, found in repeated["static"][0].items()}
    achieved = {name: np.array([found[i]["accuracy"] for i in learned]) for name, found in training.items()}
    single = max(RULES, key=lambda name: achieved[name].mean())
    world = np.array([training["static"][i]["world"] for i in learned])
    selector = Selector.fit(arena.fields, world, achieved)
    kinds = sorted(set(of_scored.values()))
    known_kinds = len(set(kinds) & set(of_training.values()))
    each_kind = said.episodes + said.repeats * -(-len(scored) // len(kinds) // said.envs) * said.envs
    arena.total = arena.done + said.searches * known_kinds * each_kind
    rows: dict[str, dict[str, Any]] = {}
    each: dict[str, list[Values]] = {}
    for kind in kinds:
        known = [i for i in learned if of_training[i] == kind]
        here = [i for i in scored if of_scored[i] == kind]
        values = np.array([[[found[i]["accuracy"] for found in repeated[name]] for i in here] for name in RULES])
        means = {name: achieved[name][known].mean() if known else achieved[name].mean() for name in RULES}
        best = max(RULES, key=means.__getitem__)
        taken = [RULES.index(selector.choose(repeated["static"][0][i]["world"])) for i in here]
        schedules = [arena.searched(kind, s, known, said.episodes) for s in range(said.searches)] if known else []
        found = [
            [
                arena.all(
                    f"schedule {s} of {said.episodes} for {kind}, {wait} late",
                    lambda r=rows_of, w=wait: Late(spec, Schedule(spec, r), w),  # type: ignore[misc]
                    here,
                )
                for wait in range(said.repeats)
            ]
            for s, rows_of in enumerate(schedules)
        ]
        open_loop = np.array([[[played[i]["accuracy"] for played in own] for i in here] for own in found])
        everyone = np.concatenate([values, open_loop]) if found else values
        split, hindsight = split_halves(everyone)
        columns = {
            "static": values[RULES.index("static"), :, 0],
            "best rule": values[RULES.index(single), :, 0],
            "by kind": values[RULES.index(best), :, 0],
            "selector": values[taken, range(len(here)), 0],
            "schedule": open_loop[:, :, 0].mean(axis=0) if found else values[RULES.index(single), :, 0],
            "per instance": split,
            "hindsight": hindsight,
        }
        each = {name: [*each.get(name, []), column] for name, column in columns.items()}
        rows[kind] = {"instances": len(here), "training": len(known), "rule": best, **_row(columns)}
        rows[kind]["searches"] = [float(own[:, 0].mean()) for own in open_loop]
    together = {name: np.concatenate(columns) for name, columns in each.items()}
    differences = {name: vars_of(estimate(column - together["best rule"])) for name, column in together.items()}
    return {
        "best_rule": single,
        "kinds": rows,
        "all": {"instances": len(scored), **_row(together)},
        "minus_best_rule": differences,
        "selector": selector.to_json(),
        "search_episodes": said.episodes,
        "searches": said.searches,
        "records": str(arena.path),
    }


def vars_of(found: Estimate) -> dict[str, float]:
    """Return an estimate as JSON-able values."""
    return {"value": found.value, "low": found.low, "high": found.high}


def _row(columns: Mapping[str, Values]) -> dict[str, float]:
    return {name: float(column.mean()) for name, column in columns.items()}


def printed(document: Mapping[str, Any]) -> None:
    """Print the table as Markdown."""
    names = list(document["minus_best_rule"])
    print(f"| kind | instances | {' | '.join(names)} | rule of the kind | searches |")
    print("| --- " + "| ---: " * (len(names) + 1) + "| --- | --- |")
    for kind, row in (*document["kinds"].items(), ("all", document["all"])):
        spread = row.get("searches") or []
        told = f"{min(spread):.3f} to {max(spread):.3f}" if spread else "" if kind == "all" else "none, the best rule"
        cells = [f"{row[name]:.3f}" for name in names]
        print(f"| {kind} | {row['instances']} | {' | '.join(cells)} | {row.get('rule', '')} | {told} |")
    print()
    for name, found in document["minus_best_rule"].items():
        print(f"{name} − {document['best_rule']}: {found['value']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]")


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", type=int, default=3, help="slots of every host")
    parser.add_argument("--training", type=int, default=64, help="instances on which everything is chosen")
    parser.add_argument("--scored", type=int, default=64, help="instances that follow, on which it is scored")
    parser.add_argument("--episodes", type=int, default=2560, help="episodes of a search, as a policy trains with")
    parser.add_argument("--searches", type=int, default=3, help="searches for each kind")
    parser.add_argument("--repeats", type=int, default=4, help="repeats of an instance, an even number")
    parser.add_argument("--envs", type=int, default=16, help="episodes side by side")
    parser.add_argument("-o", "--option", action="append", default=[], help="KIND.key=VALUE, as for esper train")
    parser.add_argument("--out", type=Path, default=Path("runs/headroom"), help="folder of what was played")
    parser.add_argument("--json", action="store_true", help="print JSON")
    said = parser.parse_args()
    if said.repeats < 2 or said.repeats % 2:
        parser.error("--repeats is an even number: one half chooses, the other scores.")
    torch.set_num_threads(1)
    index = load_index()
    request = PlanRequest(
        policy="lstm-v2", slots=str(said.slots), options=tuple(said.option), envs=said.envs, seed=0, device="cpu"
    )
    plan = make_plan(request, index, load_recipes(RECIPES))
    told: list[str] = []
    with counting("episodes", told, plain=said.json) as (show, _):
        arena = Field(plan, index, said.out, show, len(RULES) * (said.training + said.repeats * said.scored))
        try:
            document = measure(arena, said)
        except KeyboardInterrupt:
            kept = f"Stopped after {arena.done} episodes, which are kept in {arena.path}; the same command goes on.\n"
            parser.exit(130, kept)
        finally:
            arena.close()
    print(json.dumps(document)) if said.json else printed(document)


if __name__ == "__main__":
    main()

"""What is there to win? By kind of world: the best rule, a selector, open-loop schedules, and hindsight without luck.

    python benchmarks/headroom.py            # the tables of the record that is kept
    python benchmarks/headroom.py RECORDS    # plays what is missing in the folder RECORDS; with --keep, the record

Everything is chosen on the training instances 0 to --training − 1 of the recipe `taught-slots`, and scored on --scored
ones from 1,024 on, which no policy has trained on and which are not held out. A kind is a task, a number of training
samples and a host. Test accuracy, as the mean over instances:

- `best rule`: the rule of the highest mean on training instances; `by kind`: the same within each kind.
- `selector`: the rule that a shallow tree chooses by what the instance is of (esper_evaluation.selector).
- `policy`: the weights of esper-pretrained, actions drawn as in training.
- `schedule`: the best open-loop schedule of the kind, found with --episodes episodes by the search of `best-fixed`: the
  mean over --searches searches; beside it the least and the largest. A kind without training instances has none, and
  counts with the best rule.
- `per instance`: the best of all rules and schedules on each instance, chosen on one half of its repeats and scored
  on the other, both ways round; `hindsight` is chosen and scored on the same ones, so what it is above that is luck.

Nothing else is left to chance within an instance, which fixes weights, data and order. So its repeats train hosts with
step sizes that differ by two hundredths: nearly the same, with luck of their own. Whatever is scored is scored on the
same repeats.

Differences are to the best rule, with 95 % bootstrap intervals over instances. What was stopped goes on with the same
command.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from attrs import define, evolve, field, frozen
from gap import problem
from record import RECORDS, SUFFIX, save, saved
from tables import between, markdown

from esper_core.api.player import load
from esper_core.cli.counting import counting
from esper_core.composition.build import build_beside, build_environment
from esper_core.composition.plan import Plan, PlanRequest, describe_plan, make_plan
from esper_core.composition.recipes import load_recipes
from esper_core.contracts.errors import EsperError
from esper_core.contracts.protocols import BuildContext, Rule
from esper_core.registry.loading import load_index
from esper_core.registry.offers import offers
from esper_core.registry.resolve import resolve
from esper_core.runs.checkpoint import choose_checkpoint
from esper_core.runs.directory import RunDirectory
from esper_core.runs.header import read_header
from esper_core.system.content import digest
from esper_core.system.json_files import append_lines, read_lines
from esper_evaluation.circumstances import circumstances
from esper_evaluation.schedule import Schedule, Wandering, recorded
from esper_evaluation.search import Search
from esper_evaluation.selecting import Watching
from esper_evaluation.selector import Selector
from esper_evaluation.statistics import Bootstrap, Estimate, Values, pooled_mean
from esper_testing.player import PlayerRule, derived_seed, play

RULES = ("static", "random", "periodic", "plateau", "all-on", "all-on-heavy")
RECIPES, RECIPE = Path(__file__).with_name("mixed.toml"), "taught-slots"
SCORED_FROM = 1024
APART = 0.02
"""By how much the step sizes of repeats differ."""
ACCURACY = "test_accuracy"
RECORD = RECORDS / "worlds" / f"headroom{SUFFIX}"
SIZES = ("slots", "training", "scored", "episodes", "searches", "repeats", "envs")


Make = Callable[[], Rule]
Line = dict[str, Any]


@frozen
class Who:
    """Who plays: what tells them apart, and what makes a rule of them."""

    name: str
    make: Make


@define
class Field:
    """Where is played, and what was played there: one line per batch, written when it is done.

    Attributes:
        sizes: How much is played, by the names of the options.
        policy: Digest of the policy's checkpoint.
        kept: What was played, by job.
        fields: What the environment says of the world.
        path: File of the lines; without it nothing is played.
        plan: What is played; None where nothing is.
        show: Called with how many episodes are done, and of how many.
        total: Episodes that there are, as far as that is known.
        done: Those that are played or on record.
        asked: Their jobs.
    """

    sizes: Mapping[str, int]
    policy: str
    kept: dict[str, Line]
    fields: tuple[str, ...]
    path: Path | None = None
    plan: Plan | None = None
    show: Callable[..., None] = lambda *_: None
    total: int = 0
    done: int = 0
    asked: list[str] = field(factory=list)
    _contexts: dict[float, BuildContext] = field(factory=dict, repr=False)

    @classmethod
    def opened(cls, folder: Path, sizes: Mapping[str, int], options: Sequence[str], show: Callable[..., None]) -> Field:
        """Return one that plays what is missing in a folder; close it after use."""
        index = load_index()
        request = PlanRequest(
            policy=RECIPE, slots=str(sizes["slots"]), envs=sizes["envs"], options=options, seed=0, device="cpu"
        )
        plan = make_plan(request, index, load_recipes(RECIPES))
        header = read_header(choose_checkpoint(_pretrained(), "last"))
        arena = cls(
            sizes, str(header.content["digest"])[:16], {}, describe_plan(plan, index).world, plan=plan, show=show
        )
        here = circumstances(plan, index, "cpu", arena.context(1.0).parts["environment"])
        folder.mkdir(parents=True, exist_ok=True)
        arena.path = folder / f"{digest(here)}.jsonl"
        arena.kept = {line.entry["job"]: line.entry for line in read_lines(arena.path)}
        return arena

    @classmethod
    def recorded(cls) -> Field:
        """Return what is kept beside this file."""
        known = saved(RECORD)
        lines = {line["job"]: line for line in known["lines"]}
        return cls(known["sizes"], known["policy"], lines, tuple(known["fields"]))

    def keep(self) -> Path:
        """Write the record of what was asked for, compressed; return where."""
        lines = [self.kept[job] for job in self.asked]
        known = {"sizes": dict(self.sizes), "policy": self.policy, "fields": self.fields, "lines": lines}
        return save(RECORD, known)

    def close(self) -> None:
        """End the environments' processes."""
        for context in self._contexts.values():
            context.parts["environment"].close()

    def context(self, factor: float) -> BuildContext:
        """Return what is played in where hosts are trained with so many times their step size."""
        assert self.plan is not None, "who only reads plays nowhere"
        if factor not in self._contexts:
            own = self.plan.component("environment")
            changed = evolve(own, config={**own.config, "host_lr": own.config["host_lr"] * factor})
            components = tuple(changed if part is own else part for part in self.plan.components)
            self._contexts[factor] = build_environment(evolve(self.plan, components=components), load_index())
        return self._contexts[factor]

    def rule(self, name: str) -> Who:
        """Return an installed rule."""
        index = load_index()
        return Who(name, lambda: build_beside(resolve(index, "rule", name), index, self.context(1.0)))

    def learned(self) -> Who:
        """Return the policy."""
        return Who(f"policy {self.policy}", lambda: PlayerRule(_player(), deterministic=False))

    def schedule(self, rows: Sequence[Sequence[int]]) -> Who:
        """Return who acts by a schedule."""
        return Who(f"schedule {digest(rows)}", lambda: Schedule(self.context(1.0).actions, rows))

    def wandering(self) -> Who:
        """Return who draws a schedule."""
        return Who("wandering", lambda: Wandering(self.context(1.0).actions))

    def batch(
        self, name: str, episodes: Sequence[tuple[int, Who]], factor: float = 1.0, schedules: bool = False
    ) -> Line:
        """Return what came of a batch of episodes, which are played where they are not on record."""
        numbers, whos = [number for number, _ in episodes], [who.name for _, who in episodes]
        job = f"{name} by {digest(whos)} on {numbers}, step size × {factor}"
        if job not in self.kept:
            if self.path is None:
                raise ValueError(f"{RECORD} has no '{job}'")
            context = self.context(factor)
            rules = [who.make() for _, who in episodes]
            watching = Watching(rules, [derived_seed(job, env) for env in range(len(rules))], self.fields)
            environment, masks = context.parts["environment"], context.parts["masks"]
            played = play(environment, masks, watching, options={"instances": numbers})
            line = {
                "job": job,
                "accuracy": environment.outcomes()[ACCURACY].tolist(),
                "returns": played.returns(),
                "kinds": ["{}-{}, {}".format(*problem(told)) for told in played.tags()],
                "world": watching.world,
            }
            if schedules:
                line["schedules"] = [recorded(context.actions, played, env) for env in range(len(rules))]
            append_lines(self.path, [line], within=self.path.parent)
            self.kept[job] = line
        self.asked.append(job)
        self.done += len(numbers)
        self.show(self.done, max(self.done, self.total))
        return self.kept[job]

    def all(self, name: str, episodes: Sequence[tuple[int, Who]], factor: float = 1.0) -> list[Line]:
        """Return what came of episodes: an instance and who plays it."""
        found: list[Line] = []
        envs = self.sizes["envs"]
        for first in range(0, len(episodes), envs):
            some = episodes[first : first + envs]
            line = self.batch(name, [*some, *[some[-1]] * (envs - len(some))], factor)
            found += [{key: line[key][env] for key in ("accuracy", "kinds", "world")} for env in range(len(some))]
        return found

    def repeated(self, name: str, episodes: Sequence[tuple[int, Who]]) -> Values:
        """Return accuracies of episodes in every repeat, `[episodes, R]`."""
        repeats = self.sizes["repeats"]
        factors = [1 + APART * (repeat - (repeats - 1) / 2) for repeat in range(repeats)]
        return np.array([[line["accuracy"] for line in self.all(name, episodes, factor)] for factor in factors]).T

    def searched(self, kind: str, seed: int, numbers: Sequence[int]) -> list[list[int]]:
        """Return the best schedule that a search finds on instances of a kind, by return as a policy learns."""
        envs, episodes = self.sizes["envs"], self.sizes["episodes"]
        draws = np.random.default_rng(seed)

        def play_batch(batch: int, rows: Sequence[Any]) -> Line:
            whos = [self.wandering() if known is None else self.schedule(known) for known in rows]
            chosen = draws.choice(numbers, envs).tolist()
            name = f"search {seed} for {kind}, batch {batch}"
            return self.batch(name, [*zip(chosen, whos, strict=True)], schedules=rows[0] is None)

        return [list(row) for row in Search(max(1, episodes // envs), envs).run({}, play_batch).rows]


def _pretrained() -> RunDirectory:
    return RunDirectory.open(offers()["pretrained"].path)


@cache
def _player() -> Any:
    return load(_pretrained(), device="cpu")


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


def measure(arena: Field) -> dict[str, Any]:
    """Play what is missing, and return the table as JSON-able values."""
    sizes = arena.sizes
    learned, scored = range(sizes["training"]), range(SCORED_FROM, SCORED_FROM + sizes["scored"])
    searches, repeats = range(sizes["searches"]), sizes["repeats"]
    whos = {name: arena.rule(name) for name in RULES}
    training = {name: arena.all("training", [(i, who) for i in learned]) for name, who in whos.items()}
    achieved = {name: np.array([line["accuracy"] for line in found]) for name, found in training.items()}
    single = max(RULES, key=lambda name: achieved[name].mean())
    world = np.array([line["world"] for line in training["static"]])
    selector = Selector.fit(arena.fields, world, achieved)
    worlds = arena.all("worlds", [(i, whos["static"]) for i in scored])
    rules = np.array([arena.repeated("scored", [(i, who) for i in scored]) for who in whos.values()])
    policy = arena.repeated("scored", [(i, arena.learned()) for i in scored])
    of_training, of_scored = ([line["kinds"] for line in found] for found in (training["static"], worlds))
    kinds = sorted(set(of_scored))
    known = {kind: [i for i in learned if of_training[i] == kind] for kind in kinds}
    here = {kind: [at for at, other in enumerate(of_scored) if other == kind] for kind in kinds}
    asked = sum(len(here[kind]) * len(searches) for kind in kinds if known[kind])
    episodes = sum(map(bool, known.values())) * len(searches) * sizes["episodes"]
    arena.total = arena.done + episodes + -(-asked // sizes["envs"]) * sizes["envs"] * repeats
    schedules = {
        kind: [arena.schedule(arena.searched(kind, seed, known[kind])) for seed in searches if known[kind]]
        for kind in kinds
    }
    played = [(scored[at], who) for kind in kinds for who in schedules[kind] for at in here[kind]]
    reached = iter(arena.repeated("scored", played))
    rows: dict[str, dict[str, Any]] = {}
    each: dict[str, list[Values]] = {}
    for kind in kinds:
        values, found = rules[:, here[kind]], schedules[kind]
        means = {name: achieved[name][known[kind] or learned].mean() for name in RULES}
        best = max(RULES, key=means.__getitem__)
        taken = [RULES.index(selector.choose(worlds[at]["world"])) for at in here[kind]]
        shape = len(found), len(here[kind]), repeats
        open_loop = np.array([next(reached) for _ in range(shape[0] * shape[1])]).reshape(shape)
        split, hindsight = split_halves(np.concatenate([values, open_loop]))
        columns = {
            "static": values[RULES.index("static")].mean(axis=-1),
            "best rule": values[RULES.index(single)].mean(axis=-1),
            "by kind": values[RULES.index(best)].mean(axis=-1),
            "selector": values[taken, range(len(here[kind]))].mean(axis=-1),
            "policy": policy[here[kind]].mean(axis=-1),
            "schedule": (open_loop if found else values[[RULES.index(single)]]).mean(axis=(0, -1)),
            "per instance": split,
            "hindsight": hindsight,
        }
        each = {name: [*each.get(name, []), column] for name, column in columns.items()}
        rows[kind] = {"instances": len(here[kind]), "training": len(known[kind]), "rule": best, **_row(columns)}
        rows[kind]["searches"] = [float(own.mean()) for own in open_loop]
    together = {name: np.concatenate(columns) for name, columns in each.items()}
    differences = {name: vars_of(estimate(column - together["best rule"])) for name, column in together.items()}
    return {
        "best_rule": single,
        "kinds": rows,
        "all": {"instances": len(scored), **_row(together)},
        "minus_best_rule": differences,
        "selector": selector.to_json(),
        "sizes": dict(sizes),
        "policy": arena.policy,
    }


def vars_of(found: Estimate) -> dict[str, float]:
    """Return an estimate as JSON-able values."""
    return {"value": found.value, "low": found.low, "high": found.high}


def _row(columns: Mapping[str, Values]) -> dict[str, float]:
    return {name: float(column.mean()) for name, column in columns.items()}


def by_kind(document: Mapping[str, Any]) -> str:
    """Return accuracies by kind as a Markdown table."""
    names = list(document["minus_best_rule"])
    table = [["kind", "instances", *names, "rule of the kind", "searches"]]
    for kind, row in (*document["kinds"].items(), ("all", document["all"])):
        spread = row.get("searches") or []
        told = f"{min(spread):.3f} to {max(spread):.3f}" if spread else "" if kind == "all" else "none, the best rule"
        rule = f"`{row['rule']}`" if "rule" in row else ""
        table.append([kind, str(row["instances"]), *(f"{row[name]:.3f}" for name in names), rule, told])
    return markdown(table)


def apart(document: Mapping[str, Any]) -> str:
    """Return the differences to the best rule as a Markdown table."""
    found = {name: Estimate(**known) for name, known in document["minus_best_rule"].items() if name != "best rule"}
    rows = [[name, between(known, 3, signed=True)] for name, known in found.items()]
    return markdown([["", f"minus the best rule, `{document['best_rule']}`"], *rows])


@cache
def _recorded() -> dict[str, Any]:
    return measure(Field.recorded())


TABLES = {"kinds": lambda: by_kind(_recorded()), "differences": lambda: apart(_recorded())}


def main() -> None:
    """Measure, or read what was measured, and print tables or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "records", type=Path, nargs="?", help="folder of what is played; without it, the record is read"
    )
    parser.add_argument("--slots", type=int, default=3, help="slots of every host")
    parser.add_argument("--training", type=int, default=64, help="instances on which everything is chosen")
    parser.add_argument("--scored", type=int, default=64, help="instances on which it is scored")
    parser.add_argument("--episodes", type=int, default=160, help="episodes of a search")
    parser.add_argument("--searches", type=int, default=2, help="searches for each kind")
    parser.add_argument("--repeats", type=int, default=4, help="repeats of an instance, an even number")
    parser.add_argument("--envs", type=int, default=16, help="episodes side by side")
    parser.add_argument("-o", "--option", action="append", default=[], help="KIND.key=VALUE, as for esper train")
    parser.add_argument("--keep", action="store_true", help="keep what the tables are made of")
    parser.add_argument("--json", action="store_true", help="print JSON")
    said = parser.parse_args()
    if said.repeats < 2 or said.repeats % 2:
        parser.error("--repeats is an even number: one half chooses, the other scores.")
    given = [name for name in (*SIZES, "option", "keep") if getattr(said, name) != parser.get_default(name)]
    if said.records is None and given:
        parser.error(f"--{given[0]} needs the folder of what is played.")
    if min(said.training, said.scored, said.searches, said.envs) < 1:
        parser.error("--training, --scored, --searches and --envs are 1 at least.")
    document = _recorded() if said.records is None else _played(parser, said)
    print(json.dumps(document) if said.json else f"{by_kind(document)}\n\n{apart(document)}")


def _played(parser: argparse.ArgumentParser, said: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(1)
    with counting("episodes", [], plain=said.json) as (show, _):
        arena = Field.opened(said.records, {name: getattr(said, name) for name in SIZES}, tuple(said.option), show)
        arena.total = len(RULES) * (said.training + said.repeats * said.scored) + (said.repeats + 1) * said.scored
        try:
            document = measure(arena)
        except KeyboardInterrupt:
            kept = f"Stopped after {arena.done} episodes, which are kept in {arena.path}; the same command goes on.\n"
            parser.exit(130, kept)
        finally:
            arena.close()
    if said.keep:
        print(f"{arena.keep()}: kept", file=sys.stderr)
    return document


if __name__ == "__main__":
    try:
        main()
    except (EsperError, OSError, ValueError) as error:
        sys.exit(f"headroom.py: {error}")
